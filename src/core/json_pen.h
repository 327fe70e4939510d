// Writes JSON into a string through a small buffer of its own, so that a member costs a few moves and no question about the
// string's room.
//
// Shape    `raw` as it is, `quoted` and `escaped` as a JSON string's text; what was written is in `out` when the pen
//          has gone, or after `flush`
// Escapes  as Go's encoding/json: also < > & U+2028 U+2029; bytes that are not UTF-8 become U+FFFD
// Cost     about half an instruction a byte of plain text
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace codeq::core {

class JsonPen {
 public:
  explicit JsonPen(std::string& out) : out_(out), at_(buffer_) {}
  ~JsonPen() { flush(); }
  JsonPen(const JsonPen&) = delete;
  JsonPen& operator=(const JsonPen&) = delete;

  template <std::size_t N>
  void raw(const char (&literal)[N]) {
    static_assert(N < kBytes);
    std::memcpy(room(N), literal, N - 1);
    at_ += N - 1;
  }
  void raw(char c) {
    *room(1) = c;
    ++at_;
  }
  void raw(std::string_view text);
  void number(std::int64_t number) { at_ = std::to_chars(room(kNumberBytes), buffer_ + kBytes, number).ptr; }
  void escaped(std::string_view utf8);
  void quoted(std::string_view utf8) {
    raw('"');
    escaped(utf8);
    raw('"');
  }
  // Room for `bytes`, at most kRoomMax; what was written there ends at `wrote`.
  static constexpr std::size_t kRoomMax = 256;
  char* room(std::size_t bytes) {
    if (left() < bytes) flush();
    return at_;
  }
  void wrote(char* end) { at_ = end; }

  void flush() {
    out_.append(buffer_, at_);
    at_ = buffer_;
  }

 private:
  static constexpr std::size_t kBytes = 2048;  // a usual task with its payload
  static constexpr std::size_t kNumberBytes = 24;
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(buffer_ + kBytes - at_); }
  const char* write_careful(const char* from, const char* end);

  char buffer_[kBytes];  // written before it is read
  std::string& out_;
  char* at_;
};

}  // namespace codeq::core
