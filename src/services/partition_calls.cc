// The calls of Broker: checked and prepared on the caller's thread, decided on the partition's.
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "core/webhook_url.h"
#include "services/partition.h"

namespace codeq::services {
namespace {

constexpr std::size_t kCommandBytesMax = 256;
constexpr std::size_t kIdempotencyKeyBytesMax = 1024;
constexpr std::size_t kClaimCommandsMax = 1'000;  // a token's event types too, where a claim names none
constexpr std::uint32_t kPicksPerLook = 256;  // claims of a queue after which its next tasks are looked after
constexpr std::int64_t kLeaseSecondsMax = 365LL * 24 * 3600;

bool blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

core::SpanId random_span_id(Rng& rng) {
  core::SpanId id;
  do {
    id.bytes = std::bit_cast<decltype(id.bytes)>(rng.next_public());
  } while (!id.valid());
  return id;
}

core::TraceId random_trace_id(Rng& rng) {
  core::TraceId id;
  do {
    id.bytes = std::bit_cast<decltype(id.bytes)>(std::array{rng.next_public(), rng.next_public()});
  } while (!id.valid());
  return id;
}

// Everything of a create that needs neither the time nor the state.
Result<void> prepare(const PartitionOptions& options, observe::Tracer& tracer, Rng& rng, const Caller& caller,
                     CreateTask&& ask, core::CreateRecord& r) {
  if (blank(ask.command) || ask.command.size() > kCommandBytesMax)
    return fail(Code::kInvalidCommand, "invalid command");
  if (ask.command.find('\0') != std::string::npos) return fail(Code::kInvalidCommand, "invalid command");
  if (!ask.webhook.empty() && !core::webhook_host(ask.webhook))
    return fail(Code::kInvalidWebhookUrl, "invalid webhook url");
  if (ask.delay_ms < 0) return fail(Code::kInvalidDelay, "invalid 'delaySeconds' (must be >= 0)");
  if (ask.idempotency_key.size() > kIdempotencyKeyBytesMax)
    return fail(Code::kInvalidArgument, "idempotencyKey is too long");
  r.partition = options.partition;
  r.id_random = rng.next() & core::kIdRandomMask;
  r.key_ttl_ns = options.idempotency_ttl_seconds * kNanosPerSecond;
  r.tenant = caller.tenant;
  if (!ask.idempotency_key.empty()) {
    const auto seed = XXH3_64bits(ask.command.data(), ask.command.size());
    const auto digest = XXH3_128bits_withSeed(ask.payload.data(), ask.payload.size(), seed);
    r.content_hash = digest.low64;
    r.content_hash_high = digest.high64;
  }
  r.command = std::move(ask.command);
  r.webhook = std::move(ask.webhook);
  r.idempotency_key = std::move(ask.idempotency_key);
  r.payload = std::make_shared<const std::string>(std::move(ask.payload));
  r.priority = static_cast<int>(std::clamp<std::int64_t>(ask.priority, 0, core::kPriorities - 1));
  r.max_attempts = static_cast<std::uint32_t>(
      std::min<std::int64_t>(ask.max_attempts > 0 ? ask.max_attempts : options.default_max_attempts, 1'000'000'000));
  r.default_attempts = ask.max_attempts <= 0;
  r.trace = std::move(ask.incoming);
  r.traced = tracer.enabled();
  if (r.traced) {
    const auto parent = caller.request.valid() ? caller.request : r.trace.span;
    if (parent.valid()) r.create_parent = parent.span_id;
    r.trace.span = tracer.start(parent, rng);
    r.create_span = r.trace.span.span_id;
    r.timeline_trace_id = r.trace.span.trace_id;
  } else {
    r.create_span = random_span_id(rng);
    r.create_parent = r.trace.span.span_id;
    r.timeline_trace_id = r.trace.span.valid() ? r.trace.span.trace_id : random_trace_id(rng);
  }
  return {};
}

}  // namespace

core::SpanId Partition::new_span_id() { return random_span_id(deps_.rng); }

std::uint64_t Partition::new_delivery_id() {
  last_delivery_ =
      std::max(last_delivery_ + 1, static_cast<std::uint64_t>(stamp_ns_));  // in order of time, never used twice
  return last_delivery_;
}

core::ReturnRules Partition::return_rules() {
  core::ReturnRules rules{.retry = options_.retry,
                          .draw = deps_.rng.next(),
                          .count_twice = options_.count_twice,
                          .dead_letter_span = new_span_id(),
                          .delivery_id = new_delivery_id(),
                          .retention_ns = options_.retention_seconds * kNanosPerSecond};
  if (!state_.has_topics()) return rules;
  rules.copy_span = new_span_id();
  rules.copy_random = deps_.rng.next() & core::kIdRandomMask;
  return rules;
}

const core::Task* Partition::find(const std::string& id, const std::string& tenant) {
  const auto parsed = core::parse_task_id(id);
  return parsed ? state_.find(*parsed, tenant, stamp_ns_) : nullptr;
}

core::TaskId Partition::id_of(const std::string& text) { return core::parse_task_id(text).value_or(core::TaskId{}); }

core::OwnerFields Partition::owner_fields(const Caller& caller, const core::TaskId& id,
                                          std::optional<std::uint64_t> token) {
  return {.sequence = id.partition == options_.partition ? id.sequence : 0,
          .id_random = id.random,
          .tenant = caller.tenant,
          .worker = caller.subject,
          .lease_token = token.value_or(0),
          .received_ns = time_.to_record_ns(caller.received_steady_ns),
          .span = new_span_id(),
          .run_span = new_span_id(),
          .request = caller.request};
}

TaskSnapshot Partition::snapshot(const core::Task& task) {
  const bool leased = task.place == core::Place::kLeased;
  return {.info = task.info,
          .payload = task.payload,
          .status = task.status,
          .place = task.place,
          .worker = leased ? task.worker : nullptr,
          .lease_until_ns = task.lease_until_ns,
          .lease_token = task.lease_token,
          .attempts = task.attempts,
          .error = task.error,
          .has_result = task.has_result,
          .updated_ns = task.updated_ns,
          .context = task.context()};
}

// ---------------------------------------------------------------- create and claim

void Partition::create(Caller caller, std::vector<CreateTask> asks, Done<std::vector<Result<TaskSnapshot>>> done) {
  std::vector<Prepared> creates(asks.size());
  std::size_t bytes = 0;
  std::vector<std::pair<std::string, std::string>> keys;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    auto& ask = asks[i];
    bytes +=
        ask.payload.size() + ask.command.size() + ask.incoming.tracestate.size() + ask.incoming.baggage.size() + 512;
    auto& create = creates[i];
    create.run_at_ns = ask.run_at_ns;
    create.delay_ms = ask.delay_ms;
    auto& record = create.record.emplace<core::CreateRecord>();
    if (auto good = prepare(options_, deps_.tracer, deps_.rng, caller, std::move(ask), record); !good)
      create.refused = std::move(good).error();
    else if (!record.idempotency_key.empty())
      keys.emplace_back(record.tenant, record.idempotency_key);
  }
  post<std::vector<Result<TaskSnapshot>>>(
      Kind::kCreate, bytes, std::move(done),
      [this, caller = std::move(caller), creates = std::move(creates), keys = std::move(keys), bytes](auto reply) mutable {
        if (const auto refusal = create_refusal(!keys.empty()))
          return answer([reply = std::move(reply), error = *refusal]() mutable {
            reply(std::unexpected<Error>(std::move(error)));
          });
        if (keys.empty()) return create_now(caller, std::move(creates), std::move(reply));
        with_holders(std::move(keys), bytes, [this, caller = std::move(caller), creates = std::move(creates),
                                              reply = std::move(reply)]() mutable {
          create_now(caller, std::move(creates), std::move(reply));
        });
      });
}

std::optional<Error> Partition::create_refusal(bool needs_rows) const {
  if (disk_low_) return Error{Code::kDiskFull, "the disk is nearly full, no new tasks"};
  if (const char* why = no_room()) return Error{Code::kOverloaded, why};
  if (needs_rows && too_many_fetches(Kind::kCreate)) return Error{Code::kOverloaded, "overloaded, try again"};
  return std::nullopt;
}

void Partition::create_now(const Caller& caller, std::vector<Prepared> creates,
                           Done<std::vector<Result<TaskSnapshot>>> reply) {
  std::vector<Result<TaskSnapshot>> answers;
  answers.reserve(creates.size());
  const auto received = time_.to_record_ns(caller.received_steady_ns);
  for (auto& create : creates) {
    if (create.refused) {
      answers.push_back(std::unexpected<Error>(*std::move(create.refused)));
      continue;
    }
    const auto& record = create.record;
    auto& r = std::get<core::CreateRecord>(create.record);
    r.time_ns = stamp_ns_;
    r.received_ns = received;
    const auto run_at = create.run_at_ns;
    const auto delay_ms = create.delay_ms;
    const auto delay_max_ms = (INT64_MAX / 4 - stamp_ns_) / kNanosPerMilli;
    r.visible_ns = run_at          ? *run_at
                   : delay_ms == 0 ? 0
                                   : stamp_ns_ + std::min(delay_ms, std::max<std::int64_t>(delay_max_ms, 0)) *
                                                     kNanosPerMilli;
    const auto drafts = group_.spans.size();
    auto effects = change(record);
    if (!effects) {
      answers.push_back(std::unexpected<Error>(effects.error()));
      continue;
    }
    // Without a request span of ours the create span continues somebody else's.
    if (!caller.request.valid())
      for (auto d = drafts; d < group_.spans.size(); ++d)
        group_.spans[d].remote_parent = group_.spans[d].event.kind == core::EventKind::kCreate;
    if (!effects->duplicate) {
      deps_.metrics.task_created(r.command);
    } else if (r.traced && r.trace.span.sampled()) {
      SpanDraft draft;
      draft.info = effects->task->info;
      draft.event.kind = core::EventKind::kCreate;
      draft.event.start_ns = received;
      draft.event.parent = r.create_parent;
      draft.replay = true;
      draft.context = r.trace.span;
      draft.tracestate = r.trace.tracestate;
      draft.remote_parent = !caller.request.valid();
      group_.spans.push_back(std::move(draft));
    }
    answers.push_back(snapshot(*effects->task));
  }
  answer([reply = std::move(reply), answers = std::move(answers)]() mutable { reply(std::move(answers)); });
}

std::vector<TaskSnapshot> Partition::claim_now(const Caller& caller, const ClaimTasks& ask, core::Queue*& cold) {
  std::vector<TaskSnapshot> claimed;
  const auto lease_seconds =
      std::min(ask.lease_seconds > 0 ? ask.lease_seconds : options_.default_lease_seconds, kLeaseSecondsMax);
  std::shared_ptr<const std::string> worker;
  const auto ready_queue = [&]() -> core::Queue* {
    if (ask.commands.empty()) return state_.ready_queue_of_any(caller.tenant, &caller.subject);
    for (const auto& command : ask.commands)
      if (auto* queue = state_.ready_queue(caller.tenant, command, &caller.subject); queue != nullptr) return queue;
    return nullptr;
  };
  std::size_t bytes = 0;  // of one answer: the rest of a batch of large payloads is for the next claim
  while (claimed.size() < ask.count && bytes < ask.bytes_max) {
    auto* queue = ready_queue();
    if (queue == nullptr) break;
    const auto sequence = queue->front();
    const auto* head = state_.task(sequence);
    if (head == nullptr) {
      cold = queue;
      fetch_ahead(*queue);
      break;
    }
    if (!claimed.empty() && bytes + head->payload->size() > ask.bytes_max) break;
    if (!worker) worker = std::make_shared<const std::string>(caller.subject);
    const auto effects = change(core::ClaimRecord{.time_ns = stamp_ns_,
                                                  .sequence = sequence,
                                                  .worker = worker,
                                                  .lease_ns = lease_seconds * kNanosPerSecond,
                                                  .lease_token = deps_.rng.next() | 1U,
                                                  .queued_span = new_span_id(),
                                                  .claim_span = new_span_id(),
                                                  .request = caller.request,
                                                  .traced = deps_.tracer.enabled(),
                                                  .limited = queue->limited()});
    CHECK(effects.has_value());
    deps_.metrics.task_claimed(effects->task->info->command);
    if (++queue->picks % kPicksPerLook == 0) fetch_ahead(*queue);
    claimed.push_back(snapshot(*effects->task));
    bytes += claimed.back().payload->size();
  }
  return claimed;
}

CallId Partition::claim(Caller caller, ClaimTasks ask, Done<std::vector<TaskSnapshot>> done) {
  const auto id = next_call_++;
  std::size_t bytes = 256;
  for (const auto& command : ask.commands) bytes += 64 + command.size();
  const bool too_long = std::any_of(ask.commands.begin(), ask.commands.end(),
                                    [](const auto& command) { return command.size() > kCommandBytesMax; });
  if (ask.commands.size() > kClaimCommandsMax || too_long) {
    done(fail(Code::kInvalidArgument, "at most 1000 commands of at most 256 bytes"));
    return id;
  }
  post<std::vector<TaskSnapshot>>(
      Kind::kClaim, bytes, std::move(done),
      [this, id, caller = std::move(caller), ask = std::move(ask)](auto reply) mutable {
        const bool waits = ask.wait_ms > 0 && ask.count > 0 && ask.bytes_max > 0;  // for something
        const auto deadline = waits ? deps_.clock.steady_ns() + ask.wait_ms * kNanosPerMilli : 0;
        try_claim(id, std::move(caller), std::move(ask), deadline, std::move(reply));
      });
  return id;
}

void Partition::try_claim(CallId id, Caller caller, ClaimTasks ask, std::int64_t deadline_ns,
                          Done<std::vector<TaskSnapshot>> reply) {
  core::Queue* cold = nullptr;
  auto tasks = claim_now(caller, ask, cold);
  if (tasks.empty() && cold != nullptr) {
    if (too_many_fetches(Kind::kClaim))
      return answer([reply = std::move(reply)]() mutable { reply(fail(Code::kOverloaded, "overloaded, try again")); });
    claims_reading_.emplace(id, false);
    return with_tasks({cold->front()}, [this, id, caller = std::move(caller), ask = std::move(ask), deadline_ns,
                                        reply = std::move(reply)]() mutable {
      const auto reading = claims_reading_.extract(id);
      if (!reading.empty() && reading.mapped())
        return answer([reply = std::move(reply)]() mutable { reply(std::vector<TaskSnapshot>{}); });
      try_claim(id, std::move(caller), std::move(ask), deadline_ns, std::move(reply));
    });
  }
  if (tasks.empty() && deadline_ns != 0 && !draining_)
    return parked_.park(id, ParkedClaim{.caller = std::move(caller),
                                        .ask = std::move(ask),
                                        .done = std::move(reply),
                                        .deadline_ns = deadline_ns});
  answer([reply = std::move(reply), tasks = std::move(tasks)]() mutable { reply(std::move(tasks)); });
}

void Partition::abandon_call(CallId id) {
  Error refusal{};
  // Answered like any other, to nobody: whoever counts parked calls counts it out.
  enqueue(
      Kind::kReserved, 0,
      [this, id] {
        if (auto claim = parked_.take_claim(id))
          answer([done = std::move(claim->done)]() mutable { done(std::vector<TaskSnapshot>{}); });
        else if (auto result = parked_.take_result(id))
          answer([done = std::move(result->done)]() mutable { done(fail(Code::kResultNotFound, "result not found")); });
        else if (const auto reading = claims_reading_.find(id); reading != claims_reading_.end())
          reading->second = true;
        else
          remember_gone(id);
      },
      refusal);
}

// It may be a result wait whose task is being read; or one that was answered just now, so only so many are remembered.
void Partition::remember_gone(CallId id) {
  constexpr std::size_t kRemembered = 4096;
  gone_calls_.insert(id);
  gone_order_.push_back(id);
  if (gone_order_.size() <= kRemembered) return;
  gone_calls_.erase(gone_order_.front());
  gone_order_.pop_front();
}

void Partition::undelivered(std::vector<LeaseRef> leases) {
  std::reverse(leases.begin(),
               leases.end());  // each goes to the front of its queue: the last one first keeps their order
  Error refusal{};
  enqueue(
      Kind::kReserved, 0,
      [this, leases = std::move(leases)] {
        std::vector<std::uint64_t> sequences;
        for (const auto& [sequence, token] : leases) sequences.push_back(sequence);
        with_tasks(sequences, [this, leases] {
          // A refusal means that the lease is over already: then there is nothing to give back.
          for (const auto& [sequence, token] : leases)
            (void)change(core::UndeliveredRecord{
                .time_ns = stamp_ns_, .sequence = sequence, .lease_token = token, .run_span = new_span_id()});
        });
      },
      refusal);
}

// ---------------------------------------------------------------- calls of a lease's owner

void Partition::heartbeat(Caller caller, OwnerCall call, std::int64_t extend_seconds, Done<void> done) {
  const auto id = id_of(call.task_id);
  post_on<void>(
      Kind::kOwner, 512, sequence_of(id), std::move(done),
      [this, id, token = call.lease_token, caller = std::move(caller), extend_seconds](auto reply) mutable {
        const auto seconds =
            std::min(extend_seconds > 0 ? extend_seconds : options_.default_lease_seconds, kLeaseSecondsMax);
        auto effects = change(core::HeartbeatRecord{.time_ns = stamp_ns_,
                                                    .owner = owner_fields(caller, id, token),
                                                    .extend_ns = seconds * kNanosPerSecond});
        Result<void> outcome;
        if (!effects) outcome = std::unexpected<Error>(effects.error());
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::abandon(Caller caller, OwnerCall call, Done<void> done) {
  const auto id = id_of(call.task_id);
  post_on<void>(
      Kind::kOwner, 512, sequence_of(id), std::move(done),
      [this, id, token = call.lease_token, caller = std::move(caller)](auto reply) mutable {
        auto effects = change(
            core::AbandonRecord{.time_ns = stamp_ns_, .owner = owner_fields(caller, id, token)});
        Result<void> outcome;
        if (!effects) outcome = std::unexpected<Error>(effects.error());
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::nack(Caller caller, OwnerCall call, std::int64_t delay_seconds, std::string reason,
                     Done<NackOutcome> done) {
  const auto bytes = 512 + reason.size();
  const auto id = id_of(call.task_id);
  post_on<NackOutcome>(
      Kind::kOwner, bytes, sequence_of(id), std::move(done),
      [this, id, token = call.lease_token, caller = std::move(caller), delay_seconds,
       reason = std::move(reason)](auto reply) mutable {
        const auto effects = change(core::NackRecord{.time_ns = stamp_ns_,
                                                     .owner = owner_fields(caller, id, token),
                                                     .delay_seconds = delay_seconds,
                                                     .reason = std::move(reason),
                                                     .rules = return_rules()});
        Result<NackOutcome> outcome;
        if (effects)
          outcome = NackOutcome{.delay_seconds = effects->delay_seconds, .dead = effects->finished};
        else
          outcome = std::unexpected<Error>(effects.error());
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::submit(Caller caller, std::vector<SubmitResult> items, Done<std::vector<Result<ResultSnapshot>>> done) {
  std::size_t bytes = 0;
  for (const auto& item : items) bytes += 512 + item.error.size() + (item.result_json ? item.result_json->size() : 0);
  std::vector<core::TaskId> ids;
  ids.reserve(items.size());
  for (const auto& item : items) ids.push_back(id_of(item.task_id));
  post<std::vector<Result<ResultSnapshot>>>(
      Kind::kOwner, bytes, std::move(done),
      [this, bytes, caller = std::move(caller), items = std::move(items), ids = std::move(ids)](auto reply) mutable {
        if (std::ranges::all_of(ids, [this](const auto& id) { return at_hand(sequence_of(id)); }))
          return submit_now(caller, std::move(items), ids, std::move(reply));
        std::vector<std::uint64_t> needs;
        for (const auto& id : ids)
          if (sequence_of(id) != 0) needs.push_back(sequence_of(id));
        with_tasks_for<std::vector<Result<ResultSnapshot>>>(
            Kind::kOwner, bytes, needs, std::move(reply),
            [this, caller = std::move(caller), items = std::move(items), ids = std::move(ids)](auto later) mutable {
              submit_now(caller, std::move(items), ids, std::move(later));
            });
      });
}

void Partition::submit_now(const Caller& caller, std::vector<SubmitResult> items, const std::vector<core::TaskId>& ids,
                           Done<std::vector<Result<ResultSnapshot>>> reply) {
  std::vector<Result<ResultSnapshot>> answers;
  answers.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto& item = items[i];
    core::SubmitRecord record{.time_ns = stamp_ns_,
                              .owner = owner_fields(caller, ids[i], item.lease_token),
                              .status = core::Status{},
                              .has_result = item.result_json.has_value() || item.may_lack_result,
                              .result = {},
                              .delivery_id = new_delivery_id(),
                              .retention_ns = options_.retention_seconds * kNanosPerSecond};
    if (item.status == "COMPLETED") record.status = core::Status::kCompleted;
    if (item.status == "FAILED") record.status = core::Status::kFailed;
    record.result.result_json = std::move(item.result_json).value_or("");
    record.result.error = std::move(item.error);
    record.result.artifacts = std::move(item.artifacts);
    auto effects = change(std::move(record));
    if (!effects) {
      answers.push_back(std::unexpected<Error>(effects.error()));
      continue;
    }
    answers.push_back(
        ResultSnapshot{.task = effects->task->info->id,
                       .result = effects->task->result});
  }
  answer([reply = std::move(reply), answers = std::move(answers)]() mutable { reply(std::move(answers)); });
}

// ---------------------------------------------------------------- reads

void Partition::get_task(Caller caller, std::string task_id, Done<TaskSnapshot> done) {
  const auto needs = sequence_of(task_id);
  post_on<TaskSnapshot>(
      Kind::kRead, 256, needs, std::move(done),
      [this, caller = std::move(caller), id = std::move(task_id)](auto reply) mutable {
        const auto* task = find(id, caller.tenant);
        Result<TaskSnapshot> outcome = fail(Code::kNotFound, "not found");
        if (task != nullptr) outcome = snapshot(*task);
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::answer_result(ParkedResult&& waiting, Error none) {
  const auto* task = state_.find(waiting.task, waiting.caller.tenant, stamp_ns_);
  Result<TaskAndResult> outcome = std::unexpected<Error>(std::move(none));
  if (task != nullptr && task->has_result)
    outcome = TaskAndResult{.task = snapshot(*task), .result = {.task = task->info->id, .result = task->result}};
  answer([reply = std::move(waiting.done), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
}

CallId Partition::get_result(Caller caller, std::string task_id, std::int64_t wait_ms, Done<TaskAndResult> done) {
  const auto id = next_call_++;
  const auto needs = sequence_of(task_id);
  post_on<TaskAndResult>(
      Kind::kRead, 256, needs, std::move(done),
      [this, id, caller = std::move(caller), text = std::move(task_id), wait_ms](auto reply) mutable {
        const auto* task = find(text, caller.tenant);
        if (task == nullptr)
          return answer([reply = std::move(reply)]() mutable { reply(fail(Code::kTaskNotFound, "task not found")); });
        ParkedResult waiting{.caller = std::move(caller),
                             .sequence = task->info->id.sequence,
                             .task = task->info->id,
                             .done = std::move(reply),
                             .deadline_ns = deps_.clock.steady_ns() + wait_ms * kNanosPerMilli};
        const bool gone = wait_ms > 0 && gone_calls_.erase(id) > 0;
        if (task->has_result || wait_ms <= 0 || draining_ || gone)
          return answer_result(std::move(waiting), {Code::kResultNotFound, "result not found"});
        parked_.park(id, std::move(waiting));
      });
  return id;
}

void Partition::get_timeline(Caller caller, std::string task_id, Done<TimelineSnapshot> done) {
  const auto needs = sequence_of(task_id);
  post_on<TimelineSnapshot>(
      Kind::kRead, 256, needs, std::move(done),
      [this, caller = std::move(caller), id = std::move(task_id)](auto reply) mutable {
        const auto* task = find(id, caller.tenant);
        Result<TimelineSnapshot> outcome = fail(Code::kNotFound, "not found");
        if (task != nullptr)
          outcome = TimelineSnapshot{.task = snapshot(*task),
                                     .events = task->timeline.events(),
                                     .events_dropped = task->timeline.dropped(),
                                     .now_ns = stamp_ns_};
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::queue_depths(Done<std::vector<QueueDepth>> done) {
  post<std::vector<QueueDepth>>(Kind::kRead, 64, std::move(done), [this](auto reply) mutable {
    std::unordered_map<std::string, QueueDepth> by_command;
    state_.each_queue([&](const core::Queue& queue) {
      auto& depth = by_command[queue.command];
      if (depth.command.empty()) depth.command = queue.label;
      depth.ready += queue.ready_count;
      depth.delayed += queue.delayed;
      depth.in_progress += queue.in_progress;
      depth.dead += queue.dead;
    });
    std::vector<QueueDepth> depths;
    for (auto& [command, depth] : by_command) depths.push_back(std::move(depth));
    std::sort(depths.begin(), depths.end(), [](const auto& a, const auto& b) { return a.command < b.command; });
    answer([reply = std::move(reply), depths = std::move(depths)]() mutable { reply(std::move(depths)); });
  });
}

}  // namespace codeq::services
