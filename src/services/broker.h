// What a transport asks of the broker. HTTP and gRPC speak these words and no others.
//
// Threads  every call may come from any thread and returns at once; `Done` is called exactly once, on a thread of the
//          broker, after the commit of everything that the answer has seen. It must not block.
// Errors   kOverloaded (queue full: answer 503), kUnavailable (stopping), and those named at each call
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/subscription.h"
#include "core/task.h"
#include "core/topic.h"

namespace codeq::services {

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

// Who asks, and under which request span.
struct Caller {
  std::string tenant;
  std::string subject;                 // the worker's identity on owner calls (core::holder_of)
  // The request's SERVER span; with tracing off the received context. Invalid on a stream, but where its metadata name one.
  core::SpanContext request;
  std::int64_t received_steady_ns = 0;  // Clock::steady_ns when the request's head was read
};

struct TaskSnapshot {
  std::shared_ptr<const core::TaskInfo> info;
  std::shared_ptr<const std::string> payload;  // the JSON text as submitted
  core::Status status{};
  core::Place place{};
  std::shared_ptr<const std::string> worker;  // the holder (core::holder_of), null unless leased
  std::int64_t lease_until_ns = 0;
  std::uint64_t lease_token = 0;  // 0 unless leased
  std::uint32_t attempts = 0;
  std::string error;
  bool has_result = false;
  std::int64_t updated_ns = 0;
  // What the task's holder should continue: the attempt's context once claimed, else the origin. May be invalid.
  core::SpanContext context;
};

struct CreateTask {
  std::string command;
  std::string payload;  // valid JSON, byte for byte as sent
  std::int64_t priority = 0;  // clamped to 0..9
  std::string webhook;
  std::int64_t max_attempts = 0;  // <= 0: the default
  std::string idempotency_key;  // empty: none
  std::optional<std::int64_t> run_at_ns;  // wins over delay
  std::int64_t delay_ms = 0;  // >= 0
  // The context to continue. With tracing on this gives tracestate and baggage, and the parent where `Caller::request` is
  // invalid; with tracing off it is kept as it is.
  core::TraceContext incoming;
};

struct ClaimTasks {
  std::vector<std::string> commands;  // in order of preference; empty: any command of the tenant
  std::uint32_t count = 1;
  std::int64_t lease_seconds = 0;  // <= 0: the default
  std::int64_t wait_ms = 0;  // 0: do not wait
  std::size_t bytes_max = std::size_t{2} << 20;  // of the payloads together, but for the first one
};

struct OwnerCall {
  std::string task_id;  // as it stood in the path; not ours: kNotFound
  std::optional<std::uint64_t> lease_token;  // must match where sent
};
struct NackOutcome {
  std::int64_t delay_seconds = 0;
  bool dead = false;
};

struct SubmitResult {
  std::string task_id;
  std::optional<std::uint64_t> lease_token;
  std::string status;  // as sent; COMPLETED or FAILED
  std::optional<std::string> result_json;  // an object's bytes as sent
  bool may_lack_result = false;            // COMPLETED without one is fine
  std::string error;
  std::vector<core::Artifact> artifacts;
};
struct ResultSnapshot {
  core::TaskId task;
  std::shared_ptr<const core::TaskResult> result;
};
struct TaskAndResult {
  TaskSnapshot task;
  ResultSnapshot result;
};

struct TimelineSnapshot {
  TaskSnapshot task;
  std::vector<core::Event> events;
  std::uint32_t events_dropped = 0;
  std::int64_t now_ns = 0;
};

enum class DeliveryState : std::uint8_t { kPending = 1, kFailed = 2 };
struct DeliverySnapshot {
  std::uint64_t id = 0;
  std::shared_ptr<const core::TaskInfo> info;
  DeliveryState state{};
  std::uint32_t attempts = 0;  // made so far in this round
  std::int64_t next_attempt_ns = 0;  // 0 unless pending
  int last_http_status = 0;  // 0: no answer
  std::string last_error;  // a short class such as "timeout", never an URL
};

struct TopicPut {
  core::Topic topic;
  bool created = false;
};

struct Subscribe {
  std::string callback_url;
  std::vector<std::string> event_types;  // commands, or core::kAnyCommand; whoever calls has checked that they are allowed
  std::int64_t ttl_seconds = 0;          // <= 0: 300; at most a day
  core::DeliveryMode mode = core::DeliveryMode::kFanout;
  std::string group;                      // of mode group
  std::int64_t min_interval_seconds = 0;  // <= 0: the setting's
};

// A lease as it was handed out, for giving it back.
struct LeaseRef {
  std::uint64_t sequence = 0, token = 0;
};
inline std::vector<LeaseRef> leases_of(const std::vector<TaskSnapshot>& tasks) {
  std::vector<LeaseRef> leases;
  leases.reserve(tasks.size());
  for (const auto& task : tasks) leases.push_back({task.info->id.sequence, task.lease_token});
  return leases;
}

// --- what people look at and do from outside; all of the caller's tenant ---
enum class TaskState : std::uint8_t { kReady = 1, kDelayed, kLeased, kCompleted, kFailed, kDead };
struct TaskFilter {
  std::string command;  // in any case; empty: all
  std::optional<TaskState> state;
  std::optional<std::int64_t> created_after_ns, created_before_ns;  // the first inclusive, the second not
  core::TraceId trace_id;  // invalid: any
  std::string worker;  // who holds it or had it last; empty: any
  std::size_t limit = 50;
  std::uint64_t below = 0;  // `next` of the page before; 0: from the newest on
};
// Without payloads. A page may have fewer than were asked for, also none, and still a next one.
struct TaskPage {
  std::vector<TaskSnapshot> tasks;
  std::uint64_t next = 0;  // 0: that was all
};
struct DeadLetterFilter {
  std::string command;  // in any case; empty: all
  std::string reason_prefix;  // of the task's error
  std::optional<std::int64_t> after_ns, before_ns;  // when it died; the first inclusive, the second not
  std::vector<std::string> ids;  // empty: all
  std::size_t limit = 100;
};
struct DeadLetter {
  TaskSnapshot task;  // without its payload
  std::int64_t died_ns = 0;
};
struct DeadLetterPage {
  std::vector<DeadLetter> letters;  // those that are forgotten first come first
  std::string next;  // where the next page begins, 16 bytes; empty: that was all
};
struct DeadLetterOutcome {
  std::size_t matched = 0, changed = 0;
  bool more = false;  // there are more than the limit
};
struct QueueStats {
  std::uint64_t ready = 0, delayed = 0, in_progress = 0, dead = 0;
  bool paused = false;
};
struct TenantQueue {
  std::string command;  // lower case
  std::array<std::uint64_t, core::kPriorities> ready{};
  QueueStats counts;
};

// Names a parked call, so that its caller can go away.
using CallId = std::uint64_t;

class Broker {
 public:
  virtual ~Broker() = default;

