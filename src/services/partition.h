// The partition worker: one thread that owns a state, takes commands from a bounded inbox, and answers after the commit.
//
//   callers --commands--> inbox (bounded, by kind) --> this thread: stamp, apply, collect a group
//                                                        |  offer
//                                                        v
//                                                      Committer: append, sync, then answers, spans, wake-ups
//
// Invariants  an answer leaves only after the commit of everything it has seen, reads and refusals too;
//             nothing is polled: parked calls are served by the record that satisfies them
// Threads     Broker's calls from any thread; everything private below the line belongs to the partition thread
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "core/state.h"
#include "log/log.h"
#include "observe/metrics.h"
#include "observe/span.h"
#include "services/broker.h"
#include "services/committer.h"
#include "services/outbox.h"
#include "services/parked.h"
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
  int (*zone_offset_seconds)(std::int64_t ns) = nullptr;  // for times in webhook bodies; null: UTC
};

struct RecoveryReport {
  std::uint64_t groups = 0, records = 0;
  std::size_t tasks = 0;
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
    Committer::OnFailure on_log_failure;  // must not return
  };

  Partition(PartitionOptions options, Deps deps);
  ~Partition() override;

  // Replays the log, then serves. Errors: those of Log::replay, kCorrupt for records that do not fit.
  Result<RecoveryReport> start();
  // Answers every parked call now, and parks none from here on; starts no further webhook attempt.
  void begin_drain();
  // False: attempts were still under way at the limit; they are made again after the next start.
  bool wait_deliveries(std::chrono::milliseconds limit);
  // Finishes what is queued, commits it and ends. Calls after this answer kUnavailable.
  void stop();

  void create(Caller, std::vector<CreateTask>, Done<std::vector<Result<TaskSnapshot>>>) override;
  CallId claim(Caller, ClaimTasks, Done<std::vector<TaskSnapshot>>) override;
  void abandon_call(CallId) override;
  void undelivered(const std::vector<TaskSnapshot>&) override;
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

  // False: refused, the queue is full or we are stopping; `refusal` says which.
  bool enqueue(Kind kind, std::size_t bytes, Command&& command, Error& refusal);
  // Enqueues `act`, or answers `done` with the refusal.
  template <class T>
  void post(Kind kind, std::size_t bytes, Done<T> done, std::move_only_function<void(Done<T>)> act);

  // ------------------------------------------------ the partition thread from here on
  void run();
  Result<void> replay();
  Result<core::Effects> apply(const core::Record& record, bool live);
  Result<core::Effects> change(const core::Record& record);  // apply, log, note spans and wake-ups
  void answer(std::move_only_function<void()> release);
  void note_durable();
  void run_timers();
  void serve_parked();
  void expire_parked();
  void start_deliveries();
  void count_delivery(int change);
  void flush();
  [[nodiscard]] std::optional<std::int64_t> next_wake_steady_ns() const;

  std::vector<TaskSnapshot> claim_now(const Caller& caller, const ClaimTasks& ask);
  void answer_result(ParkedResult&& waiting, Error none);
  void delivered(std::uint64_t delivery, core::SpanId span, std::int64_t start_ns, WebhookOutcome outcome);
  std::optional<WebhookJob> job_for(std::uint64_t delivery, core::SpanId span);
  [[nodiscard]] const core::Task* find(const std::string& id, const std::string& tenant) const;
  [[nodiscard]] TaskSnapshot snapshot(const core::Task& task) const;
  [[nodiscard]] std::shared_ptr<const core::TaskResult> result_of(const core::Task& task) const;
  [[nodiscard]] DeliverySnapshot snapshot(std::uint64_t id, const core::Delivery& delivery);
  [[nodiscard]] core::OwnerFields owner_fields(const Caller& caller, const std::string& task_id,
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
  std::set<std::string> woken_;  // keys of queues that got a ready task in this round
  Group group_;  // grows during a round
  bool must_commit_ = false;  // group_ has more than bookkeeping in it
  std::int64_t stamp_ns_ = 0;  // record time of this round
  std::int64_t clock_marked_ns_ = 0;
  std::int64_t disk_checked_ns_ = 0;
  std::uint64_t last_delivery_ = 0;
  bool draining_ = false;
  RecoveryReport report_;

  std::atomic<std::uint64_t> next_call_{1};
  std::atomic<bool> disk_low_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Queued> inbox_;
  std::size_t inbox_bytes_ = 0;
  int deliveries_under_way_ = 0;  // guarded by mutex_
  std::condition_variable delivery_done_;
  bool started_ = false, stopping_ = false;
  std::unique_ptr<Committer> committer_;
  std::jthread thread_;  // last: joined before anything it uses goes away
};

template <class T>
void Partition::post(Kind kind, std::size_t bytes, Done<T> done, std::move_only_function<void(Done<T>)> act) {
  // `done` must survive a refusal, so it sits outside the command until that has been taken.
  auto shared =
      std::make_shared<std::pair<Done<T>, std::move_only_function<void(Done<T>)>>>(std::move(done), std::move(act));
  Error refusal{};
  if (!enqueue(kind, bytes, [shared] { shared->second(std::move(shared->first)); }, refusal))
    shared->first(std::unexpected<Error>(std::move(refusal)));
}

}  // namespace codeq::services
