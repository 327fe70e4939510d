#include "transport/grpc/frame.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace codeq::transport::grpc {
namespace {

std::string framed(std::string_view message) {
  std::string out;
  append_frame_prefix(out, message.size());
  return out.append(message);
}

TEST(FrameReader, GivesMessagesHoweverTheirBytesAreCut) {
  SeededRng rng(1);
  const std::vector<std::string> sent = {"", "a", std::string(70'000, 'b'), std::string("\0\1\2", 3), "last"};
  std::string bytes;
  for (const auto& message : sent) bytes += framed(message);
  for (int round = 0; round < 50; ++round) {
    FrameReader reader;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < bytes.size();) {
      const auto part = std::min<std::size_t>(1 + rng.next() % 20'000, bytes.size() - at);
      reader.feed(std::string_view(bytes).substr(at, part));
      at += part;
      std::string_view message;
      while (reader.next(100'000, message) == FrameReader::State::kMessage) got.emplace_back(message);
      reader.compact();
    }
    EXPECT_EQ(got, sent);
    EXPECT_TRUE(reader.empty());
  }
}

TEST(FrameReader, WhatIsTooLargeIsRefusedByItsPrefixAlone) {
  FrameReader reader;
  std::string_view message;
  reader.feed(std::string_view("\0\xff\xff\xff\xff", 5));
  EXPECT_EQ(reader.next(4U << 20U, message), FrameReader::State::kTooLarge);
  EXPECT_LT(reader.capacity(), 4096U);
}

TEST(FrameReader, ACompressedMessageIsToldApart) {
  FrameReader reader;
  std::string_view message;
  reader.feed(std::string_view("\1\0\0\0\1x", 6));
  EXPECT_EQ(reader.next(100, message), FrameReader::State::kCompressed);
}

}  // namespace
}  // namespace codeq::transport::grpc
