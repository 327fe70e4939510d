// Hexadecimal digits; callers own the bounds.
// Cost     a handful of instructions for eight digits, a table lookup for each of what is left over; no allocation
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

// Eight digits in one register, a byte each, the first in the lowest.
inline constexpr std::uint64_t kEach = 0x0101'0101'0101'0101;
static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t digits_of(std::uint32_t bytes) {
  std::uint64_t x = bytes;
  x = (x | (x << 16)) & 0x0000'ffff'0000'ffff;
  x = (x | (x << 8)) & 0x00ff'00ff'00ff'00ff;
  x = ((x >> 4) | (x << 8)) & (0x0f * kEach);
  const auto letters = ((x + 6 * kEach) >> 4) & kEach;
  return x + '0' * kEach + ('a' - '0' - 10) * letters;
}

// Their four bytes. `wrong` gets a bit where a digit is none. A sum says "at least" in a byte's highest bit, as long as the
// bytes are below 128; where one is not, that bit of its own is wrong enough.
constexpr std::uint32_t bytes_of(std::uint64_t digits, bool upper, std::uint64_t& wrong) {
  const auto lower = upper ? digits | (0x20 * kEach) : digits;
  const auto is_digit = (digits + (0x80 - '0') * kEach) & ~(digits + (0x80 - '9' - 1) * kEach);
  const auto is_letter = (lower + (0x80 - 'a') * kEach) & ~(lower + (0x80 - 'f' - 1) * kEach);
  wrong |= (digits | ~(is_digit | is_letter)) & (0x80 * kEach);
  auto x = (digits & (0x0f * kEach)) + 9 * ((digits >> 6) & kEach);
  x = ((x << 4) | (x >> 8)) & 0x00ff'00ff'00ff'00ff;
  x = (x | (x >> 8)) & 0x0000'ffff'0000'ffff;
  return static_cast<std::uint32_t>(x | (x >> 16));
}

// Reads 2 * bytes.size() digits from `text`; false where one is none, and then the bytes are anything.
inline bool read(const char* text, std::span<std::uint8_t> bytes, bool upper) {
  std::uint64_t wrong = 0;
  for (; bytes.size() >= 4; bytes = bytes.subspan(4), text += 8) {
    std::uint64_t digits = 0;
    std::memcpy(&digits, text, sizeof digits);
    const auto four = bytes_of(digits, upper, wrong);
    std::memcpy(bytes.data(), &four, sizeof four);
  }
  const auto& values = upper ? kEither : kLower;
  std::uint8_t seen = 0;
  for (auto& byte : bytes) {
    const auto high = values[static_cast<unsigned char>(*text++)];
    const auto low = values[static_cast<unsigned char>(*text++)];
    seen = static_cast<std::uint8_t>(seen | high | low);
    byte = static_cast<std::uint8_t>((high << 4) | (low & 0xf));
  }
  return wrong == 0 && (seen & 0xf0) == 0;
}
}  // namespace hex_detail

// The digit's value, or kNotHex.
constexpr std::uint8_t hex_value_lower(char c) { return hex_detail::kLower[static_cast<unsigned char>(c)]; }
constexpr std::uint8_t hex_value(char c) { return hex_detail::kEither[static_cast<unsigned char>(c)]; }

// Writes 2 * bytes.size() lower-case digits to `out`, returns the end.
inline char* write_hex(std::span<const std::uint8_t> bytes, char* out) {
  for (; bytes.size() >= 4; bytes = bytes.subspan(4), out += 8) {
    std::uint32_t four = 0;
    std::memcpy(&four, bytes.data(), sizeof four);
    const auto digits = hex_detail::digits_of(four);
    std::memcpy(out, &digits, sizeof digits);
  }
  for (const auto byte : bytes) {  // two neighbours at once: compilers make one load and one store of it
    const char* const pair = &hex_detail::kPairs[std::size_t{2} * byte];
    out[0] = pair[0];
    out[1] = pair[1];
    out += 2;
  }
  return out;
}

// Reads 2 * bytes.size() digits from `text`; false where one is none, and then the bytes are anything.
inline bool read_hex_lower(const char* text, std::span<std::uint8_t> bytes) { return hex_detail::read(text, bytes, false); }
inline bool read_hex(const char* text, std::span<std::uint8_t> bytes) { return hex_detail::read(text, bytes, true); }

}  // namespace codeq
