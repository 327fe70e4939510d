// The state of one partition and the one function that changes it.
//
// Shape    tasks by sequence; per (tenant, lower-cased command) ten FIFO queues of sequences; ordered sets for what is due
// Time     never reads a clock: `time_ns` comes with each record, so that a replay rebuilds the same state
// Threads  owned by one partition thread, no locking inside
// Cost     a record is O(log n) in the tasks that wait for a time, O(1) in everything else
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/record.h"
#include "core/task.h"

namespace codeq::core {

// First in, first out over 8-byte numbers; empty ones own no memory.
class Fifo {
 public:
  [[nodiscard]] bool empty() const { return head_ == items_.size(); }
  [[nodiscard]] std::uint64_t front() const { return items_[head_]; }
  void push_back(std::uint64_t item) { items_.push_back(item); }
  void push_front(std::uint64_t item) {
    if (head_ > 0)
      items_[--head_] = item;
    else
      items_.insert(items_.begin(), item);
  }
  void pop_back() { items_.pop_back(); }
  void pop_front() {
    // Moving the rest down once half is spent keeps a pop O(1) on average and the memory within twice the content.
    if (++head_ * 2 >= items_.size() && head_ >= 64) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
      if (items_.capacity() > 4 * items_.size() + 1024) items_.shrink_to_fit();
    } else if (head_ == items_.size()) {
      items_.clear();
      head_ = 0;
    }
  }
  template <class F>
  void each(F&& f) const {
    for (auto i = head_; i < items_.size(); ++i) f(items_[i]);
  }

 private:
  std::vector<std::uint64_t> items_;
  std::size_t head_ = 0;
};

struct Queue {
  std::string tenant;
  std::string command;  // lower case
  std::string label;  // as its first task spelled it; for people
  std::array<Fifo, kPriorities> ready;
  std::uint64_t tasks = 0;  // that name this queue, finished ones too; at 0 the queue goes
  std::uint64_t ready_count = 0, delayed = 0, in_progress = 0, dead = 0;
};

struct Task {
  std::shared_ptr<const TaskInfo> info;
  Queue* queue = nullptr;  // lives while a task names it
  Status status = Status::kPending;
  Place place = Place::kReady;
  std::uint32_t attempts = 0;
  std::string error;
  std::int64_t updated_ns = 0;
  std::shared_ptr<const std::string> worker;  // the holder, or the last one
  std::int64_t lease_until_ns = 0;
  std::uint64_t lease_token = 0;  // 0 unless leased
  std::int64_t due_ns = 0;  // while delayed
  std::int64_t wait_from_ns = 0;  // start of the present delayed or queued span
  WaitCause cause = WaitCause::kReady;
  bool claim_traced = false;  // claim_span exists as a span that was recorded
  SpanId claim_span;  // of the present or last attempt; invalid before the first
  std::int64_t run_from_ns = 0;  // the claim's durable time, its record time until that is known
  std::int64_t retire_ns = 0;  // when finished: the end of its retention
  bool has_result = false;
  std::uint64_t delivery = 0;  // its webhook's delivery, 0: none (or delivered)
  Timeline timeline;

  [[nodiscard]] bool finished() const { return place == Place::kDone || place == Place::kDead; }
  // What its holder should continue: the attempt once claimed, else the origin.
  [[nodiscard]] SpanContext context() const;
};

struct Delivery {
  std::uint64_t sequence = 0;  // of the task
  SpanId parent;  // submit_result or dead_letter
  bool failed = false;  // gave up; kept until replayed or retired with its task
  std::uint32_t attempts = 0;  // in this round
  std::uint32_t attempts_total = 0;
  std::int64_t due_ns = 0;
  int last_http_status = 0;
  WebhookError last_error{};
};

// What one record did, for the answers, the spans and the wake-ups. Pointers are valid until the next apply.
struct Effects {
  Task* task = nullptr;
  bool duplicate = false;  // create: `task` was there already; nothing changed
  bool became_ready = false;
  bool finished = false;
  bool retired = false;  // `retired_sequence` is gone
  std::uint64_t retired_sequence = 0;
  std::optional<TaskResult> result;  // to be stored
  std::uint64_t delivery = 0;  // created or changed
  std::int64_t delay_seconds = 0;  // nack, expiry
  std::vector<Event> events;  // new ones, those that end with this commit have end_ns == 0
};

class State {
 public:
  // Errors: the refusals of the API (kNotFound, kNotOwner, ...); then nothing has changed and nothing is to be logged.
  Result<Effects> apply(const Record& record);

