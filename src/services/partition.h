// The partition worker: one thread that owns a state, takes commands from a bounded inbox, and answers after the commit.
//
//   callers --commands--> inbox (bounded, by kind) --> this thread: stamp, apply, collect a group
//                                                        |  offer               |  a cut, now and then
//                                                        v                      v
//                                                      Committer: append,     Image: the store, behind the log
//                                                      sync, then answers,
//                                                      spans, wake-ups        Reader: rows that a call needs
//
// Memory      only tasks that changed since the last cut, are at work, or next in line are here as a whole; a call that
//             needs another one waits for the reader, and nobody else waits with it
// Invariants  an answer leaves only after the commit of everything it has seen, reads and refusals too;
//             nothing is polled: parked calls are served by the record that satisfies them
// Threads     Broker's calls from any thread; everything private below the line belongs to the partition thread
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "core/state.h"
#include "log/log.h"
#include "observe/metrics.h"
#include "observe/span.h"
#include "services/broker.h"
#include "services/committer.h"
#include "services/image.h"
#include "services/notifier.h"
#include "services/outbox.h"
#include "services/parked.h"
#include "services/rate_limit.h"
#include "services/reader.h"
#include "services/record_clock.h"
#include "services/webhook_sender.h"
#include "storage/store.h"

namespace codeq::services {

struct PartitionOptions {
  std::uint16_t partition = 0;
  std::int64_t default_lease_seconds = 300;
  std::int64_t default_max_attempts = 5;
  core::RetryPolicy retry;
  bool count_twice = false;  // attemptCounting: reference
  std::int64_t retention_seconds = 24 * 3600;
  std::int64_t idempotency_ttl_seconds = 24 * 3600;
  std::size_t inbox_max = 8192;  // commands; creates stop at 70 %, claims and reads at 85 %
  std::size_t inbox_bytes_max = std::size_t{256} << 20;
  std::uint32_t webhook_attempts_max = 5;
  std::int64_t webhook_backoff_base_seconds = 2;
  std::int64_t webhook_backoff_max_seconds = 60;
  OutboxLimits outbox;
  std::int64_t subscription_min_interval_seconds = 5;
  std::int64_t subscription_cleanup_interval_seconds = 60;
  std::int64_t cut_after_ns = 250 * kNanosPerMilli;           // how long changes collect in memory
  std::size_t cut_bytes = std::size_t{16} << 20;              // or how much
  std::size_t unsaved_bytes_max = std::size_t{128} << 20;     // not in the store yet; beyond it creates are refused
  std::size_t ready_bytes_max = std::size_t{32} << 20;        // of tasks kept in memory because they are next in line
  std::size_t queue_bytes_max = std::size_t{256} << 20;       // for the queues' own numbers; beyond it creates are refused
  std::uint64_t log_bytes_max = std::uint64_t{256} << 20;     // see ImageOptions
  bool threaded = true;                                       // false: somebody calls `step` (simulation)
  int (*zone_offset_seconds)(std::int64_t ns) = nullptr;  // for times in webhook bodies; null: UTC
};

struct RecoveryReport {
  std::uint64_t groups = 0, records = 0;  // replayed from the log
  std::uint64_t waiting = 0, leased = 0;  // tasks
};
struct MemoryStats {
  std::size_t unsaved_bytes = 0, ready_bytes = 0, queue_bytes = 0, tasks = 0;
};

class Partition final : public Broker {
 public:
  struct Deps {  // borrowed; outlive us
    log::Log& log;
    storage::Store& store;
    Clock& clock;
    Rng& rng;  // any thread
    observe::Tracer& tracer;
    observe::Metrics& metrics;
    WebhookSender& webhooks;
    std::function<bool()> disk_low;  // any thread, cheap
    Committer::OnFailure on_failure;  // of log or store; must not return
    // Whether a subscriber's URL may be called now (rate limit); none: always. The partition thread, must not block.
    std::function<bool(std::string_view url)> may_notify = {};
    RateLimiter* rates = nullptr;     // of webhooks by destination; null: none
  };

