#include "base/hex.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

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

// Eight digits are read at once, and what is left over one by one: every character in every place of both.
TEST(Hex, AWrongDigitIsSeenInEveryPlace) {
  const std::string good = "0123456789abcdefABCDEF";
  for (std::size_t bytes = 1; bytes <= 11; ++bytes) {
    const std::string text(good.substr(0, 2 * bytes).substr(0, 16) + std::string(2 * bytes > 16 ? 2 * bytes - 16 : 0, '7'));
    std::vector<std::uint8_t> back(bytes);
    ASSERT_TRUE(read_hex_lower(text.data(), back));
    for (std::size_t place = 0; place < text.size(); ++place)
      for (int c = 0; c < 256; ++c) {
        auto changed = text;
        changed[place] = static_cast<char>(c);
        const bool lower = hex_value_lower(static_cast<char>(c)) != kNotHex, either = hex_value(static_cast<char>(c)) != kNotHex;
        ASSERT_EQ(read_hex_lower(changed.data(), back), lower) << c << " at " << place << " of " << text.size();
        ASSERT_EQ(read_hex(changed.data(), back), either) << c << " at " << place << " of " << text.size();
        if (either) {
          const auto byte = back[place / 2];
          ASSERT_EQ(place % 2 == 0 ? byte >> 4 : byte & 0xf, hex_value(static_cast<char>(c)));
        }
      }
  }
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
