// How a command on this machine talks to the broker of a data folder: a Unix socket in that folder, for its owner alone.
//
// Shape    DATA/control.sock; one line in ("backup /absolute/path"), lines out: "progress DONE TOTAL", then "done TEXT" or
//          "error STATUS TEXT" with the exit status that the command ends with. One client at a time, others wait
// Errors   start: kIo; ask: kUnavailable when no broker answers there
// Threads  start and the destructor from one thread; `serve` runs on the control's own
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::app {

class Control {
 public:
  using Send = std::function<bool(const std::string& line)>;  // false: the client has gone
  // `line` without its end, at most kControlLineMax bytes; foreign bytes.
  using Serve = std::function<void(std::string_view line, const Send& send, const std::stop_token& stop)>;

  static Result<std::unique_ptr<Control>> start(const std::string& folder, Serve serve);
  ~Control();  // asks `serve` to stop, and waits for it
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

 private:
  struct Parts;
  explicit Control(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

inline constexpr std::size_t kControlLineMax = 8192;

// Sends one line and hands every answer to `heard`, until the broker has said its last word.
Result<void> ask_control(const std::string& folder, const std::string& line,
                         const std::function<void(std::string_view answer)>& heard);

}  // namespace codeq::app