  Partition(PartitionOptions options, Deps deps);
  ~Partition() override;

  // Reads the store, replays the log from there, then serves. Errors: those of both, kCorrupt for what does not fit.
  Result<RecoveryReport> start();
  // Answers every parked call now, and parks none from here on; starts no further webhook attempt.
  void begin_drain();
  // False: attempts were still under way at the limit; they are made again after the next start.
  bool wait_deliveries(std::chrono::milliseconds limit);
  // Finishes what is queued, commits it, brings the store up to date and ends. Calls after this answer kUnavailable.
  void stop();
  // As a killed process: nothing more is done, nothing is written. Without threads of its own only (simulation).
  void vanish();
  [[nodiscard]] MemoryStats memory() const;  // any thread
  // `job` runs on the thread that alone changes the store, between two changes; dropped where that has ended. Any thread,
  // after start.
  void on_image_thread(std::move_only_function<void()> job) { image_->run_between(std::move(job)); }

  // --- without threads of its own (simulation): each does what is there to do; false: nothing was ---
  bool step();
  bool step_committer() { return committer_->step(); }
  bool step_image() { return image_->step(); }
  bool step_reader() { return reader_->step(); }
  // When the next timer is due; nothing: only a call can move anything.
  [[nodiscard]] std::optional<std::int64_t> next_wake_steady_ns() const;
  [[nodiscard]] const core::State& state() const { return state_; }

  void create(Caller, std::vector<CreateTask>, Done<std::vector<Result<TaskSnapshot>>>) override;
  CallId claim(Caller, ClaimTasks, Done<std::vector<TaskSnapshot>>) override;
  void abandon_call(CallId) override;
  using Broker::undelivered;
  void undelivered(std::vector<LeaseRef>) override;
  void heartbeat(Caller, OwnerCall, std::int64_t extend_seconds, Done<void>) override;
  void abandon(Caller, OwnerCall, Done<void>) override;
  void nack(Caller, OwnerCall, std::int64_t delay_seconds, std::string reason, Done<NackOutcome>) override;
  void submit(Caller, std::vector<SubmitResult>, Done<std::vector<Result<ResultSnapshot>>>) override;
  void get_task(Caller, std::string task_id, Done<TaskSnapshot>) override;
  CallId get_result(Caller, std::string task_id, std::int64_t wait_ms, Done<TaskAndResult>) override;
  void get_timeline(Caller, std::string task_id, Done<TimelineSnapshot>) override;
  void list_deliveries(Caller, std::uint64_t after, std::size_t limit, Done<std::vector<DeliverySnapshot>>) override;
  void replay_delivery(Caller, std::uint64_t id, Done<DeliverySnapshot>) override;
  void queue_depths(Done<std::vector<QueueDepth>>) override;
  void cleanup(Caller, std::int64_t before_ns, std::size_t limit, Done<std::size_t>) override;
  void put_topic(Caller, std::string name, core::TopicPolicy, Done<TopicPut>) override;
  void get_topic(Caller, std::string name, Done<core::Topic>) override;
  void delete_topic(Caller, std::string name, Done<void>) override;
  void subscribe(Caller, Subscribe, Done<core::Subscription>) override;
  void renew_subscription(Caller, std::string id, std::int64_t ttl_seconds, Done<core::Subscription>) override;
  void unsubscribe(Caller, std::string id, Done<void>) override;
  void list_subscriptions(Caller, Done<std::vector<core::Subscription>>) override;
  void subscription_counts(Done<std::vector<SubscriptionCount>>) override;
  void list_tasks(Caller, TaskFilter, Done<TaskPage>) override;
  void cancel(Caller, std::string task_id, std::string reason, Done<TaskSnapshot>) override;
  void list_dead_letters(Caller, DeadLetterFilter, std::string from, Done<DeadLetterPage>) override;
  void redrive(Caller, DeadLetterFilter, bool dry_run, std::int64_t rate_per_second, Done<DeadLetterOutcome>) override;
  void purge(Caller, DeadLetterFilter, bool dry_run, Done<DeadLetterOutcome>) override;
  void queue_stats(Caller, std::string command, Done<QueueStats>) override;
  void queues(Caller, Done<std::vector<TenantQueue>>) override;
  void pause(Caller, std::string command, bool paused, Done<QueueStats>) override;
  [[nodiscard]] std::int64_t now_ns() const override { return time_.now_ns(); }
  [[nodiscard]] std::int64_t to_record_ns(std::int64_t steady_ns) const override {
    return time_.to_record_ns(steady_ns);
  }

