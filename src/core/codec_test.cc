#include "core/codec.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace codeq::core {
namespace {

// As the encoding is defined: seven bits at a time, the least significant first, a high bit on all but the last.
std::string varint(std::uint64_t v) {
  std::string bytes;
  for (; v >= 0x80; v >>= 7) bytes += static_cast<char>(v | 0x80);
  return bytes + static_cast<char>(v);
}

void expect_written(std::uint64_t v) {
  std::array<char, kVarintRoom> bytes;
  const auto length = put_varint(v, bytes.data());
  ASSERT_EQ(std::string(bytes.data(), length), varint(v)) << v;
  std::string out = "x";
  Writer io(out, 0);  // no room to begin with
  io(v);
  io.end();
  ASSERT_EQ(out, "x" + varint(v));
  Reader in(std::string_view(out).substr(1));
  std::uint64_t read = 0;
  in(read);
  ASSERT_TRUE(in.ok() && in.at_end());
  ASSERT_EQ(read, v);
}

TEST(Codec, AVarintIsTheSameByteForByteAsOneWrittenAByteAtATime) {
  for (unsigned bits = 0; bits < 64; ++bits)
    for (const auto v : {(std::uint64_t{1} << bits) - 1, std::uint64_t{1} << bits, (std::uint64_t{1} << bits) + 1})
      expect_written(v);
  expect_written(UINT64_MAX);
  SeededRng rng(5);
  for (int i = 0; i < 20'000; ++i) expect_written(rng.next() >> (rng.next() % 64));
}

}  // namespace
}  // namespace codeq::core
