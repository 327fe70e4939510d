#include "core/json_cursor.h"

#include <algorithm>

#include "base/byte_runs.h"
#include "base/hex.h"
#include "core/utf8.h"

namespace codeq::core {
namespace {

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

JsonType type_of(char first) {
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

}  // namespace

JsonCursor::JsonCursor(std::string_view text, std::size_t depth_max)
    : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), depth_max_(std::min(depth_max, kJsonDepthLimit)) {}

inline void JsonCursor::skip_space() {
  while (at_ != end_ && is_space(*at_)) ++at_;
}

bool JsonCursor::fail(std::string_view reason) {
  reason_ = reason;
  return false;
}

bool JsonCursor::refuse(std::string_view value_start) {
  at_ = value_start.data();
  return fail("refused");
}

void JsonCursor::back_to(const Place& place) {
  at_ = place.at;
  depth_ = place.depth;
  first_ = place.first;
  reason_ = {};
}

JsonType JsonCursor::next() {
  skip_space();
  return at_ == end_ ? JsonType::kNumber : type_of(*at_);
}

bool JsonCursor::end() {
  skip_space();
  return at_ == end_ || fail("bytes behind the value");
}

bool JsonCursor::enter(char open) {
  skip_space();
  if (at_ == end_ || *at_ != open) return fail(open == '{' ? "not an object" : "not an array");
  if (depth_ >= depth_max_) return fail("too deep");
  ++at_;
  ++depth_;
  first_ = true;
  return true;
}

inline bool JsonCursor::comma_or(char close) {
  skip_space();
  if (at_ != end_ && *at_ == close) {
    ++at_;
    --depth_;
    first_ = false;
    return false;
  }
  if (first_) {
    first_ = false;
    return true;
  }
  if (at_ == end_) return fail("the text ends too early");
  if (*at_ != ',') return fail("a comma or the end expected");
  ++at_;
  skip_space();
  return true;
}

bool JsonCursor::member(std::string_view& key_raw) { return comma_or('}') && key(key_raw); }
bool JsonCursor::element() { return comma_or(']'); }

// A key, its colon, and the space before the value.
inline bool JsonCursor::key(std::string_view& raw) {
  if (at_ == end_ || *at_ != '"') return fail("a name expected");
  const char* const start = at_;
  if (!pass_string()) return false;
  raw = {start, static_cast<std::size_t>(at_ - start)};
  skip_space();
  if (at_ == end_ || *at_ != ':') return fail("a colon expected");
  ++at_;
  skip_space();
  return true;
}

bool JsonCursor::value() {
  skip_space();
  return pass_value();
}

bool JsonCursor::value(std::string_view& bytes) {
  skip_space();
  const char* const start = at_;
  if (!pass_value()) return false;
  bytes = {start, static_cast<std::size_t>(at_ - start)};
  return true;
}

// The bytes between the quotes.
inline bool JsonCursor::pass_text(std::string_view& bytes) {
  skip_space();
  if (at_ == end_ || *at_ != '"') return fail("not a string");
  const char* const start = at_ + 1;
  if (!pass_string()) return false;
  bytes = {start, static_cast<std::size_t>(at_ - start - 1)};
  return true;
}

bool JsonCursor::string(std::string_view& text, std::string& room) {
  if (!pass_text(text)) return false;
  if (!escaped_) return true;
  room.clear();
  json_detail::append_unescaped(room, text);
  text = room;
  return true;
}

bool JsonCursor::string(std::string& text) {
  std::string_view bytes;
  if (!pass_text(bytes)) return false;
  if (!escaped_) {
    text.assign(bytes);
    return true;
  }
  text.clear();
  json_detail::append_unescaped(text, bytes);
  return true;
}

bool JsonCursor::pass_string() {
  ++at_;
  escaped_ = false;
  while (true) {
    at_ = find_stop<StringStops>(at_, end_);
    if (at_ == end_) return fail("the string does not end");
    const char c = *at_;
    if (c == '"') {
      ++at_;
      return true;
    }
    if (c == '\\') {
      escaped_ = true;
      if (!escape()) return false;
    } else if (is_ascii(c)) {
      return fail("a control character in a string");
    } else {
      do {  // such characters come in words
        const auto length = utf8_length(at_, end_);
        if (length == 0) return fail("not UTF-8");
        at_ += length;
      } while (at_ != end_ && !is_ascii(*at_));
    }
  }
}

bool JsonCursor::escape() {
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

bool JsonCursor::digits() {
  if (at_ == end_ || !is_digit(*at_)) return fail("a digit expected");
  while (at_ != end_ && is_digit(*at_)) ++at_;
  return true;
}

bool JsonCursor::number() {
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

bool JsonCursor::word(std::string_view expected) {
  if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(expected))
    return fail("a value expected");
  at_ += expected.size();
  return true;
}

// One value that starts here. Bits instead of recursion: what a caller sends must not decide how much stack we use.
bool JsonCursor::pass_value() {
  OpenKinds objects;  // a bit is written before it is read
  std::size_t open = 0;
  std::string_view ignored;
  while (true) {
    if (at_ == end_) return fail("a value expected");
    switch (const char c = *at_) {
      case '{':
      case '[': {
        if (depth_ + open >= depth_max_) return fail("too deep");
        ++at_;
        skip_space();
        if (at_ != end_ && *at_ == (c == '{' ? '}' : ']')) {
          ++at_;
          break;
        }
        const auto bit = std::uint64_t{1} << (open % 64);
        auto& word_of = objects[open / 64];
        if (open % 64 == 0) word_of = 0;
        word_of = c == '{' ? word_of | bit : word_of & ~bit;
        ++open;
        if (c == '{' && !key(ignored)) return false;
        continue;
      }
      case '"':
        if (!pass_string()) return false;
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
      const bool object = (objects[(open - 1) / 64] >> ((open - 1) % 64) & 1U) != 0;
      if (*at_ == ',') {
        ++at_;
        skip_space();
        if (object && !key(ignored)) return false;
        break;
      }
      if (*at_ != (object ? '}' : ']')) return fail("a comma or the end expected");
      ++at_;
      --open;
    }
  }
}

}  // namespace codeq::core
