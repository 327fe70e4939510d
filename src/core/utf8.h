// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
// Source   The Unicode Standard, table 3-7 "Well-Formed UTF-8 Byte Sequences"; RFC 3629
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace codeq::core {

inline constexpr std::uint32_t kReplacementCharacter = 0xfffd;

// The length (1 to 4) of the well-formed sequence that starts at `at`, which is before `end`; 0: there is none.
constexpr std::size_t utf8_length(const char* at, const char* end) {
  const auto byte = [at](int i) { return static_cast<unsigned char>(at[i]); };
  const auto in = [](unsigned char b, unsigned low, unsigned high) { return b >= low && b <= high; };
  const auto left = end - at;
  const auto lead = byte(0);
  if (lead < 0x80) return 1;
  if (in(lead, 0xc2, 0xdf)) return left >= 2 && in(byte(1), 0x80, 0xbf) ? 2 : 0;
  if (in(lead, 0xe0, 0xef)) {
    const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;   // overlong below
    const unsigned high = lead == 0xed ? 0x9f : 0xbf;  // surrogates above
    return left >= 3 && in(byte(1), low, high) && in(byte(2), 0x80, 0xbf) ? 3 : 0;
  }
  if (in(lead, 0xf0, 0xf4)) {
    const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
    return left >= 4 && in(byte(1), low, high) && in(byte(2), 0x80, 0xbf) && in(byte(3), 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

// `code` is a scalar value: at most 0x10ffff and no surrogate.
inline void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  const auto tail = [&put, code](int shift) { put(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    put(0xf0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace codeq::core
