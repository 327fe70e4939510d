#include "base/hex.h"

#include <gtest/gtest.h>

#include <string>

namespace codeq {
namespace {

TEST(Hex, EveryByteComesBack) {
  std::array<std::uint8_t, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  std::string text(512, '?');
  EXPECT_EQ(write_hex(bytes, text.data()), text.data() + text.size());
  std::array<std::uint8_t, 256> back{};
  EXPECT_TRUE(read_hex_lower(text.data(), back));
  EXPECT_EQ(back, bytes);
}

TEST(Hex, OnlyDigitsAreDigits) {
  for (int c = 0; c < 256; ++c) {
    const auto where = std::string_view("0123456789abcdef").find(static_cast<char>(c));
    const auto upper = std::string_view("0123456789ABCDEF").find(static_cast<char>(c));
    EXPECT_EQ(hex_value_lower(static_cast<char>(c)), where < 16 ? where : std::size_t{kNotHex});
    EXPECT_EQ(hex_value(static_cast<char>(c)), where < 16 ? where : upper < 16 ? upper : std::size_t{kNotHex});
    std::array<std::uint8_t, 1> byte{};
    EXPECT_EQ(read_hex_lower(std::string{'0', static_cast<char>(c)}.data(), byte), where < 16);
    EXPECT_EQ(read_hex_lower(std::string{static_cast<char>(c), '0'}.data(), byte), where < 16);
  }
}

}  // namespace
}  // namespace codeq
