// The state of one partition and the one function that changes it.
//
// Shape    per (tenant, lower-cased command) ten FIFO queues of sequences; what is due, by time; the whole of a task only
//          while it has changed since the last image, or is wanted: the rest are rows of the store (rows.h), and a task
//          that has ended is its row from then on
// Time     never reads a clock: `time_ns` comes with each record, so that a replay rebuilds the same state
// Threads  owned by one partition thread, no locking inside
// Cost     a record is O(log n) in the tasks that wait for a time, O(1) in everything else; memory: 8 bytes for a task
//          that is ready, 16 for one that is delayed, 64 for one that is leased, 128 for each worker that holds any of a
//          queue, none for a finished one, about 1 KiB for one that is here as a whole
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
#include "core/due_heap.h"
#include "core/ready_queue.h"
#include "core/record.h"
#include "core/subscription.h"
#include "core/task.h"
#include "core/task_table.h"
#include "core/topic.h"

namespace codeq::core {

struct Queue {
  std::string tenant;
  std::string command;  // lower case
  std::string label;  // as its first task spelled it; for people
  std::uint32_t id = 0;  // names it in rows; never used twice
  std::array<ReadyQueue, kPriorities> ready;
  std::uint64_t ready_count = 0, delayed = 0, in_progress = 0;
  std::uint64_t finished = 0, dead = 0;  // not retired yet; the dead are among the finished
  bool paused = false;                   // nothing of it is handed out; it stays while it is, also without tasks
  bool changed = false;                  // since the last cut
  std::uint32_t picks = 0;               // claims since the head was last looked after; not part of the state
  const Topic* topic = nullptr;          // its policy, if it has one
  using Holders = std::map<std::string, std::uint32_t, std::less<>>;
  Holders holders;                                            // worker -> leases

  [[nodiscard]] std::uint64_t front() const;  // of the highest priority; 0: nothing ready
  // As its topic limits the consumers.
  [[nodiscard]] bool admits(const std::string& worker) const { return topic == nullptr || has_room_for(worker); }
  [[nodiscard]] bool has_room_for(const std::string& worker) const { return !full() || holders.contains(worker); }
  [[nodiscard]] bool limited() const { return topic != nullptr && topic->policy.max_consumers != 0; }
  [[nodiscard]] bool full() const;  // whoever holds nothing here gets nothing
  [[nodiscard]] std::uint64_t tasks() const { return ready_count + delayed + in_progress + finished; }  // at 0 it goes, unless paused
};

struct Task {
  std::shared_ptr<const TaskInfo> info;
  std::shared_ptr<const std::string> payload;
  std::shared_ptr<const TaskResult> result;  // once finished
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
  std::uint64_t ready_position = 0;  // number of the record that made it ready: its place in the queue
  Timeline timeline;

  // --- residence in memory; not part of the state ---
  std::uint32_t live_writes = 0;  // how often its live row was written
  bool body_written = false;
  bool whole = false;           // it had finished when its body was written: all of it is in that row, also from then on
  bool in_cut = false;          // encoded for a cut that is not in the store yet
  std::uint64_t dirty_in = 0;   // the cut that will carry its changes; 0: none since it was encoded
  std::uint32_t open_events = 0;
  std::size_t counted_bytes = 0;  // what it counts for while it is clean
  std::size_t dirty_bytes = 0;    // what it was counted for when it changed

