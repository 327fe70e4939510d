#include "core/json_scan.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <cstring>

#include "base/hex.h"
#include "core/utf8.h"

namespace codeq::core {
namespace {

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// 1 where a string's byte is more than itself: quote, backslash, control character, first byte of a UTF-8 sequence.
constexpr auto kStops = [] {
  std::array<bool, 256> stops{};
  for (std::size_t i = 0; i < stops.size(); ++i) stops[i] = i < 0x20 || i >= 0x80 || i == '"' || i == '\\';
  return stops;
}();

// True if none of the eight bytes stops. The subtractions borrow only out of a byte that already stops, so a false alarm
// never comes without a true one.
constexpr std::uint64_t each(std::uint64_t byte) { return byte * 0x0101010101010101U; }
bool eight_plain(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  const auto quotes = word ^ each('"');
  const auto slashes = word ^ each('\\');
  const auto stops = word | (word - each(0x20)) | (quotes - each(1)) | (slashes - each(1));
  return (stops & each(0x80)) == 0;
}

class Scanner {
 public:
  Scanner(std::string_view text, std::size_t depth_max)
      : begin_(text.data()),
        at_(begin_),
        end_(begin_ + text.size()),
        depth_max_(std::min(depth_max, kJsonDepthLimit)) {}

  [[nodiscard]] JsonError error() const { return {static_cast<std::size_t>(at_ - begin_), reason_}; }

  bool whole() {
    skip_space();
    return value(0) && nothing_more();
  }

  bool string() {
    ++at_;
    while (true) {
      while (end_ - at_ >= 8 && eight_plain(at_)) at_ += 8;
      while (at_ != end_ && !kStops[static_cast<unsigned char>(*at_)]) ++at_;
      if (at_ == end_) return fail("the string does not end");
      const char c = *at_;
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!escape()) return false;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        return fail("a control character in a string");
      } else {
        const auto length = utf8_length(at_, end_);
        if (length == 0) return fail("not UTF-8");
        at_ += length;
      }
    }
  }

  // The object or array that starts with `open`, telling `visit` of its parts; to the end of the text.
  bool container(char open, json_detail::Visit visit, void* visitor) {
    skip_space();
    if (at_ == end_ || *at_ != open) return fail(open == '{' ? "not an object" : "not an array");
    if (depth_max_ == 0) return fail("too deep");
    ++at_;
    const char close = open == '{' ? '}' : ']';
    skip_space();
    if (at_ != end_ && *at_ == close) {
      ++at_;
      return nothing_more();
    }
    while (true) {
      JsonMember member;
      if (open == '{' && !key(&member.key_raw)) return false;
      const char* const start = at_;
      if (!value(1)) return false;
      member.value = {start, static_cast<std::size_t>(at_ - start)};
      member.type = type_of(*start);
      if (!visit(visitor, member)) {
        at_ = start;
        return fail("refused");
      }
      skip_space();
      if (at_ == end_) return fail("the text ends too early");
      if (*at_ == close) {
        ++at_;
        return nothing_more();
      }
      if (*at_ != ',') return fail("a comma or the end expected");
      ++at_;
      skip_space();
    }
  }

  [[nodiscard]] bool at_end() const { return at_ == end_; }

 private:
  static JsonType type_of(char first) {
    switch (first) {
      case '{': return JsonType::kObject;
      case '[': return JsonType::kArray;
      case '"': return JsonType::kString;
      case 'n': return JsonType::kNull;
      case 't':
      case 'f': return JsonType::kBool;
      default: return JsonType::kNumber;
    }
  }

  bool fail(std::string_view reason) {
    reason_ = reason;
    return false;
  }

  void skip_space() {
    while (at_ != end_ && is_space(*at_)) ++at_;
  }

  bool nothing_more() {
    skip_space();
    return at_ == end_ || fail("bytes behind the value");
  }

  bool escape() {
    if (end_ - at_ < 2) return fail("the string does not end");
    switch (at_[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't': at_ += 2; return true;
      case 'u': break;
      default: return fail("an unknown escape");
    }
    if (end_ - at_ < 6 || std::any_of(at_ + 2, at_ + 6, [](char c) { return hex_value(c) == kNotHex; })) {
      return fail("four hex digits expected");
    }
    at_ += 6;
    return true;
  }

  bool digits() {
    if (at_ == end_ || !is_digit(*at_)) return fail("a digit expected");
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return true;
  }

  bool number() {
    if (*at_ == '-') ++at_;
    if (at_ != end_ && *at_ == '0') {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (at_ != end_ && *at_ == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      return digits();
    }
    return true;
  }

  bool word(std::string_view expected) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(expected))
      return fail("a value expected");
    at_ += expected.size();
    return true;
  }

