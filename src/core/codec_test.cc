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
  ASSERT_EQ(std::string(bytes.data(), put_varint(v, bytes.data())), varint(v)) << v;
  ASSERT_EQ(varint_bytes(v), varint(v).size()) << v;
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

TEST(Codec, NestedFieldsStandBehindTheirLengthHoweverLongTheyWereExpectedToBe) {
  for (const std::size_t size : {0, 1, 127, 128, 300, 16'383, 16'384, 70'000})
    for (const std::size_t expected : {0, 127, 128, 16'384, 1 << 20}) {
      std::string out = "x";
      Writer io(out, 0);
      io(std::uint8_t{1});
      io.nested(expected, [&] {
        const std::string text(size, 'a');
        char* at = io.room(size);
        std::memcpy(at, text.data(), size);
        io.wrote(at + size);
      });
      io(std::uint8_t{2});
      io.end();
      ASSERT_EQ(out, "x\1" + varint(size) + std::string(size, 'a') + "\2") << size << ", expected " << expected;
    }
}

}  // namespace
}  // namespace codeq::core