  [[nodiscard]] bool finished() const { return place == Place::kDone || place == Place::kDead; }
  // What its holder should continue: the attempt once claimed, else the origin.
  [[nodiscard]] SpanContext context() const;
};

struct Delivery {
  std::uint64_t sequence = 0;  // of the task
  std::string tenant, host;
  SpanId parent;  // submit_result or dead_letter
  bool failed = false;  // gave up; kept until replayed or retired with its task
  std::uint32_t attempts = 0;  // in this round
  std::uint32_t attempts_total = 0;
  std::int64_t due_ns = 0;
  int last_http_status = 0;
  WebhookError last_error{};
};

// The newest events of a timeline: none of them can have been dropped yet.
struct NewEvents {
  std::uint32_t first = 0, count = 0;  // ordinals
  template <class F>
  void each(Timeline& timeline, F&& f) const {
    for (std::uint32_t i = 0; i < count; ++i) f(*timeline.find(first + i));
  }
};

// What one record did, for the answers, the spans and the wake-ups. Pointers are valid until the next apply.
struct Effects {
  Task* task = nullptr;
  bool duplicate = false;  // create: `task` was there already; nothing changed
  bool became_ready = false;
  bool finished = false;
  std::uint64_t retired = 0;  // how many tasks are gone
  std::uint64_t delivery = 0;  // created or changed
  std::int64_t delay_seconds = 0;  // nack, expiry
  NewEvents events;  // of `task`; those that end with this commit have end_ns == 0
  bool consumer_left = false;      // a queue with a limit has room for another worker
  Task* copy = nullptr;            // of `task`, which died, in its dead-letter topic; it is ready
  NewEvents copy_events;           // the copy's, as above
};

// The changes of a stretch of records as rows: what takes an image of the state at `begin_cut` to the next.
struct Cut {
  std::uint64_t records = 0;  // the image reflects the first so many records once the rows are written
  // Shared with the state, which reads ended tasks from them until the store has them: nobody changes them any more.
  std::shared_ptr<std::vector<Row>> rows = std::make_shared<std::vector<Row>>();
  std::vector<std::uint64_t> sequences;  // tasks with rows in it
};

class State {
 public:
  // The tasks that `record` names (see `names`) are in memory if they exist at all.
  // Errors: the refusals of the API (kNotFound, kNotOwner, ...); then nothing has changed and nothing is to be logged.
  Result<Effects> apply(const Record& record);

  // --- reads ---
  [[nodiscard]] const Task* find(const TaskId& id, std::string_view tenant,
                                 std::int64_t now_ns);  // null: not in memory or not theirs
  // Null: not in memory. One that is kept as its row is decoded first.
  [[nodiscard]] Task* task(std::uint64_t sequence);
  [[nodiscard]] const Delivery* delivery(std::uint64_t id) const;
  [[nodiscard]] const std::map<std::uint64_t, Delivery>& deliveries() const { return deliveries_; }
  // Ids of one tenant's deliveries after `after`, at most `limit`, in order.
  [[nodiscard]] std::vector<std::uint64_t> deliveries_of(const std::string& tenant, std::uint64_t after,
                                                         std::size_t limit) const;
  // The queue of that command, where a task of it is ready and it is not paused. `worker`: who asks; a queue whose topic has no room for another
  // one is as good as empty then.
  [[nodiscard]] Queue* ready_queue(std::string_view tenant, std::string_view command,
                                   const std::string* worker = nullptr) const;
  // Of all queues of the tenant: the one with the highest priority, then the oldest task. O(queues with ready tasks).
  [[nodiscard]] Queue* ready_queue_of_any(std::string_view tenant, const std::string* worker = nullptr) const;
  // The head of the queue; 0: nothing ready.
  [[nodiscard]] std::uint64_t head(std::string_view tenant, std::string_view command) const;
  [[nodiscard]] std::uint64_t head_of_any(std::string_view tenant) const;
  [[nodiscard]] const Topic* topic(std::string_view tenant, std::string_view name) const;
  [[nodiscard]] bool has_topics() const { return !topics_.empty(); }
  [[nodiscard]] std::size_t topics_of(const std::string& tenant) const;  // how many
  [[nodiscard]] const SubscriptionTable& subscriptions() const { return subscriptions_; }
  // Null: not there, not theirs, or over.
  [[nodiscard]] const Subscription* subscription_of(const std::string& id, const std::string& tenant,
                                                    const std::string& subject, std::int64_t now_ns) const;
  template <class F>
  void each_queue(F&& f) const {
    for (const auto& [key, queue] : queues_) f(*queue);
  }
  template <class F>
  void each_in_memory(F&& f) const {
    tasks_.each(f);
  }
  [[nodiscard]] std::size_t tasks_in_memory() const { return tasks_.size(); }
  [[nodiscard]] std::uint64_t waiting() const { return ready_ + delayed_.size(); }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t last_sequence() const { return last_sequence_; }  // of the newest task
  [[nodiscard]] std::int64_t last_time_ns() const { return last_time_ns_; }
  [[nodiscard]] const ClockRecord& clock() const { return clock_; }

  // --- what is due: (time, sequence) in order ---
  using Due = std::set<std::pair<std::int64_t, std::uint64_t>>;
  [[nodiscard]] const DueHeap& delayed() const { return delayed_; }
  [[nodiscard]] const Due& leases() const { return leases_; }