 private:
  enum class Kind { kCreate, kClaim, kRead, kOwner, kReserved };
  using Command = std::move_only_function<void()>;
  struct Queued {
    Command run;
    std::size_t bytes;
  };

  // How much of a bound calls of that kind may fill.
  static std::size_t share(std::size_t bound, Kind kind) {
    return bound * (kind == Kind::kCreate ? 70 : kind == Kind::kClaim || kind == Kind::kRead ? 85 : 100) / 100;
  }
  // False: refused, the queue is full or we are stopping; `refusal` says which.
  bool enqueue(Kind kind, std::size_t bytes, Command&& command, Error& refusal);
  // Enqueues `act`, which is called with `done`, or answers `done` with the refusal.
  template <class T, class Act>
  void post(Kind kind, std::size_t bytes, Done<T> done, Act act);
  // The same, with the task of this sequence (0: none) in memory when `act` runs.
  template <class T, class Act>
  void post_on(Kind kind, std::size_t bytes, std::uint64_t sequence, Done<T> done, Act act);

  // ------------------------------------------------ the partition thread from here on
  void run();
  bool take(std::vector<Queued>& commands, std::vector<Command>& returned);  // with mutex_ held; whether we are to stop
  bool round(std::vector<Queued>& commands, std::vector<Command>& returned);
  void drive_to_end();
  void hand_back(Command command);  // any thread of ours
  [[nodiscard]] bool promotions_can_run() const;
  [[nodiscard]] bool sweep_has_work() const;
  Result<storage::Position> restore();
  Result<storage::Position> replay(const storage::Position& from);
  Result<void> load_now(const std::vector<std::uint64_t>& sequences);
  Result<void> save_now(const storage::Position& position);
  void save_last();
  Result<core::Effects> apply(const core::Record& record, bool live);

  // --- which tasks are in memory (partition_memory.cc) ---
  struct Rows {
    std::uint64_t sequence = 0;
    bool read = false, there = false, done = false;
    std::string body, rest;
  };
  struct Waiting {  // a call that waits for rows
    std::size_t missing = 0;
    std::vector<std::uint64_t> sequences;  // all that it needs, also what is here
    std::vector<std::string> keys;         // idempotency keys whose holders it needs
    std::size_t bytes = 0;                 // of the call that waits
    Command then;
  };
  struct Fetch {
    std::vector<std::shared_ptr<Waiting>> waiting;
    bool retired = false;  // meanwhile: what was read is void
    bool ahead = false;    // nobody asked yet: the task is next in line
  };
  // Runs `then` with these tasks in memory as far as they exist: now, or when they have been read.
  // `bytes`: what the waiting call holds; `urgent`: read before what others asked for.
  void with_tasks(const std::vector<std::uint64_t>& sequences, Command then, std::size_t bytes = 0, bool urgent = false);
  // The same for a call from outside, which is refused where too many wait already.
  template <class T, class Act>
  void with_tasks_for(Kind kind, std::size_t bytes, const std::vector<std::uint64_t>& sequences, Done<T> done, Act act);
  // Nothing has to be read for a call that names this one.
  [[nodiscard]] bool at_hand(std::uint64_t sequence) {
    return state_.task(sequence) != nullptr || !state_.exists_possibly(sequence);
  }
  void with_holders(std::vector<std::pair<std::string, std::string>> keys, std::size_t bytes, Command then);  // (tenant, idempotency key)
  void wait(Waiting& waiting, Command then);
  void serve(Waiting& waiting);
  bool let_go(std::uint64_t sequence);
  [[nodiscard]] bool far_from_its_turn(const core::Task& task) const;
  // Until no bytes are left, which reads that belong together share (on the reader's thread alone); then the rest is not read.
  void read_rows(std::vector<std::uint64_t> sequences, std::shared_ptr<std::size_t> bytes_left, bool urgent);
  static Result<void> read_slice(const storage::Store& store, std::span<Rows> rows);
  static Result<void> find_holder(const storage::Store& store, const std::string& tenant, const std::string& key,
                                  std::uint64_t& holder);
  void fetched(std::vector<Rows> rows);
  void fetch_ahead(const core::Queue& queue);
  [[nodiscard]] bool too_many_fetches(Kind kind) const;
  void read(Reader::Job job, bool urgent = false);  // counts it
  void keep_memory_small();

