#include "core/json_scan.h"

#include <algorithm>
#include <charconv>

#include "base/hex.h"
#include "core/json_cursor.h"
#include "core/json_pen.h"
#include "core/utf8.h"

namespace codeq::core {
namespace {

std::uint32_t four_digits(const char* text) {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i) code = (code << 4) | hex_value(text[i]);
  return code;
}

constexpr bool is_high_surrogate(std::uint32_t code) { return code >= 0xd800 && code < 0xdc00; }
constexpr bool is_low_surrogate(std::uint32_t code) { return code >= 0xdc00 && code < 0xe000; }

// Reads the \uXXXX at `at`, both halves where two belong together; returns where it ends.
const char* unescape_unicode(const char* at, const char* end, std::string& out) {
  auto code = four_digits(at + 2);
  at += 6;
  if (is_high_surrogate(code) && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
      is_low_surrogate(four_digits(at + 2))) {
    code = 0x10000 + ((code - 0xd800) << 10) + (four_digits(at + 2) - 0xdc00);
    at += 6;
  } else if (is_high_surrogate(code) || is_low_surrogate(code)) {
    code = kReplacementCharacter;
  }
  append_utf8(out, code);
  return at;
}

char unescape_one(char c) {
  switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c;  // quote, backslash, slash
  }
}

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool same_but_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

}  // namespace

std::optional<JsonError> validate(std::string_view text, std::size_t depth_max) {
  JsonCursor cursor(text, depth_max);
  if (cursor.value() && cursor.end()) return std::nullopt;
  return cursor.error();
}

std::optional<JsonError> json_detail::scan(std::string_view body, char open, std::size_t depth_max, Visit visit,
                                           void* visitor) {
  JsonCursor cursor(body, depth_max);
  const bool object = open == '{';
  if (!(object ? cursor.enter_object() : cursor.enter_array())) return cursor.error();
  JsonMember member;
  while (object ? cursor.member(member.key_raw) : cursor.element()) {
    member.type = cursor.next();
    if (!cursor.value(member.value)) break;
    if (visit(visitor, member)) continue;
    cursor.refuse(member.value);
    break;
  }
  if (!cursor.failed() && cursor.end()) return std::nullopt;
  return cursor.error();
}

void json_detail::append_unescaped(std::string& out, std::string_view text) {
  out.reserve(out.size() + text.size());
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const char* const slash = std::find(at, end, '\\');
    out.append(at, slash);
    if (slash == end) break;
    if (slash[1] == 'u') {
      at = unescape_unicode(slash, end, out);
    } else {
      out += unescape_one(slash[1]);
      at = slash + 2;
    }
  }
}

std::optional<std::string> json_unescape(std::string_view string_token) {
  if (string_token.empty() || string_token.front() != '"') return std::nullopt;
  std::string out;
  if (JsonCursor cursor(string_token); !cursor.string(out) || !cursor.at_end()) return std::nullopt;
  return out;
}

std::optional<std::int64_t> json_int(std::string_view token) {
  const auto digits = token.starts_with('-') ? token.substr(1) : token;
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(token.data(), token.data() + token.size(), number);
  if (error != std::errc{} || stop != token.data() + token.size()) return std::nullopt;
  return number;
}

std::optional<std::size_t> json_name(std::string_view key_raw, std::span<const std::string_view> names) {
  if (key_raw.size() < 2) return std::nullopt;
  auto key = key_raw.substr(1, key_raw.size() - 2);
  // The usual case: as we spell it. None of our names holds a backslash, so that no escape can stand in such a key.
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].size() == key.size() && !key.empty() && names[i].front() == key.front() && names[i] == key) return i;
  }
  std::optional<std::string> unescaped;
  if (key.find('\\') != std::string_view::npos) {
    unescaped = json_unescape(key_raw);
    if (!unescaped) return std::nullopt;
    key = *unescaped;
  }
  std::optional<std::size_t> folded;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == key) return i;
    if (!folded && same_but_case(names[i], key)) folded = i;
  }
  return folded;
}

void json_escape_append(std::string& out, std::string_view utf8) { JsonPen(out).escaped(utf8); }

void append_json_string(std::string& out, std::string_view utf8) { JsonPen(out).quoted(utf8); }

}  // namespace codeq::core