  // --- which tasks are in memory ---
  // Tasks of the sequences that applying `record` looks at; none for a create.
  void names(const Record& record, std::vector<std::uint64_t>& sequences) const;
  // A task from its rows; `done`: the second one is its row of table done, else of table live. A whole one has no second.
  Result<Task*> load(std::uint64_t sequence, std::string_view body, std::string_view rest, bool done);
  // False: it changed since the image's last write, or an event of it waits for its commit.
  bool evict(std::uint64_t sequence);
  [[nodiscard]] bool evictable(const Task& task) const;
  [[nodiscard]] bool exists_possibly(std::uint64_t sequence) const { return sequence != 0 && sequence <= last_sequence_; }
  // The first `count` ready tasks of a queue that are not in memory, in the order of claims.
  void cold_heads(const Queue& queue, std::size_t count, std::vector<std::uint64_t>& sequences) const;
  [[nodiscard]] Queue* queue_of(std::string_view tenant, std::string_view command) const;
  [[nodiscard]] Queue* queue_by_id(std::uint32_t id);
  // The task that holds this idempotency key, of those in memory.
  [[nodiscard]] Task* holder(const std::string& tenant, const std::string& idempotency_key);
  void hold(const Task& task);  // its key's newest row in the store is this task's
  [[nodiscard]] std::size_t clean_bytes() const { return clean_bytes_; }  // of tasks that could be evicted
  [[nodiscard]] std::size_t dirty_bytes() const { return dirty_bytes_; }  // of changes since the last cut, about
  // Of everything that is not a task in memory, about: lines, times, queues, deliveries.
  [[nodiscard]] std::size_t queue_bytes() const {
    return 9 * ready_ + 16 * delayed_.size() + 64 * leases_.size() + 128 * holders_ + 1024 * queues_.size() +
           320 * deliveries_.size() +
           512 * topics_.size() + subscriptions_.bytes();
  }

  [[nodiscard]] RetireEntry retire_entry(const Task& task) const;  // of a finished one

  // --- the image ---
  // Begins to encode what changed since the last cut, as of now. Later changes wait for the next one.
  void begin_cut();
  // Encodes up to `tasks` more; true: the cut is whole.
  bool encode_cut(std::size_t tasks);
  Cut take_cut();
  // The store has the last cut that was taken. What is returned may take a while to destroy.
  std::shared_ptr<const std::vector<Row>> cut_written();
  // The cut with this task has been written. After this it may be evicted.
  void settled(std::uint64_t sequence);
  // The same as `task`, but nothing moves: null also for one that is kept as its row.
  [[nodiscard]] const Task* peek(std::uint64_t sequence) const { return tasks_.find(sequence); }
  [[nodiscard]] bool changed() const { return !dirty_.empty() || !changes_.empty() || !changed_queues_.empty(); }
  [[nodiscard]] bool cutting() const { return cutting_; }
  [[nodiscard]] bool has_open_events() const { return !open_.empty(); }
  // From rows, before any record: the scalars, the queues, then every live row in order of sequence, then deliveries.
  Result<void> restore_meta(std::string_view value);
  Result<void> restore_queue(std::string_view key, std::string_view value);
  Result<void> restore_live(std::uint64_t sequence, const LiveHead& head);
  Result<void> restore_delivery(std::uint64_t id, std::string_view value);
  Result<void> restore_topic(std::string_view value);
  Result<void> restore_subscription(std::string_view value);
  Result<void> restore_end();  // puts the queues in order
  // Tasks that must be loaded before the first record: those with events that wait for their commit.
  [[nodiscard]] std::vector<std::uint64_t> restore_needs() const;

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
  Result<Effects> on(const RetireBatchRecord&);
  Result<Effects> on(const PutTopicRecord&);  // these and what serves them: state_topics.cc
  Result<Effects> on(const DeleteTopicRecord&);
  Result<Effects> on(const SubscribeRecord&);
  Result<Effects> on(const RenewSubscriptionRecord&);
  Result<Effects> on(const UnsubscribeRecord&);
  Result<Effects> on(const ExpireSubscriptionsRecord&);
  void count_holder(Queue& queue, const std::string& worker);
  void release_holder(const Task& task, Effects& effects);
  void copy_dead(const Task& dead, std::int64_t now_ns, const ReturnRules& rules, Effects& effects);
  void digest_catalogue(std::string& out) const;
  Result<Effects> on(const CancelRecord&);  // these three: state_admin.cc
  Result<Effects> on(const RedriveRecord&);
  Result<Effects> on(const PauseRecord&);