  // Where rounds are long, a cut must not take many of them: what changes meanwhile waits for the next one.
  [[nodiscard]] std::size_t changes_of_round() const { return state_.records() - records_before_; }
  void begin_cut();
  void drive_cut();
  void settle();
  [[nodiscard]] std::size_t unsaved_bytes() const { return state_.dirty_bytes() + cut_bytes_; }
  [[nodiscard]] const char* no_room() const;  // why no further task can be taken; null: there is room

  void sweep();
  struct Sweep;
  void scan_retirements(std::shared_ptr<Sweep> sweep);
  void give_up(Sweep& sweep);

  // --- lists, dead letters (partition_list.cc, partition_dead_letters.cc) ---
  struct Listing;
  struct DeadListing;
  struct DeadWork;
  // Runs `then` once the store shows everything that has changed until now; with false where that will not be any more.
  void after_cut(std::move_only_function<void(bool)> then);
  void run_cut_waiters();
  [[nodiscard]] std::int64_t cut_delay_ns() const;
  void look_further(std::shared_ptr<Listing> listing);
  void look_further(std::shared_ptr<DeadListing> listing);
  [[nodiscard]] std::unordered_set<std::uint32_t> queues_of(const std::string& tenant, const std::string& command);
  void start_dead_work(Caller caller, DeadLetterFilter filter, std::unique_ptr<DeadWork> work, Done<DeadLetterOutcome> done);
  void scan_dead(std::shared_ptr<Sweep> sweep);
  bool redrive_some(const std::shared_ptr<Sweep>& sweep);  // whether all of them are
  void resumed(const std::string& tenant, const std::string& command);
  [[nodiscard]] QueueStats stats_of(std::string_view tenant, std::string_view command);
  [[nodiscard]] std::optional<Error> create_refusal(bool needs_rows) const;
  struct Prepared {  // a create, of which all is known but the time
    core::Record record;
    std::optional<Error> refused;
    std::optional<std::int64_t> run_at_ns;
    std::int64_t delay_ms = 0;
  };
  void create_now(const Caller& caller, std::vector<Prepared> creates, Done<std::vector<Result<TaskSnapshot>>> reply);
  void submit_now(const Caller& caller, std::vector<SubmitResult> items, const std::vector<core::TaskId>& ids,
                  Done<std::vector<Result<ResultSnapshot>>> reply);
  void try_claim(CallId id, Caller caller, ClaimTasks ask, std::int64_t deadline_ns, Done<std::vector<TaskSnapshot>> done);
  Result<core::Effects> change(const core::Record& record);  // apply, log, note spans and wake-ups
  void answer(std::move_only_function<void()> release);
  void remember_gone(CallId id);
  void note_durable();
  void run_timers();
  void serve_parked();
  void expire_parked();
  void start_deliveries();
  void start_delivery(std::uint64_t id);
  bool wait_for_turn(std::uint64_t id, const WebhookJob& job);
  void count_delivery(int change);

