// A lease on a task as its holder knows it, and the thread that keeps it alive.
//
// Time     our own steady clock. A claim's lease counts from the arrival of its answer, an extension from the sending of its
//          heartbeat, so that an extension is never thought longer than it is.
// Threads  the keeper has one of its own; Lease is shared with the thread that runs the handler
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "app/client/api.h"
#include "app/client/handler.h"
#include "base/clock.h"

namespace codeq::app::client {

struct ClaimedTask {
  std::string id, command, payload, lease_token;
  std::int64_t attempt = 0;
  TraceHeaders trace;  // of this attempt
};
// Errors: kInvalidBody, the answer is no task
Result<ClaimedTask> claimed_task(std::string_view answer);

class Lease {
 public:
  explicit Lease(std::int64_t end_ns) : end_ns_(end_ns) {}
  void extend_to(std::int64_t end_ns) { end_ns_.store(end_ns); }
  void lose() { lost_.store(true); }
  [[nodiscard]] bool lost() const { return lost_.load(); }  // the broker said so
  [[nodiscard]] std::int64_t end_ns() const { return end_ns_.load(); }

 private:
  std::atomic<std::int64_t> end_ns_;
  std::atomic<bool> lost_{false};
};

// Whether the broker can be reached, over all threads: one warning when it goes, one when it is back.
class Reach {
 public:
  void lost(const std::string& why);
  void found();

 private:
  std::atomic<bool> away_{false};
};

// Sends a heartbeat at every third of the lease while it lives. Lost, or run out for want of answers: asks the handler to stop.
class LeaseKeeper {
 public:
  struct Deps {
    const Settings& settings;
    HttpClient& http;  // of this keeper alone
    Clock& clock;
    Reach& reach;
  };
  LeaseKeeper(Deps deps, const ClaimedTask& task, std::int64_t lease_seconds, Lease& lease, HandlerStop& stop);

 private:
  void run(std::stop_token stop);

  Deps deps_;
  const ClaimedTask& task_;
  std::int64_t lease_seconds_;
  Lease& lease_;
  HandlerStop& handler_;
  std::jthread thread_;  // last
};

// Which answers say that a call of the lease's owner can never succeed: the task is another's, finished, or unknown.
inline bool says_lost(long status) { return status == 403 || status == 404 || status == 409; }

}  // namespace codeq::app::client
