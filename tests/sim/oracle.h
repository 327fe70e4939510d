// What the clients of a broker know, and what may therefore never be otherwise. It reads answers, never the broker's inside.
//
// I1       what was answered is kept: tasks with their words, results, leases, keys; cancellations, redrives, purges
// I2       the trace holds: one trace id from the create on, parents that exist, every answered step in the timeline, every
//          exported span among the timeline's
// Leases   at most one live lease per task; a live one is not refused
// Queues   topics, pauses, subscriptions (catalogue.h), and what they do to tasks
// Order    answers leave in the order in which they were decided; a call that a dead process left unanswered was done or not
// Errors   Violation, with what is wrong
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "catalogue.h"
#include "node.h"
#include "services/broker.h"

namespace codeq::sim {

struct Violation {
  std::string what;
};
[[noreturn]] inline void wrong(std::string what) { throw Violation{std::move(what)}; }

// Refusals that say that nothing was looked at.
inline bool not_done(Code code) {
  return code == Code::kOverloaded || code == Code::kUnavailable || code == Code::kDiskFull;
}

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
  std::uint32_t attempt = 0;
  core::SpanId span;
  std::int64_t until_ns = 0;  // at least, in record time
  unsigned ends_under_way = 0;  // abandon, nack, submit: sent and not answered; those of a dead process stay for ever
  bool ended = false;
};

struct Known {
  std::string id, command;
  const Create* create = nullptr;  // of a copy: that of the task that died
  bool copy = false;
  std::uint32_t attempts_max = 0;
  core::SpanId create_span;
  std::int64_t created_ns = 0, key_expires_ns = 0;
  std::optional<Lease> lease;        // the newest that was answered
  std::vector<core::SpanId> claims;  // answered ones
  std::map<core::EventKind, unsigned> answered;  // owner calls that were said to be done
  bool returned = false;   // its place in the queue is no longer that of its creation
  bool finished = false;   // was said to be, for good
  bool dead = false;       // was said to be, and nobody was told that it is redriven
  unsigned redrives = 0, purges = 0;  // under way, that may mean it
  unsigned abandons = 0;   // sent: each may give the task an attempt beyond its last
  unsigned disturbed = 0;  // how many of both there ever were
  unsigned cancels = 0, lost_cancels = 0;  // sent and not answered; by a dead process
  bool may_be_purged = false, purged = false;
  std::optional<std::string> result;  // that its worker was told is kept
  std::string status_text;
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
  void nacked(Known& task, const Lease& asked, bool dead);
  void submitted(Known& task, std::string status, std::string result);
  void gone_back(const services::TaskSnapshot& task) { learn(task).returned = true; }

  // --- from outside (oracle_outside.cc) ---
  void cancel_sent(Known& task) { ++task.cancels; }
  void cancelled(Known& task, const std::string& reason, const Result<services::TaskSnapshot>& answer, std::int64_t now_ns);
  // A redrive or a purge; answers its number.
  std::size_t dead_call_sent(bool redrive, bool dry_run, std::string tenant, services::DeadLetterFilter filter,
                             std::int64_t now_ns);
  void dead_call_answered(std::size_t number, const Result<services::DeadLetterOutcome>& answer, std::int64_t now_ns);
  // What an answer must show unless somebody touches it meanwhile: ids, and how often each was touched before.
  using Must = std::map<std::string, unsigned>;
  [[nodiscard]] Must certainly_dead(const std::string& tenant, const services::DeadLetterFilter& filter,
                                    std::int64_t now_ns) const;
  [[nodiscard]] Must certainly_there(const std::string& tenant, const services::TaskFilter& filter, std::int64_t now_ns) const;
  void dead_letters(const std::string& tenant, const services::DeadLetterFilter& filter, const Must& must,
                    const services::DeadLetterPage& page, std::int64_t now_ns, bool at_rest) const;
  void task_list(const std::string& tenant, const services::TaskFilter& filter, const Must& must,
                 const services::TaskPage& page, std::int64_t now_ns) const;
  void queue_seen(const std::string& tenant, const std::string& command, const services::QueueStats& stats,
                  std::int64_t now_ns, bool at_rest);
  [[nodiscard]] Catalogue& queues() { return queues_; }
  // How often something of that was answered with a yes.
  struct Tally {
    std::uint64_t cancelled = 0, redriven = 0, purged = 0;
  };
  [[nodiscard]] const Tally& tally() const { return tally_; }
  // A claim that a dead process left unanswered: until then that worker may hold something.
  void claim_lost(const std::string& tenant, const std::string& worker, std::int64_t until_ns) {
    auto& last = claims_lost_[tenant + '\n' + worker];
    last = std::max(last, until_ns);
  }
  // What was under way was done or not.
  void process_ended(std::int64_t now_ns);