  // --- topics and subscriptions (partition_topics.cc, partition_subscriptions.cc) ---
  void note_copy(const core::Effects& effects);
  void put_topic_now(core::PutTopicRecord record, Done<TopicPut> reply);
  void wake_queue(const std::string& tenant, const std::string& command);
  [[nodiscard]] std::optional<std::int64_t> subscriptions_due_ns() const;
  void sweep_subscriptions();
  void note_ready(const std::shared_ptr<const core::TaskInfo>& task, const std::string& key);
  void notify_ready();
  void start_notice(std::uint64_t id);
  void notified(std::uint64_t id, core::SpanId span, std::int64_t start_ns, WebhookOutcome outcome);

  void flush();

  // `cold`: the queue whose head must be read before anything can be claimed from it.
  std::vector<TaskSnapshot> claim_now(const Caller& caller, const ClaimTasks& ask, core::Queue*& cold);
  void answer_result(ParkedResult&& waiting, Error none);
  void delivered(std::uint64_t delivery, core::SpanId span, std::int64_t start_ns, WebhookOutcome outcome);
  std::optional<WebhookJob> job_for(std::uint64_t delivery, core::SpanId span);
  [[nodiscard]] const core::Task* find(const std::string& id, const std::string& tenant);
  [[nodiscard]] std::uint64_t sequence_of(const core::TaskId& id) const {  // 0: not an id of ours
    return id.partition == options_.partition ? id.sequence : 0;
  }
  [[nodiscard]] std::uint64_t sequence_of(const std::string& id) const { return sequence_of(id_of(id)); }
  [[nodiscard]] static TaskSnapshot snapshot(const core::Task& task);
  [[nodiscard]] DeliverySnapshot snapshot(std::uint64_t id, const core::Delivery& delivery);
  [[nodiscard]] static core::TaskId id_of(const std::string& text);  // all zeros: not an id
  [[nodiscard]] core::OwnerFields owner_fields(const Caller& caller, const core::TaskId& id,
                                               std::optional<std::uint64_t> token);
  [[nodiscard]] core::ReturnRules return_rules();
  [[nodiscard]] core::SpanId new_span_id();
  [[nodiscard]] std::uint64_t new_delivery_id();

  PartitionOptions options_;
  Deps deps_;
  RecordClock time_;
  core::State state_;
  Parked parked_;
  Outbox outbox_;
  std::unordered_set<std::uint64_t> has_turn_;  // deliveries in the outbox whose rate token has been taken
  std::set<std::string> woken_;  // keys of queues that got a ready task in this round
  std::uint32_t woken_id_ = 0;   // of the queue that is known to be among them; 0: none
  Notifier notifier_;
  std::unordered_map<std::string, std::shared_ptr<const core::TaskInfo>> news_;  // of this round: queue -> what woke it
  std::int64_t subscriptions_swept_ns_ = 0;
  Group group_;  // grows during a round
  std::vector<Durable> durable_;  // what a round hears of; empty between rounds
  bool must_commit_ = false;  // group_ has more than bookkeeping in it
  std::int64_t stamp_ns_ = 0;  // record time of this round
  std::uint64_t records_before_ = 0;  // of this round
  std::int64_t clock_marked_ns_ = 0;
  std::int64_t disk_checked_ns_ = 0;
  std::uint64_t last_delivery_ = 0;
  bool draining_ = false;
  RecoveryReport report_;

  static constexpr std::size_t kWaitingCallsMax = 4096;
  std::unordered_map<std::uint64_t, Fetch> fetching_;  // one reading of a task at a time, so that it cannot change meanwhile
  std::unordered_map<std::string, std::vector<std::shared_ptr<Waiting>>> fetching_keys_;  // the same for idempotency keys
  std::size_t waiting_calls_ = 0, waiting_bytes_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> pins_;     // tasks that waiting calls need, and how many of these
  std::unordered_map<std::string, std::size_t> key_pins_;  // the same for idempotency keys
  std::unordered_set<std::uint64_t> retired_new_, retired_cut_;  // gone, but the store has not heard of it
  std::unordered_set<CallId> gone_calls_;                   // abandoned when nothing of them was parked
  std::deque<CallId> gone_order_;                           // of these, and of some that are not among them any more
  std::unordered_map<CallId, bool> claims_reading_;         // claims that wait for rows; true: nobody waits for them any more
  std::vector<std::uint64_t> visitors_;    // read for one call; leave at the end of the round
  std::deque<std::uint64_t> read_ahead_;   // in memory because they are next in line, oldest reading first
  bool promoting_ = false, expiring_ = false;  // delayed tasks that are due, leases that are over, are being read

