// Walks through one JSON value from left to right, once, for whoever knows what it looks for:
// scan_object and scan_array read the bytes of a nested value again with every level, this one does not.
//
// Shape    the caller stands before a value and passes it by `value` or `string`, or goes in: enter_object, then `member`
//          and a value until `member` says no; enter_array, `element` and a value likewise. At the end `end`
// Source   as json_scan.h, which is built on this
// Errors   false, and error() says what and where; nothing but error() and `back_to` may be called after it. `member` and
//          `element` also say no where the container ends: failed() tells the two apart
// Bounds   depth_max open arrays and objects, at most kJsonDepthLimit
// Cost     no allocation
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/json_scan.h"

namespace codeq::core {

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text, std::size_t depth_max = kJsonDepthMax);

  // What begins here, by its first byte; kNumber also where nothing does. Passes white space.
  [[nodiscard]] JsonType next();

  bool enter_object() { return enter('{'); }
  bool enter_array() { return enter('['); }
  bool member(std::string_view& key_raw);  // stands before its value then
  bool element();

  bool value(std::string_view& bytes);  // without the white space around it
  bool value();
  // A string's text; it lies in `room` where it had escapes, else it borrows the bytes.
  bool string(std::string_view& text, std::string& room);
  bool string(std::string& text);
  bool end();  // nothing follows but white space
  [[nodiscard]] bool at_end() const { return at_ == end_; }

  bool refuse(std::string_view value_start);  // an error of the caller's, there
  [[nodiscard]] bool failed() const { return reason_.data() != nullptr; }
  [[nodiscard]] JsonError error() const { return {static_cast<std::size_t>(at_ - begin_), reason_}; }

  // Before a value; going back there undoes everything, an error too.
  struct Place {
    const char* at;
    std::size_t depth;
    bool first;
  };
  [[nodiscard]] Place place() const { return {at_, depth_, first_}; }
  void back_to(const Place& place);

 private:
  bool fail(std::string_view reason);
  void skip_space();
  bool enter(char open);
  bool comma_or(char close);  // false: `close` has come, or an error
  bool key(std::string_view& raw);
  bool pass_string();
  bool pass_text(std::string_view& bytes);
  bool pass_value();
  bool escape();
  bool digits();
  bool number();
  bool word(std::string_view expected);

  // Which of the containers that pass_value has open are objects.
  using OpenKinds = std::array<std::uint64_t, kJsonDepthLimit / 64>;

  const char* begin_;
  const char* at_;
  const char* end_;
  std::size_t depth_max_;
  std::size_t depth_ = 0;  // of the containers that were entered
  bool first_ = false;  // nothing of the innermost of them has been read
  bool escaped_ = false;  // the string that was passed last
  std::string_view reason_;
};

}  // namespace codeq::core