  // --- reads ---
  [[nodiscard]] const Task* find(const TaskId& id, std::string_view tenant,
                                 std::int64_t now_ns) const;  // null: not there or not theirs
  [[nodiscard]] Task* task(std::uint64_t sequence);
  [[nodiscard]] const Delivery* delivery(std::uint64_t id) const;
  [[nodiscard]] const std::map<std::uint64_t, Delivery>& deliveries() const { return deliveries_; }
  // Ids of one tenant's deliveries after `after`, at most `limit`, in order.
  [[nodiscard]] std::vector<std::uint64_t> deliveries_of(const std::string& tenant, std::uint64_t after,
                                                         std::size_t limit) const;
  // The head of the queue; 0: nothing ready.
  [[nodiscard]] std::uint64_t head(std::string_view tenant, std::string_view command) const;
  // Of all queues of the tenant: the highest priority, then the oldest task. O(queues with ready tasks).
  [[nodiscard]] std::uint64_t head_of_any(std::string_view tenant) const;
  template <class F>
  void each_queue(F&& f) const {
    for (const auto& [key, queue] : queues_) f(*queue);
  }
  [[nodiscard]] std::size_t tasks() const { return tasks_.size(); }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::int64_t last_time_ns() const { return last_time_ns_; }
  [[nodiscard]] const ClockRecord& clock() const { return clock_; }

  // --- what is due: (time, sequence) in order ---
  using Due = std::set<std::pair<std::int64_t, std::uint64_t>>;
  [[nodiscard]] const Due& delayed() const { return delayed_; }
  [[nodiscard]] const Due& leases() const { return leases_; }
  [[nodiscard]] const Due& retirements() const { return retirements_; }

  // Everything that matters, as text with a stable order: equal states, equal digests. For tests.
  [[nodiscard]] std::string digest() const;

 private:
  Result<Effects> on(const CreateRecord&);
  Result<Effects> on(const ClaimRecord&);
  Result<Effects> on(const HeartbeatRecord&);
  Result<Effects> on(const AbandonRecord&);
  Result<Effects> on(const NackRecord&);
  Result<Effects> on(const ExpireRecord&);
  Result<Effects> on(const SubmitRecord&);
  Result<Effects> on(const PromoteRecord&);
  Result<Effects> on(const UndeliveredRecord&);
  Result<Effects> on(const RetireRecord&);
  Result<Effects> on(const WebhookRecord&);
  Result<Effects> on(const ReplayRecord&);
  Result<Effects> on(const DurableRecord&);
  Result<Effects> on(const ClockRecord&);

  Result<Task*> owned(const OwnerFields& owner, std::int64_t now_ns);
  Queue& queue(const std::string& tenant, std::string_view command);
  void note(Task& task, Event event, Effects& effects);
  void end_lease(Task& task);
  void make_ready(Task& task, std::int64_t now_ns, WaitCause cause, Effects& effects);
  void put_back(Task& task, std::int64_t now_ns, std::int64_t delay_ns, WaitCause cause, Effects& effects);
  // Nack and expiry: back with a delay, or dead.
  void give_back(Task& task, std::int64_t now_ns, std::int64_t asked_seconds, std::string reason, WaitCause cause,
                 std::uint8_t death, const ReturnRules& rules, Effects& effects);
  void finish(Task& task, std::int64_t now_ns, Place place, TaskResult result, std::uint64_t delivery, SpanId parent,
              std::int64_t retention_ns, Effects& effects);
  void add_run(Task& task, RunOutcome outcome, std::int64_t end_ns, SpanId span, Effects& effects);

  std::uint64_t last_sequence_ = 0;
  std::uint64_t records_ = 0;
  std::int64_t last_time_ns_ = 0;
  ClockRecord clock_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Task>> tasks_;
  std::unordered_map<std::string, std::unique_ptr<Queue>> queues_;  // key: tenant, 0x00, lower-cased command
  std::unordered_map<std::string, std::set<Queue*>>
      ready_of_;  // tenant -> its queues with ready tasks (unordered use only)
  struct Key {
    std::uint64_t sequence = 0, hash = 0, hash_high = 0;
    std::int64_t expires_ns = 0;
  };
  std::unordered_map<std::string, Key> keys_;  // key: tenant, 0x00, idempotency key
  std::map<std::uint64_t, Delivery> deliveries_;
  std::unordered_map<std::string, std::set<std::uint64_t>> deliveries_of_;  // by tenant
  void forget_delivery(std::uint64_t id, const std::string& tenant);
  Due delayed_, leases_, retirements_;
  struct Open {
    std::uint64_t record, sequence;
    std::uint32_t ordinal;
    bool claim;
    SpanId span;
  };
  std::deque<Open> open_;  // events that end with their commit
};

std::string queue_key(std::string_view tenant, std::string_view command);  // lower-cases the command (ASCII)

}  // namespace codeq::core