  // A read of a task that was known when it was asked for.
  void read(Known& known, const Result<services::TaskSnapshot>& answer, std::int64_t asked_ns, std::int64_t now_ns);
  void read_result(const Known& task, const Result<services::TaskAndResult>& answer, std::int64_t now_ns);
  void read_timeline(const Known& task, const Result<services::TimelineSnapshot>& answer, std::int64_t now_ns,
                     bool at_rest);
  // With all timelines read: spans that left a process are spans of a task that is there.
  void check_exported(const std::vector<Span>& spans) const;

  // A delivery is tried.
  void webhook(const services::WebhookJob& job, bool taken);
  [[nodiscard]] bool was_delivered(const std::string& id) const { return delivered_.contains(id); }
  [[nodiscard]] std::map<std::string, Known>& tasks() { return tasks_; }
  [[nodiscard]] bool may_be_gone(const Known& task, std::int64_t now_ns) const;
  // By more than a moment.
  [[nodiscard]] static bool live(const Lease& lease, std::int64_t now_ns) {
    return !lease.ended && lease.ends_under_way == 0 && now_ns + kMomentNs < lease.until_ns;
  }
  [[nodiscard]] static bool holds(const Known& task, std::int64_t now_ns) {
    return task.cancels == 0 && task.lost_cancels == 0 && task.lease && live(*task.lease, now_ns);
  }

 private:
  struct DeadCall {
    bool redrive = false, dry_run = false, open = true;
    std::string tenant;
    services::DeadLetterFilter filter;
    Must must;
    std::set<std::string> touched;  // while it is open
    bool meant_finished = false;
  };
  void may_be_claimed(const Known& task, const std::string& worker, std::int64_t now_ns);
  void check_attempts_max(const Create& create, const core::TaskInfo& info, bool just_made);
  void check_deaths(const Known& task, const std::vector<core::Event>& events, std::int64_t now_ns, bool at_rest);
  void check_retention(const Known& task, const services::TaskSnapshot& answer, std::int64_t asked_ns);
  void touch(DeadCall& call, Known& task);
  [[nodiscard]] static bool means(const DeadCall& call, const Known& task);
  [[nodiscard]] bool untouched(const std::string& id, unsigned disturbed, std::int64_t now_ns) const;
  [[nodiscard]] bool copies_may_be_gone() const;

  const Setup& setup_;
  Catalogue queues_;
  Tally tally_;
  std::vector<DeadCall> dead_calls_;
  std::map<std::string, std::int64_t> claims_lost_;  // by tenant and worker: until when
  std::map<std::string, std::string> copies_;      // the span of a death -> the copy that it made
  std::map<std::string, Create> creates_;  // by the trace id of their request and their payload
  std::map<std::string, Known> tasks_;     // by id
  std::map<std::string, std::string> made_;  // of which create -> task id
  std::map<std::string, std::string> keys_;      // tenant, key -> the task that was said to hold it
  std::map<std::string, std::uint64_t> handed_out_;  // queue and priority -> sequence of the newest first claim
  std::set<std::string> delivered_;  // tasks whose webhook was taken, by id; some of them no answer ever showed
  struct Timeline {
    std::map<std::string, std::string> parents;  // by span id
    bool whole = false;
  };
  std::map<std::string, Timeline> timelines_;  // as read last, by task id
};

}  // namespace codeq::sim
