#include "core/json_pen.h"

#include <algorithm>
#include <array>

#include "base/byte_runs.h"
#include "base/hex.h"
#include "core/utf8.h"

namespace codeq::core {
namespace {

constexpr std::size_t kCarefulBytes = 8;  // what one character becomes at most, and some

// 'u': \u00XX; 'm': several bytes; else the letter behind the backslash.
constexpr auto kHow = [] {
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

char* put(char* to, std::string_view text) { return std::copy(text.begin(), text.end(), to); }

}  // namespace

void JsonPen::raw(std::string_view text) {
  if (text.empty()) return;
  if (text.size() > kRoomMax) {
    flush();
    out_.append(text);
    return;
  }
  std::memcpy(room(text.size()), text.data(), text.size());
  at_ += text.size();
}

// Writes the character that starts at `from`, which is not plain; returns where it ends. There are kCarefulBytes of room.
inline const char* JsonPen::write_careful(const char* from, const char* end) {
  const auto byte = static_cast<unsigned char>(*from);
  const char how = kHow[byte];
  if (how == 'm') {
    const auto length = utf8_length(from, end);
    const std::string_view character(from, std::max<std::size_t>(length, 1));
    if (length == 0)
      at_ = put(at_, "\\ufffd");
    else if (character == "\u2028")
      at_ = put(at_, "\\u2028");
    else if (character == "\u2029")
      at_ = put(at_, "\\u2029");
    else
      at_ = put(at_, character);
    return from + character.size();
  }
  if (how == 'u') {
    at_ = put(at_, "\\u00");
    *at_++ = kHexDigits[byte >> 4];
    *at_++ = kHexDigits[byte & 0xf];
  } else {
    *at_++ = '\\';
    *at_++ = how;
  }
  return from + 1;
}

void JsonPen::escaped(std::string_view utf8) {
  const char* from = utf8.data();
  const char* const end = from + utf8.size();
  while (from != end) {
    if (left() < 2 * kCarefulBytes) flush();
    const auto count = std::min(static_cast<std::size_t>(end - from), left() - kCarefulBytes);
    const auto plain = copy_run<EscapeStops>(at_, from, count);
    at_ += plain;
    from += plain;
    if (plain == count) continue;  // the end, or no room
    // Such characters come in words; the next but one is looked at again by the run.
    do {
      from = write_careful(from, end);
    } while (from != end && EscapeStops::byte(static_cast<unsigned char>(*from)) && left() >= 2 * kCarefulBytes);
  }
}

}  // namespace codeq::core