  // kInvalidCommand, kInvalidWebhookUrl, kInvalidDelay, kIdempotencyMismatch, kDiskFull per task.
  virtual void create(Caller, std::vector<CreateTask>, Done<std::vector<Result<TaskSnapshot>>>) = 0;
  // Empty: nothing claimable (after waiting, if asked). The CallId is for `abandon_call` and `undelivered`.
  virtual CallId claim(Caller, ClaimTasks, Done<std::vector<TaskSnapshot>>) = 0;
  // The caller of a parked claim or result wait has gone; nobody will read the answer.
  virtual void abandon_call(CallId) = 0;
  // A claim was committed but its answer could not be written: give the tasks back without costing an attempt.
  virtual void undelivered(std::vector<LeaseRef>) = 0;
  void undelivered(const std::vector<TaskSnapshot>& tasks) { undelivered(leases_of(tasks)); }

  // kNotFound, kNotOwner, kNotInProgress, kLeaseLost
  virtual void heartbeat(Caller, OwnerCall, std::int64_t extend_seconds, Done<void>) = 0;
  virtual void abandon(Caller, OwnerCall, Done<void>) = 0;
  virtual void nack(Caller, OwnerCall, std::int64_t delay_seconds, std::string reason, Done<NackOutcome>) = 0;
  // per item: kTaskNotFound, kNotOwner, kNotInProgress, kLeaseLost, kInvalidStatus, kResultRequired, kErrorRequired
  virtual void submit(Caller, std::vector<SubmitResult>, Done<std::vector<Result<ResultSnapshot>>>) = 0;