  std::int64_t changed_since_ns_ = 0;      // steady; when the first change since the last cut was seen, 0: none
  std::size_t cut_bytes_ = 0;              // of the cut that is not settled yet
  bool cut_offered_ = false;
  bool cut_now_ = false;
  std::uint64_t cuts_begun_ = 0, cuts_settled_ = 0;
  std::vector<std::uint64_t> to_settle_;   // tasks of the cut that was written
  std::size_t settled_ = 0;
  bool settling_ = false;

  std::vector<std::shared_ptr<Sweep>> sweeps_;     // the first one is at work
  bool swept_ = false;                             // since the start
  std::int64_t retire_due_ns_ = 0;                 // when the store may have something to retire
  std::int64_t retire_new_ns_ = INT64_MAX, retire_cut_ns_ = INT64_MAX;  // of tasks that finished since, or in, the cut
  struct CutWaiter {
    std::uint64_t cut = 0;
    std::move_only_function<void(bool)> then;
  };
  std::vector<CutWaiter> cut_waiters_;
  std::size_t listings_ = 0;                       // under way

  std::atomic<std::size_t> unsaved_seen_{0}, ready_seen_{0}, queue_seen_{0}, tasks_seen_{0};

  std::atomic<std::uint64_t> next_call_{1};
  std::atomic<bool> disk_low_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Queued> inbox_;
  std::vector<Command> returned_;  // from our own threads; taken also while we stop
  int reads_under_way_ = 0;        // of the partition thread alone
  std::size_t inbox_bytes_ = 0;
  int deliveries_under_way_ = 0;  // guarded by mutex_
  std::condition_variable delivery_done_;
  bool started_ = false, stopping_ = false;
  bool ended_ = false;             // stop was called
  bool more_ = true;               // without threads
  std::pair<std::vector<Queued>, std::vector<Command>> stepped_;  // the same: what `step` has taken
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<Committer> committer_;
  std::jthread thread_;  // last: joined before anything it uses goes away
};

template <class T, class Act>
void Partition::with_tasks_for(Kind kind, std::size_t bytes, const std::vector<std::uint64_t>& sequences, Done<T> done,
                               Act act) {
  if (too_many_fetches(kind))
    for (const auto sequence : sequences)
      if (!at_hand(sequence))
        return answer([done = std::move(done)]() mutable {
          done(std::unexpected<Error>(Error{Code::kOverloaded, "overloaded, try again"}));
        });
  with_tasks(
      sequences, [done = std::move(done), act = std::move(act)]() mutable { act(std::move(done)); }, bytes,
      kind == Kind::kOwner);
}

template <class T, class Act>
void Partition::post_on(Kind kind, std::size_t bytes, std::uint64_t sequence, Done<T> done, Act act) {
  post<T>(kind, bytes, std::move(done), [this, kind, bytes, sequence, act = std::move(act)](Done<T> reply) mutable {
    if (at_hand(sequence)) return act(std::move(reply));
    with_tasks_for<T>(kind, bytes, {sequence}, std::move(reply), std::move(act));
  });
}

template <class T, class Act>
void Partition::post(Kind kind, std::size_t bytes, Done<T> done, Act act) {
  struct Posted {
    Done<T> done;
    Act act;
  };
  auto posted = std::make_unique<Posted>(std::move(done), std::move(act));
  auto& kept = *posted;  // also after a refusal, which leaves the command with us
  Command command = [posted = std::move(posted)] { posted->act(std::move(posted->done)); };
  Error refusal{};
  if (!enqueue(kind, bytes, std::move(command), refusal)) kept.done(std::unexpected<Error>(std::move(refusal)));
}

}  // namespace codeq::services
