// One run of a handler: a process in a group of its own, its payload on stdin, its output collected, its errors passed on.
//
// Shape    stdin is written while stdout and stderr are read, in one poll loop, so that neither side can block the other.
//          stderr goes on line by line behind the label. When the process ends, whatever it left in its group is killed.
// Inherits nothing but 0, 1 and 2, the environment and the working folder; signals as at the start of a program
// Bounds   output beyond `output_bytes_max` is read and dropped; a line of stderr is passed on in pieces of 8 KiB
// Signals  the process must ignore SIGPIPE: a handler may close its stdin early
// Threads  run_handler blocks its thread; HandlerStop::ask from any
// Errors   kIo: the process could not be started
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/fd.h"
#include "base/clock.h"
#include "base/result.h"

namespace codeq::app::client {

enum class StopReason : std::uint8_t { kNone, kLeaseLost, kDrained, kKill };  // kKill: at once

// How other threads end a handler: SIGTERM to its group, SIGKILL after a while.
class HandlerStop {
 public:
  HandlerStop();
  // The first reason stays; kKill adds its haste to it.
  void ask(StopReason reason);
  [[nodiscard]] StopReason reason() const { return reason_.load(); }
  [[nodiscard]] bool kill_now() const { return kill_now_.load(); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void take() const;  // makes fd() quiet until the next ask

 private:
  Fd fd_;
  std::atomic<StopReason> reason_{StopReason::kNone};
  std::atomic<bool> kill_now_{false};
};

struct HandlerJob {
  std::vector<std::string> words;  // the program, looked for in PATH, and its arguments
  std::vector<std::pair<std::string, std::string>> variables;  // an empty value: the variable is taken away
  std::string_view input;
  std::string label;  // before each line of stderr
  std::chrono::nanoseconds timeout{0};  // 0: none
  std::chrono::nanoseconds kill_after{0};  // between SIGTERM and SIGKILL
  std::size_t output_bytes_max = 0;
};

struct HandlerEnd {
  enum class Kind : std::uint8_t { kExited, kSignalled, kTimedOut, kLeaseLost, kStopped };
  Kind kind = Kind::kExited;
  bool signalled = false;  // it ended by a signal, whoever sent it
  int code = 0;  // exit status, or the signal
  std::string output;
  bool output_over = false;  // there was more
  std::string last_line;  // of stderr that was not blank; at most 512 bytes
};

Result<HandlerEnd> run_handler(const HandlerJob& job, HandlerStop& stop, Clock& clock);

// Whether `program` is there and may be run, by the rules of PATH.
bool can_run(const std::string& program);

}  // namespace codeq::app::client