  virtual void get_task(Caller, std::string task_id, Done<TaskSnapshot>) = 0;  // kNotFound
  virtual CallId get_result(Caller, std::string task_id, std::int64_t wait_ms,
                            Done<TaskAndResult>) = 0;  // kTaskNotFound, kResultNotFound
  virtual void get_timeline(Caller, std::string task_id, Done<TimelineSnapshot>) = 0;  // kNotFound

  // At most `limit`, ordered by id, after `after`.
  virtual void list_deliveries(Caller, std::uint64_t after, std::size_t limit, Done<std::vector<DeliverySnapshot>>) = 0;
  virtual void replay_delivery(Caller, std::uint64_t id, Done<DeliverySnapshot>) = 0;  // kNotFound

  // Finished tasks of the tenant whose retention ends at or before `before_ns` go now; how many went, at most `limit`.
  virtual void cleanup(Caller, std::int64_t before_ns, std::size_t limit, Done<std::size_t> done) = 0;

  // Topics of the caller's tenant. The name and the policy have been checked (docs/topics.md).
  virtual void put_topic(Caller, std::string name, core::TopicPolicy, Done<TopicPut>) = 0;
  virtual void get_topic(Caller, std::string name, Done<core::Topic>) = 0;  // kNotFound
  virtual void delete_topic(Caller, std::string name, Done<void>) = 0;      // also where there is none

  // kInvalidWebhookUrl, kInvalidArgument
  virtual void subscribe(Caller, Subscribe, Done<core::Subscription>) = 0;
  // kNotFound: also where it is over, or somebody else's
  virtual void renew_subscription(Caller, std::string id, std::int64_t ttl_seconds, Done<core::Subscription>) = 0;
  virtual void unsubscribe(Caller, std::string id, Done<void>) = 0;
  virtual void list_subscriptions(Caller, Done<std::vector<core::Subscription>>) = 0;  // of the tenant
  // Newest first. What was changed before the call is seen.
  virtual void list_tasks(Caller, TaskFilter, Done<TaskPage>) = 0;
  // A task that has not finished ends as failed: kNotFound, kNotInProgress.
  virtual void cancel(Caller, std::string task_id, std::string reason, Done<TaskSnapshot>) = 0;
  virtual void list_dead_letters(Caller, DeadLetterFilter, std::string from, Done<DeadLetterPage>) = 0;
  // Back to their queues with all their attempts, at most `rate_per_second` of them in a second; <= 0: all at once.
  virtual void redrive(Caller, DeadLetterFilter, bool dry_run, std::int64_t rate_per_second, Done<DeadLetterOutcome>) = 0;
  // Gone with everything that is theirs; where a webhook is still to be delivered, a minute later.
  virtual void purge(Caller, DeadLetterFilter, bool dry_run, Done<DeadLetterOutcome>) = 0;
  virtual void queue_stats(Caller, std::string command, Done<QueueStats>) = 0;
  virtual void queues(Caller, Done<std::vector<TenantQueue>>) = 0;  // those that have tasks, or are paused
  // Claims find nothing there until it is resumed; everything else goes on. kInvalidCommand, kOverloaded.
  virtual void pause(Caller, std::string command, bool paused, Done<QueueStats>) = 0;

  // Record time: what every span and timestamp of the broker is measured in.
  [[nodiscard]] virtual std::int64_t now_ns() const = 0;
  [[nodiscard]] virtual std::int64_t to_record_ns(std::int64_t steady_ns) const = 0;
};

}  // namespace codeq::services
