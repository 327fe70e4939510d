// What the clients of a broker know, and what may therefore never be otherwise. It reads answers, never the broker's inside.
//
// I1       what was answered is kept: tasks with their words, results, leases, keys
// I2       the trace holds: one trace id from the create on, parents that exist, every answered step in the timeline, every
//          exported span among the timeline's
// Leases   at most one live lease per task; a live one is not refused
// Errors   Violation, with what is wrong
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "node.h"
#include "services/broker.h"

namespace codeq::sim {

struct Violation {
  std::string what;
};

// One create as a client sent it.
struct Create {
  std::string tenant, command, payload, key;
  int priority = 0;
  bool webhook = false;
  std::int64_t max_attempts = 0, delay_ms = 0;
  core::SpanContext request;
};

struct Lease {
  std::string worker;
  std::uint64_t token = 0;
  core::SpanId span;
  std::int64_t until_ns = 0;  // at least, in record time
  unsigned ends_under_way = 0;  // abandon, nack, submit: sent and not answered; those of a dead process stay for ever
  bool ended = false;
};

struct Known {
  std::string id;
  const Create* create = nullptr;
  core::SpanId create_span;
  std::int64_t created_ns = 0, key_expires_ns = 0;
  std::optional<Lease> lease;        // the newest that was answered
  std::vector<core::SpanId> claims;  // answered ones
  std::map<core::EventKind, unsigned> answered;  // owner calls that were said to be done
  bool returned = false;   // its place in the queue is no longer that of its creation
  bool finished = false;   // was said to be
  std::optional<std::string> result;  // that its worker was told is kept
  std::string status_text;
  unsigned delivered = 0;  // webhooks that were taken
};

class Oracle {
 public:
  explicit Oracle(const Setup& setup) : setup_(setup) {}

  const Create& sent(Create create);
  // Every task that an answer shows. Returns what is known of it.
  Known& learn(const services::TaskSnapshot& task);
  void created(const Create& create, const services::TaskSnapshot& task);
  void claimed(const std::string& worker, const services::TaskSnapshot& task);
  void owner_call_sent(Known& task, bool ends);
  // `now_ns`: record time when the answer came; `live`: what the caller held when it asked.
  void owner_call_answered(Known& task, const Lease& live, core::EventKind kind, const Result<void>& answer,
                           std::int64_t now_ns, std::int64_t extended_until_ns);
  void submitted(Known& task, std::string status, std::string result);
  void gone_back(const services::TaskSnapshot& task) { learn(task).returned = true; }

  // A read of a task that was known when it was asked for.
  void read(const Known& task, const Result<services::TaskSnapshot>& answer, std::int64_t now_ns);
  void read_result(const Known& task, const Result<services::TaskAndResult>& answer, std::int64_t now_ns);
  void read_timeline(const Known& task, const Result<services::TimelineSnapshot>& answer, std::int64_t now_ns,
                     bool at_rest);
  // With all timelines read: spans that left a process are spans of a task that is there.
  void check_exported(const std::vector<Span>& spans) const;

  // A delivery is tried. Null: of a task that no answer ever showed.
  Known* webhook(const services::WebhookJob& job);
  [[nodiscard]] std::map<std::string, Known>& tasks() { return tasks_; }
  [[nodiscard]] bool may_be_gone(const Known& task, std::int64_t now_ns) const;
  // By more than a moment: the record clock follows a wall clock that may go back.
  static constexpr std::int64_t kMomentNs = kNanosPerSecond;
  [[nodiscard]] static bool live(const Lease& lease, std::int64_t now_ns) {
    return !lease.ended && lease.ends_under_way == 0 && now_ns + kMomentNs < lease.until_ns;
  }

 private:
  const Setup& setup_;
  std::map<std::string, Create> creates_;  // by the trace id of their request and their payload
  std::map<std::string, Known> tasks_;     // by id
  std::map<std::string, std::string> made_;  // of which create -> task id
  std::map<std::string, std::string> keys_;      // tenant, key -> the task that was said to hold it
  std::map<std::string, std::uint64_t> handed_out_;  // queue and priority -> sequence of the newest first claim
  struct Timeline {
    std::map<std::string, std::string> parents;  // by span id
    bool whole = false;
  };
  std::map<std::string, Timeline> timelines_;  // as read last, by task id
};

}  // namespace codeq::sim