  // A key, its colon, and the space before the value.
  bool key(std::string_view* raw) {
    if (at_ == end_ || *at_ != '"') return fail("a name expected");
    const char* const start = at_;
    if (!string()) return false;
    if (raw != nullptr) *raw = {start, static_cast<std::size_t>(at_ - start)};
    skip_space();
    if (at_ == end_ || *at_ != ':') return fail("a colon expected");
    ++at_;
    skip_space();
    return true;
  }

  // One value that starts here, `outside` containers already being open. Bits instead of recursion: what a caller sends
  // must not decide how much stack we use.
  bool value(std::size_t outside) {
    std::size_t open = 0;
    while (true) {
      if (at_ == end_) return fail("a value expected");
      switch (const char c = *at_) {
        case '{':
        case '[': {
          if (outside + open >= depth_max_) return fail("too deep");
          ++at_;
          skip_space();
          if (at_ != end_ && *at_ == (c == '{' ? '}' : ']')) {
            ++at_;
            break;
          }
          is_object_[open++] = c == '{';
          if (c == '{' && !key(nullptr)) return false;
          continue;
        }
        case '"':
          if (!string()) return false;
          break;
        case 't':
          if (!word("true")) return false;
          break;
        case 'f':
          if (!word("false")) return false;
          break;
        case 'n':
          if (!word("null")) return false;
          break;
        default:
          if (c != '-' && !is_digit(c)) return fail("a value expected");
          if (!number()) return false;
      }
      // A value has ended; close what ends with it.
      while (true) {
        if (open == 0) return true;
        skip_space();
        if (at_ == end_) return fail("the text ends too early");
        const bool object = is_object_[open - 1];
        if (*at_ == ',') {
          ++at_;
          skip_space();
          if (object && !key(nullptr)) return false;
          break;
        }
        if (*at_ != (object ? '}' : ']')) return fail("a comma or the end expected");
        ++at_;
        --open;
      }
    }
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  std::size_t depth_max_;
  std::bitset<kJsonDepthLimit> is_object_;  // per open container of the value under way
  std::string_view reason_;
};

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
  Scanner scanner(text, depth_max);
  if (scanner.whole()) return std::nullopt;
  return scanner.error();
}

std::optional<JsonError> json_detail::scan(std::string_view body, char open, std::size_t depth_max, Visit visit,
                                           void* visitor) {
  Scanner scanner(body, depth_max);
  if (scanner.container(open, visit, visitor)) return std::nullopt;
  return scanner.error();
}

std::optional<std::string> json_unescape(std::string_view string_token) {
  if (string_token.empty() || string_token.front() != '"') return std::nullopt;
  if (Scanner scanner(string_token, 0); !scanner.string() || !scanner.at_end()) return std::nullopt;
  const auto text = string_token.substr(1, string_token.size() - 2);
  std::string out;
  out.reserve(text.size());
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
  std::optional<std::string> unescaped;
  auto key = key_raw.substr(1, key_raw.size() - 2);
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

void json_escape_append(std::string& out, std::string_view utf8) {
  // 0: itself; 'u': \u00XX; 'm': several bytes; else the letter behind the backslash.
  static constexpr auto kHow = [] {
    std::array<char, 256> how{};
    for (std::size_t i = 0; i < how.size(); ++i) how[i] = i < 0x20 ? 'u' : i < 0x80 ? '\0' : 'm';
    how['"'] = '"';
    how['\\'] = '\\';
    how['\b'] = 'b';
    how['\f'] = 'f';
    how['\n'] = 'n';
    how['\r'] = 'r';
    how['\t'] = 't';
    how['<'] = how['>'] = how['&'] = 'u';
    return how;
  }();
  const char* at = utf8.data();
  const char* const end = at + utf8.size();
  const char* written = at;
  while (at != end) {
    const auto byte = static_cast<unsigned char>(*at);
    const char how = kHow[byte];
    if (how == 0) [[likely]] {
      ++at;
      continue;
    }
    std::size_t length = 1;
    std::string_view instead;
    if (how == 'm') {
      length = utf8_length(at, end);
      if (length == 0) {
        instead = "\\ufffd";
        length = 1;
      } else if (std::string_view(at, length) == "\u2028") {
        instead = "\\u2028";
      } else if (std::string_view(at, length) == "\u2029") {
        instead = "\\u2029";
      } else {
        at += length;
        continue;
      }
    }
    out.append(written, at);
    if (!instead.empty()) {
      out += instead;
    } else if (how == 'u') {
      out += "\\u00";
      out += kHexDigits[byte >> 4];
      out += kHexDigits[byte & 0xf];
    } else {
      out += '\\';
      out += how;
    }
    at += length;
    written = at;
  }
  out.append(written, end);
}

void append_json_string(std::string& out, std::string_view utf8) {
  out += '"';
  json_escape_append(out, utf8);
  out += '"';
}

}  // namespace codeq::core
