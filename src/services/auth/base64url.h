// base64url without padding (RFC 4648, 5; RFC 7515, 2). Internal to services/auth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace codeq::services::auth {

// Strict: no padding, no line breaks, no left-over bits, so that bytes have one spelling.
inline std::optional<std::string> decode_base64url(std::string_view text) {
  const auto value = [](char c) -> std::uint32_t {
    if (c >= 'A' && c <= 'Z') return static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0' + 52);
    return c == '-' ? 62 : c == '_' ? 63 : 64;
  };
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::uint32_t six = value(c);
    if (six > 63) return std::nullopt;
    bits = bits << 6U | six;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xffU);
      bits &= (1U << held) - 1;
    }
  }
  if (bits != 0) return std::nullopt;
  return out;
}

}  // namespace codeq::services::auth
