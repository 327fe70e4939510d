#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

namespace codeq {
namespace {

TEST(SystemRng, NeverRepeatsItselfNotEvenAcrossThreads) {
  constexpr std::size_t kDraws = 5000;  // past several refills of the buffer
  std::vector<std::vector<std::uint64_t>> drawn(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : drawn) {
      threads.emplace_back([&mine] {
        SystemRng rng;
        for (std::size_t i = 0; i < kDraws; ++i) mine.push_back(rng.next());
      });
    }
  }
  std::set<std::uint64_t> all;
  for (const auto& mine : drawn) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), drawn.size() * kDraws);
}

TEST(SystemRng, WhatIsPublicNeverRepeatsItselfEitherAndUsesEveryBit) {
  constexpr std::size_t kDraws = 5000;
  std::vector<std::vector<std::uint64_t>> drawn(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : drawn) {
      threads.emplace_back([&mine] {
        SystemRng rng;
        for (std::size_t i = 0; i < kDraws; ++i) mine.push_back(rng.next_public());
      });
    }
  }
  std::set<std::uint64_t> all;
  for (const auto& mine : drawn) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), drawn.size() * kDraws);
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
