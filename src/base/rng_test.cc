#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

namespace codeq {
namespace {

constexpr std::size_t kDraws = 5000;  // past several refills of the buffer
constexpr std::size_t kThreads = 4;

// What some threads draw, each from its own.
template <class Draw>
std::set<std::uint64_t> drawn_by_threads(const Draw& draw) {
  std::vector<std::vector<std::uint64_t>> drawn(kThreads);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : drawn) {
      threads.emplace_back([&mine, &draw] {
        SystemRng rng;
        for (std::size_t i = 0; i < kDraws; ++i) mine.push_back(draw(rng));
      });
    }
  }
  std::set<std::uint64_t> all;
  for (const auto& mine : drawn) all.insert(mine.begin(), mine.end());
  return all;
}

TEST(SystemRng, NeverRepeatsItselfNotEvenAcrossThreads) {
  EXPECT_EQ(drawn_by_threads([](SystemRng& rng) { return rng.next(); }).size(), kThreads * kDraws);
}

TEST(SystemRng, WhatIsPublicNeverRepeatsItselfEitherAndUsesEveryBit) {
  const auto all = drawn_by_threads([](SystemRng& rng) { return rng.next_public(); });
  ASSERT_EQ(all.size(), kThreads * kDraws);
  // Each bit is set in about half of the draws: ten standard deviations of slack.
  for (unsigned bit = 0; bit < 64; ++bit) {
    const auto set = std::count_if(all.begin(), all.end(), [bit](auto draw) { return (draw >> bit & 1U) != 0; });
    EXPECT_NEAR(static_cast<double>(set), static_cast<double>(all.size()) / 2, 710.0) << "bit " << bit;
  }
}

TEST(SeededRng, RepeatsItselfAndMatchesThePublishedSequence) {
  SeededRng rng(1234567);
  EXPECT_EQ(rng.next(), 6457827717110365317U);
  EXPECT_EQ(rng.next(), 3203168211198807973U);
  EXPECT_EQ(rng.next(), 9817491932198370423U);
  SeededRng again(1234567);
  EXPECT_EQ(again.next(), 6457827717110365317U);
}

}  // namespace
}  // namespace codeq
