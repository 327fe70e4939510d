// Hexadecimal digits, one byte at a time; callers own the bounds.
// Cost     a table lookup per digit, no allocation
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace codeq {

inline constexpr std::array<char, 16> kHexDigits{'0', '1', '2', '3', '4', '5', '6', '7',
                                                 '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
inline constexpr std::uint8_t kNotHex = 0xff;

namespace hex_detail {
constexpr std::array<std::uint8_t, 256> table(bool upper) {
  std::array<std::uint8_t, 256> values{};
  for (auto& value : values) value = kNotHex;
  for (std::uint8_t i = 0; i < 16; ++i) {
    const auto digit = static_cast<unsigned char>(kHexDigits[i]);
    values[digit] = i;
    if (upper && i >= 10) values[static_cast<std::size_t>(digit - 'a' + 'A')] = i;
  }
  return values;
}
// Both digits of every byte.
constexpr std::array<char, 512> pairs() {
  std::array<char, 512> digits{};
  for (std::size_t i = 0; i < 256; ++i) {
    digits[2 * i] = kHexDigits[i >> 4];
    digits[2 * i + 1] = kHexDigits[i & 0xf];
  }
  return digits;
}
inline constexpr auto kPairs = pairs();
inline constexpr auto kLower = table(false);
inline constexpr auto kEither = table(true);
}  // namespace hex_detail

// The digit's value, or kNotHex.
constexpr std::uint8_t hex_value_lower(char c) { return hex_detail::kLower[static_cast<unsigned char>(c)]; }
constexpr std::uint8_t hex_value(char c) { return hex_detail::kEither[static_cast<unsigned char>(c)]; }

// Writes 2 * bytes.size() lower-case digits to `out`, returns the end.
constexpr char* write_hex(std::span<const std::uint8_t> bytes, char* out) {
  for (const auto byte : bytes) {  // two neighbours at once: compilers make one load and one store of it
    const char* const pair = &hex_detail::kPairs[std::size_t{2} * byte];
    out[0] = pair[0];
    out[1] = pair[1];
    out += 2;
  }
  return out;
}

// Reads 2 * bytes.size() lower-case digits from `text`; false at the first character that is not one.
constexpr bool read_hex_lower(const char* text, std::span<std::uint8_t> bytes) {
  std::uint8_t seen = 0;
  for (auto& byte : bytes) {
    const auto high = hex_value_lower(*text++);
    const auto low = hex_value_lower(*text++);
    seen = static_cast<std::uint8_t>(seen | high | low);
    byte = static_cast<std::uint8_t>((high << 4) | (low & 0xf));
  }
  return (seen & 0xf0) == 0;
}

}  // namespace codeq
