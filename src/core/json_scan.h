// A strict JSON scanner that converts nothing: it says whether bytes are one JSON value, and where its parts lie, so that a
// payload can be kept and handed back byte for byte.
//
// Source   RFC 8259. White space may stand around the value, nothing else. Numbers of any size and half surrogate pairs
//          written as escapes ("\ud800") are JSON and accepted, as in Go's encoding/json. Unlike there, raw bytes that are
//          not UTF-8 are refused, also inside strings (RFC 8259 section 8.1); so is a byte order mark.
// Bounds   depth_max open arrays and objects, at most kJsonDepthLimit
// Cost     one pass; no allocation but where a string is returned
// Threads  any
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace codeq::core {

inline constexpr std::size_t kJsonDepthMax = 64;  // what we accept unless told otherwise
inline constexpr std::size_t kJsonDepthLimit = 1024;  // what can be asked for

struct JsonError {
  std::size_t offset = 0;
  std::string_view reason;  // fixed text, never bytes of the input
};

// nullopt: `text` is one JSON value.
std::optional<JsonError> validate(std::string_view text, std::size_t depth_max = kJsonDepthMax);
inline bool valid_json(std::string_view text, std::size_t depth_max = kJsonDepthMax) {
  return !validate(text, depth_max);
}

enum class JsonType : std::uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

struct JsonMember {
  std::string_view key_raw;  // the string token with its quotes, escapes as sent; empty for an array's element
  std::string_view value;  // the value's bytes without the white space around it
  JsonType type{};
};

namespace json_detail {
using Visit = bool (*)(void* visitor, const JsonMember& member);
std::optional<JsonError> scan(std::string_view body, char open, std::size_t depth_max, Visit visit, void* visitor);
// `text`: what stands between the quotes of a string token that has been validated.
void append_unescaped(std::string& out, std::string_view text);

template <class F>
std::optional<JsonError> scan_with(std::string_view body, char open, std::size_t depth_max, F& on_member) {
  const Visit visit = [](void* visitor, const JsonMember& member) {
    auto& f = **static_cast<F**>(visitor);
    if constexpr (std::is_void_v<decltype(f(member))>) {
      f(member);
      return true;
    } else {
      return static_cast<bool>(f(member));
    }
  };
  auto* f = std::addressof(on_member);
  return scan(body, open, depth_max, visit, &f);
}
}  // namespace json_detail

// Validates `body`, which must be an object (an array), and calls on_member(const JsonMember&) for each of its members
// (elements) as soon as that one has been validated. What was seen counts only if nullopt comes back. A visitor may return
// false to stop; the error then points at the value it refused.
template <class F>
std::optional<JsonError> scan_object(std::string_view body, F&& on_member, std::size_t depth_max = kJsonDepthMax) {
  return json_detail::scan_with(body, '{', depth_max, on_member);
}
template <class F>
std::optional<JsonError> scan_array(std::string_view body, F&& on_element, std::size_t depth_max = kJsonDepthMax) {
  return json_detail::scan_with(body, '[', depth_max, on_element);
}

// The text of a string token (quotes included) in UTF-8; half a surrogate pair becomes U+FFFD. nullopt: not a string token.
std::optional<std::string> json_unescape(std::string_view string_token);

// An integer token that fits: no fraction, no exponent (`5.0` and `1e2` are refused, as the API wants it).
std::optional<std::int64_t> json_int(std::string_view token);

// Which of `names` the key means: the one that is equal, else the first that differs only in ASCII case. Of several members
// that mean the same name the last one wins, so a visitor simply assigns.
std::optional<std::size_t> json_name(std::string_view key_raw, std::span<const std::string_view> names);

// Appends `utf8` escaped as Go's encoding/json does: also < > & U+2028 U+2029; bytes that are not UTF-8 become U+FFFD.
void json_escape_append(std::string& out, std::string_view utf8);
// The same between quotes.
void append_json_string(std::string& out, std::string_view utf8);

}  // namespace codeq::core