  Result<Task*> owned(const OwnerFields& owner, std::int64_t now_ns);
  Queue& queue(const std::string& tenant, std::string_view command);
  Task& add_task(std::shared_ptr<const TaskInfo> info, std::shared_ptr<const std::string> payload);
  void touch(Task& task);  // before any change of it
  void count_clean(Task& task);
  void mark_changed(Queue& queue);
  void encode(Task& task);
  void put(Table table, std::string key, std::string value);
  void erase(Table table, std::string key);
  void put_delivery(std::uint64_t id);
  void drop_queue_if_unused(Queue& queue);
  void retire(const RetireEntry& entry, std::int64_t now_ns, Effects& effects);
  void note(Task& task, Event&& event, Effects& effects);
  void end_lease(Task& task, Effects& effects);
  void count_ready(Queue& queue);
  void uncount_ready(Queue& queue);
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
  TaskTable<Task> tasks_;
  std::unordered_map<std::string, std::unique_ptr<Queue>> queues_;  // key: tenant, 0x00, lower-cased command
  mutable Queue* seen_queue_ = nullptr;  // of the last look-up: mostly the next one's too
  std::unordered_map<std::string, std::set<Queue*>>
      ready_of_;  // tenant -> its queues with ready tasks (unordered use only)
  std::unordered_map<std::uint32_t, Queue*> queues_by_id_;
  std::unordered_map<std::string, std::uint64_t>
      keys_;  // key: tenant, 0x00, idempotency key; value: the sequence of the task that holds it; of tasks in memory
  std::map<std::uint64_t, Delivery> deliveries_;
  std::unordered_map<std::string, std::set<std::uint64_t>> deliveries_of_;  // by tenant
  void forget_delivery(std::uint64_t id, const std::string& tenant);
  std::map<std::string, Topic> topics_;  // by queue_key
  SubscriptionTable subscriptions_;
  DueHeap delayed_;
  Due leases_;
  std::uint64_t ready_ = 0;    // in all queues
  std::uint64_t holders_ = 0;  // the same
  std::uint32_t last_queue_id_ = 0;
  struct Open {
    std::uint64_t record, sequence;
    std::uint32_t ordinal;
    bool claim;
    SpanId span;
  };
  std::deque<Open> open_;  // events that end with their commit

  // --- the image; not part of the state ---
  [[nodiscard]] std::string encode_meta() const;
  std::uint64_t cut_number_ = 1;          // of the cut that today's changes will be in
  std::vector<std::uint64_t> dirty_;      // tasks changed since begin_cut
  // Whole tasks that nothing will change until they retire are kept as their rows alone: here until the cut begins, in the
  // rows of the cut from then until the store has it. Whoever asks for one gets it back as a task.
  struct Packed {
    std::uint64_t sequence = 0;
    std::string row;  // empty: it was asked for
  };
  [[nodiscard]] bool can_pack(const Task& task) const;
  void pack(Task& task);
  Task* unpack(std::uint64_t sequence);  // null: it is not kept so
  [[nodiscard]] const std::string* packed_row(std::uint32_t mark) const;
  std::vector<Packed> packed_;
  std::array<std::shared_ptr<std::vector<Row>>, 2> cut_rows_;  // by the parity of the cut's number; null: none packed in it
  std::vector<Row> changes_;              // rows of other tables since begin_cut
  bool cutting_ = false;
  std::vector<std::uint64_t> to_encode_;  // tasks of the cut under way; those at [encoded_, end) are still to come
  std::size_t encoded_ = 0;
  Cut cut_;
  std::size_t clean_bytes_ = 0, dirty_bytes_ = 0;
  std::vector<std::uint32_t> changed_queues_;
  bool restoring_ = false;
  struct Line {  // of one ready queue: where its tasks stand, as far as they were restored
    std::vector<std::uint64_t> positions;
    std::uint64_t leased_to = 0;  // where the last one that is leased stood
    bool in_order = true;
  };
  std::unordered_map<ReadyQueue*, Line> restored_;
};

std::string queue_key(std::string_view tenant, std::string_view command);  // lower-cases the command (ASCII)

}  // namespace codeq::core
