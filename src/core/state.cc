#include "core/state.h"

#include <algorithm>

#include "base/check.h"
#include "core/webhook_url.h"

namespace codeq::core {
namespace {

// Far enough for any delay, and no sum with a time can overflow.
constexpr std::int64_t kNanosMax = INT64_MAX / 4;

std::string joined(std::string_view a, std::string_view b) {
  std::string key;
  key.reserve(a.size() + 1 + b.size());
  key.append(a).push_back('\0');
  key.append(b);
  return key;
}

bool blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

// The span of a call on a lease by its owner: receipt -> durable, under the attempt, linked to the request.
Event owner_event(EventKind kind, const Task& task, const OwnerFields& owner, std::int64_t time_ns,
                  std::uint8_t detail = 0, std::int64_t value = 0) {
  return {.kind = kind,
          .detail = detail,
          .attempt = task.attempts,
          .start_ns = std::min(owner.received_ns, time_ns),
          .end_ns = 0,
          .span = owner.span,
          .parent = task.claim_span,
          .request = owner.request,
          .value = value,
          .worker = task.worker};
}

// attemptCounting: reference counts a delivery twice, at the claim and again when it comes back (G30).
bool dies(const Task& task, const ReturnRules& rules) {
  return task.attempts + (rules.count_twice ? 1U : 0U) >= task.info->max_attempts;
}

std::int64_t applied_delay_seconds(std::int64_t asked_seconds, std::uint32_t attempts, const ReturnRules& rules) {
  const auto delay = asked_seconds <= 0 ? retry_delay_seconds(rules.retry, attempts, rules.draw) : asked_seconds;
  return std::min(delay, std::max<std::int64_t>(rules.retry.max_seconds, 0));
}

}  // namespace

std::string queue_key(std::string_view tenant, std::string_view command) {
  auto key = joined(tenant, command);
  for (std::size_t i = tenant.size() + 1; i < key.size(); ++i)
    if (key[i] >= 'A' && key[i] <= 'Z') key[i] = static_cast<char>(key[i] - 'A' + 'a');
  return key;
}

SpanContext Task::context() const {
  auto context = info->trace.span;
  if (info->traced && claim_traced && claim_span.valid()) context.span_id = claim_span;
  return context;
}

// ---------------------------------------------------------------- reads

Task* State::task(std::uint64_t sequence) {
  const auto it = tasks_.find(sequence);
  return it == tasks_.end() ? nullptr : it->second.get();
}

const Task* State::find(const TaskId& id, std::string_view tenant, std::int64_t now_ns) const {
  const auto it = tasks_.find(id.sequence);
  if (it == tasks_.end()) return nullptr;
  const auto& task = *it->second;
  if (task.info->id != id || task.info->tenant != tenant) return nullptr;
  if (task.finished() && now_ns >= task.retire_ns && task.delivery == 0)
    return nullptr;  // its retention is over, the sweep is on its way
  return &task;
}

const Delivery* State::delivery(std::uint64_t id) const {
  const auto it = deliveries_.find(id);
  return it == deliveries_.end() ? nullptr : &it->second;
}

std::vector<std::uint64_t> State::deliveries_of(const std::string& tenant, std::uint64_t after,
                                                std::size_t limit) const {
  std::vector<std::uint64_t> ids;
  const auto of = deliveries_of_.find(tenant);
  if (of == deliveries_of_.end()) return ids;
  for (auto it = of->second.upper_bound(after); it != of->second.end() && ids.size() < limit; ++it) ids.push_back(*it);
  return ids;
}

std::uint64_t State::head(std::string_view tenant, std::string_view command) const {
  const auto it = queues_.find(queue_key(tenant, command));
  if (it == queues_.end() || it->second->ready_count == 0) return 0;
  for (int p = kPriorities - 1; p >= 0; --p)
    if (const auto& level = it->second->ready[static_cast<std::size_t>(p)]; !level.empty()) return level.front();
  return 0;
}

std::uint64_t State::head_of_any(std::string_view tenant) const {
  const auto it = ready_of_.find(std::string(tenant));
  if (it == ready_of_.end()) return 0;
  for (int p = kPriorities - 1; p >= 0; --p) {
    std::uint64_t oldest = 0;
    for (const auto* candidate : it->second)
      if (const auto& level = candidate->ready[static_cast<std::size_t>(p)];
          !level.empty() && (oldest == 0 || level.front() < oldest))
        oldest = level.front();
    if (oldest != 0) return oldest;
  }
  return 0;
}

// ---------------------------------------------------------------- pieces

Queue& State::queue(const std::string& tenant, std::string_view command) {
  auto key = queue_key(tenant, command);
  auto& slot = queues_[key];
  if (!slot) {
    slot = std::make_unique<Queue>();
    slot->tenant = tenant;
    slot->command = key.substr(tenant.size() + 1);
    slot->label = command;
  }
  return *slot;
}

void State::note(Task& task, Event event, Effects& effects) {
  effects.events.push_back(event);
  Open open{.record = records_,
            .sequence = task.info->id.sequence,
            .ordinal = 0,
            .claim = event.kind == EventKind::kClaim,
            .span = event.span};
  const bool ends_with_commit = event.end_ns == 0;
  open.ordinal = task.timeline.add(std::move(event));
  if (ends_with_commit) open_.push_back(open);
}

void State::forget_delivery(std::uint64_t id, const std::string& tenant) {
  deliveries_.erase(id);
  const auto of = deliveries_of_.find(tenant);
  of->second.erase(id);
  if (of->second.empty()) deliveries_of_.erase(of);
}

void State::end_lease(Task& task) {
  leases_.erase({task.lease_until_ns, task.info->id.sequence});
  task.lease_until_ns = 0;
  task.lease_token = 0;
  --task.queue->in_progress;
}

void State::make_ready(Task& task, std::int64_t now_ns, WaitCause cause, Effects& effects) {
  task.status = Status::kPending;
  task.place = Place::kReady;
  task.wait_from_ns = now_ns;
  task.cause = cause;
  auto& queue = *task.queue;
  queue.ready[static_cast<std::size_t>(task.info->priority)].push_back(task.info->id.sequence);
  if (queue.ready_count++ == 0) ready_of_[queue.tenant].insert(&queue);
  effects.became_ready = true;
}

void State::put_back(Task& task, std::int64_t now_ns, std::int64_t delay_ns, WaitCause cause, Effects& effects) {
  if (delay_ns <= 0) return make_ready(task, now_ns, cause, effects);
  task.status = Status::kPending;
  task.place = Place::kDelayed;
  task.wait_from_ns = now_ns;
  task.cause = cause;
  task.due_ns = now_ns + std::min(delay_ns, kNanosMax);
  delayed_.insert({task.due_ns, task.info->id.sequence});
  ++task.queue->delayed;
}

void State::add_run(Task& task, RunOutcome outcome, std::int64_t end_ns, SpanId span, Effects& effects) {
  note(task,
       {.kind = EventKind::kRun,
        .detail = static_cast<std::uint8_t>(outcome),
        .attempt = task.attempts,
        .start_ns = task.run_from_ns,
        .end_ns = std::max(end_ns, task.run_from_ns),
        .span = span,
        .parent = task.claim_span,
        .worker = task.worker},
       effects);
}

void State::finish(Task& task, std::int64_t now_ns, Place place, TaskResult result, std::uint64_t delivery,
                   SpanId parent, std::int64_t retention_ns, Effects& effects) {
  task.place = place;
  task.status = result.status;
  task.error = result.error;
  task.updated_ns = now_ns;
  task.has_result = true;
  if (place == Place::kDead) ++task.queue->dead;
  result.completed_ns = now_ns;
  effects.result = std::move(result);
  effects.finished = true;
  task.retire_ns = now_ns + std::clamp<std::int64_t>(retention_ns, 0, kNanosMax);
  if (!task.info->idempotency_key.empty()) {
    // A key and its task end together, at the later of their two ends, so that a replay always finds its task.
    if (const auto key = keys_.find(joined(task.info->tenant, task.info->idempotency_key)); key != keys_.end())
      task.retire_ns = std::max(task.retire_ns, key->second.expires_ns);
  }
  retirements_.insert({task.retire_ns, task.info->id.sequence});
  if (!task.info->webhook.empty()) {
    deliveries_[delivery] = {.sequence = task.info->id.sequence, .parent = parent, .due_ns = now_ns};
    deliveries_of_[task.info->tenant].insert(delivery);
    task.delivery = delivery;
    effects.delivery = delivery;
  }
}

void State::give_back(Task& task, std::int64_t now_ns, std::int64_t asked_seconds, std::string reason, WaitCause cause,
                      std::uint8_t death, const ReturnRules& rules, Effects& effects) {
  end_lease(task);
  const auto attempts_before = task.attempts;
  const bool dead = dies(task, rules);
  if (rules.count_twice) ++task.attempts;
  task.updated_ns = now_ns;
  if (dead) {
    note(task,
         {.kind = EventKind::kDeadLetter,
          .detail = death,
          .attempt = attempts_before,
          .start_ns = now_ns,
          .end_ns = 0,
          .span = rules.dead_letter_span,
          .parent = task.claim_span,
          .worker = task.worker},
         effects);
    finish(
        task, now_ns, Place::kDead,
        {.status = Status::kFailed, .result_json = {}, .error = std::move(reason), .artifacts = {}, .completed_ns = 0},
        rules.delivery_id, rules.dead_letter_span, rules.retention_ns, effects);
    return;
  }
  task.error.clear();
  effects.delay_seconds = applied_delay_seconds(asked_seconds, attempts_before, rules);
  put_back(task, now_ns, effects.delay_seconds * 1'000'000'000, cause, effects);
}

// The one rule for calls on a lease; the order of the tests is the order of the answers.
Result<Task*> State::owned(const OwnerFields& owner, std::int64_t now_ns) {
  auto* found = task(owner.sequence);
  if (found == nullptr || found->info->id.random != owner.id_random || found->info->tenant != owner.tenant)
    return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  const bool held = task.worker && *task.worker == owner.worker && !owner.worker.empty();
  if (task.place != Place::kLeased || now_ns >= task.lease_until_ns)  // the end instant is exclusive
    return fail(held ? Code::kLeaseLost : Code::kNotInProgress, "not-in-progress");
  if (!held) return fail(Code::kNotOwner, "not-owner");
  if (owner.lease_token != 0 && owner.lease_token != task.lease_token) return fail(Code::kLeaseLost, "not-in-progress");
  return found;
}

// ---------------------------------------------------------------- apply

Result<Effects> State::apply(const Record& record) {
  ++records_;  // events of this record are tagged with its number
  const auto time_ns = std::visit([](const auto& r) { return r.time_ns; }, record);
  auto effects = std::visit([this](const auto& r) { return on(r); }, record);
  if (!effects || effects->duplicate)
    --records_;
  else
    last_time_ns_ = std::max(last_time_ns_, time_ns);
  return effects;
}

Result<Effects> State::on(const CreateRecord& r) {
  Effects effects;
  if (!r.idempotency_key.empty()) {
    if (const auto it = keys_.find(joined(r.tenant, r.idempotency_key)); it != keys_.end()) {
      auto* existing = task(it->second.sequence);
      CHECK(existing != nullptr);  // key and task end together
      const bool over = existing->finished() && r.time_ns >= existing->retire_ns;
      if (!over) {
        if (it->second.hash != r.content_hash || it->second.hash_high != r.content_hash_high)
          return fail(Code::kIdempotencyMismatch, "idempotency conflict");
        effects.task = existing;
        effects.duplicate = true;
        return effects;
      }
      // Its retention is over and only the sweep is late: the key is free, the old task must not take it along when it goes.
      keys_.erase(it);
    }
  }
  auto info = std::make_shared<TaskInfo>();
  info->id = {.sequence = ++last_sequence_, .random = r.id_random & kIdRandomMask, .partition = r.partition};
  info->id_text = to_string(info->id);
  info->tenant = r.tenant;
  info->command = r.command;
  info->webhook = r.webhook;
  if (!r.webhook.empty()) info->webhook_host = webhook_host(r.webhook).value_or("");
  info->idempotency_key = r.idempotency_key;
  info->priority = std::clamp(r.priority, 0, kPriorities - 1);
  info->max_attempts = std::max(r.max_attempts, 1U);
  info->created_ns = r.time_ns;
  info->trace = r.trace;
  info->create_span = r.create_span;
  info->create_parent = r.create_parent;
  info->traced = r.traced;
  info->timeline_trace_id = r.timeline_trace_id;

  auto owned_task = std::make_unique<Task>();
  auto& task = *owned_task;
  task.info = std::move(info);
  task.queue = &queue(r.tenant, r.command);
  ++task.queue->tasks;
  task.updated_ns = r.time_ns;
  const auto sequence = task.info->id.sequence;
  tasks_.emplace(sequence, std::move(owned_task));
  if (!r.idempotency_key.empty())
    keys_[joined(r.tenant, r.idempotency_key)] = {.sequence = sequence,
                                                  .hash = r.content_hash,
                                                  .hash_high = r.content_hash_high,
                                                  .expires_ns = r.time_ns + std::min(r.key_ttl_ns, kNanosMax)};
  note(task,
       {.kind = EventKind::kCreate,
        .attempt = 0,
        .start_ns = std::min(r.received_ns, r.time_ns),
        .end_ns = 0,
        .span = r.create_span,
        .parent = r.create_parent},
       effects);
  if (r.visible_ns > r.time_ns)
    put_back(task, r.time_ns, r.visible_ns - r.time_ns, WaitCause::kDelayed, effects);
  else
    make_ready(task, r.time_ns, WaitCause::kReady, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const ClaimRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kReady) return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  auto& level = task.queue->ready[static_cast<std::size_t>(task.info->priority)];
  if (level.empty() || level.front() != r.sequence) return fail(Code::kInternal, "not the head of its queue");
  level.pop_front();
  if (--task.queue->ready_count == 0) {
    const auto mine = ready_of_.find(task.queue->tenant);
    mine->second.erase(task.queue);
    if (mine->second.empty()) ready_of_.erase(mine);
  }
  ++task.queue->in_progress;
  ++task.attempts;
  task.status = Status::kInProgress;
  task.place = Place::kLeased;
  task.worker = r.worker;
  task.lease_token = r.lease_token;
  task.lease_until_ns = r.time_ns + std::min(r.lease_ns, kNanosMax);
  task.updated_ns = r.time_ns;
  leases_.insert({task.lease_until_ns, r.sequence});
  note(task,
       {.kind = EventKind::kQueued,
        .detail = static_cast<std::uint8_t>(task.cause),
        .attempt = task.attempts,
        .start_ns = task.wait_from_ns,
        .end_ns = std::max(r.time_ns, task.wait_from_ns),
        .span = r.queued_span,
        .parent = task.info->create_span},
       effects);
  note(task,
       {.kind = EventKind::kClaim,
        .attempt = task.attempts,
        .start_ns = r.time_ns,
        .end_ns = 0,
        .span = r.claim_span,
        .parent = task.info->create_span,
        .request = r.request,
        .previous_claim = task.claim_span,
        .value = r.lease_ns / 1'000'000'000,
        .worker = r.worker},
       effects);
  task.claim_span = r.claim_span;
  task.claim_traced = r.traced;
  task.run_from_ns = r.time_ns;
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const HeartbeatRecord& r) {
  Effects effects;
  CODEQ_TRY(auto* found, owned(r.owner, r.time_ns));
  auto& task = *found;
  const auto until =
      std::max(task.lease_until_ns, r.time_ns + std::min(r.extend_ns, kNanosMax));  // never shorter (Q28)
  leases_.erase({task.lease_until_ns, task.info->id.sequence});
  task.lease_until_ns = until;
  leases_.insert({until, task.info->id.sequence});
  task.updated_ns = r.time_ns;
  note(task, owner_event(EventKind::kHeartbeat, task, r.owner, r.time_ns, 0, r.extend_ns / 1'000'000'000), effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const AbandonRecord& r) {
  Effects effects;
  CODEQ_TRY(auto* found, owned(r.owner, r.time_ns));
  auto& task = *found;
  const auto received = std::min(r.owner.received_ns, r.time_ns);
  add_run(task, RunOutcome::kAbandoned, received, r.owner.run_span, effects);
  note(task, owner_event(EventKind::kAbandon, task, r.owner, r.time_ns), effects);
  end_lease(task);
  task.updated_ns = r.time_ns;
  make_ready(task, r.time_ns, WaitCause::kReady, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const NackRecord& r) {
  Effects effects;
  CODEQ_TRY(auto* found, owned(r.owner, r.time_ns));
  auto& task = *found;
  const auto received = std::min(r.owner.received_ns, r.time_ns);
  const auto attempt = task.attempts;
  add_run(task, RunOutcome::kNack, received, r.owner.run_span, effects);
  const auto delay = dies(task, r.rules) ? 0 : applied_delay_seconds(r.delay_seconds, attempt, r.rules);
  note(task, owner_event(EventKind::kNack, task, r.owner, r.time_ns, 0, delay), effects);
  give_back(task, r.time_ns, r.delay_seconds, blank(r.reason) ? "MAX_ATTEMPTS" : r.reason, WaitCause::kBackoff, 1,
            r.rules, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const ExpireRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kLeased || r.time_ns < found->lease_until_ns)
    return fail(Code::kNotInProgress, "not-in-progress");
  auto& task = *found;
  note(task,
       {.kind = EventKind::kLeaseExpired,
        .attempt = task.attempts,
        .start_ns = task.run_from_ns,
        .end_ns = std::max(r.time_ns, task.run_from_ns),
        .span = r.span,
        .parent = task.claim_span,
        .worker = task.worker},
       effects);
  give_back(task, r.time_ns, 0, "LEASE_EXPIRED", WaitCause::kLeaseExpired, 2, r.rules, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const SubmitRecord& r) {
  Effects effects;
  auto owner = owned(r.owner, r.time_ns);
  if (!owner)
    return fail(owner.error().code == Code::kNotFound ? Code::kTaskNotFound : owner.error().code,
                owner.error().code == Code::kNotFound ? "task not found" : owner.error().message);
  auto& task = **owner;
  if (r.status == Status::kCompleted && !r.has_result)
    return fail(Code::kResultRequired, "result required when status=COMPLETED");
  if (r.status == Status::kFailed && blank(r.result.error))
    return fail(Code::kErrorRequired, "error required when status=FAILED");
  if (r.status != Status::kCompleted && r.status != Status::kFailed)
    return fail(Code::kInvalidStatus, "invalid status");
  const auto received = std::min(r.owner.received_ns, r.time_ns);
  add_run(task, r.status == Status::kCompleted ? RunOutcome::kCompleted : RunOutcome::kFailed, received,
          r.owner.run_span, effects);
  note(task, owner_event(EventKind::kSubmitResult, task, r.owner, r.time_ns, static_cast<std::uint8_t>(r.status)),
       effects);
  end_lease(task);
  auto result = r.result;
  result.status = r.status;
  finish(task, r.time_ns, Place::kDone, std::move(result), r.delivery_id, r.owner.span, r.retention_ns, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const PromoteRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kDelayed || r.time_ns < found->due_ns)
    return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  delayed_.erase({task.due_ns, r.sequence});
  --task.queue->delayed;
  note(task,
       {.kind = EventKind::kDelayed,
        .detail = static_cast<std::uint8_t>(task.cause),
        .attempt = task.attempts,
        .start_ns = task.wait_from_ns,
        .end_ns = std::max(r.time_ns, task.wait_from_ns),
        .span = r.span,
        .parent = task.info->create_span},
       effects);
  task.due_ns = 0;
  make_ready(task, r.time_ns, task.cause, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const UndeliveredRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kLeased || found->lease_token != r.lease_token)
    return fail(Code::kNotInProgress, "not-in-progress");
  auto& task = *found;
  add_run(task, RunOutcome::kAbandoned, r.time_ns, r.run_span, effects);
  end_lease(task);
  --task.attempts;
  task.updated_ns = r.time_ns;
  make_ready(task, r.time_ns, WaitCause::kReady, effects);
  auto& level = task.queue->ready[static_cast<std::size_t>(task.info->priority)];
  level.pop_back();  // nobody had it: it keeps its turn
  level.push_front(r.sequence);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const RetireRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || !found->finished() || r.time_ns < found->retire_ns) return fail(Code::kNotFound, "not-found");
  retirements_.erase({found->retire_ns, r.sequence});
  const auto pending = deliveries_.find(found->delivery);
  if (pending != deliveries_.end() && !pending->second.failed) {
    // Its webhook is still to be delivered: stay another minute.
    found->retire_ns = r.time_ns + 60LL * 1'000'000'000;
    retirements_.insert({found->retire_ns, r.sequence});
    return effects;
  }
  if (pending != deliveries_.end()) forget_delivery(pending->first, found->info->tenant);
  if (!found->info->idempotency_key.empty())
    if (const auto key = keys_.find(joined(found->info->tenant, found->info->idempotency_key));
        key != keys_.end() && key->second.sequence == r.sequence)
      keys_.erase(key);
  auto* queue = found->queue;
  if (found->place == Place::kDead) --queue->dead;
  tasks_.erase(r.sequence);
  if (--queue->tasks == 0) queues_.erase(queue_key(queue->tenant, queue->command));
  effects.retired = true;
  effects.retired_sequence = r.sequence;
  return effects;
}

Result<Effects> State::on(const WebhookRecord& r) {
  Effects effects;
  const auto it = deliveries_.find(r.delivery_id);
  if (it == deliveries_.end() || it->second.failed) return fail(Code::kNotFound, "not-found");
  auto& delivery = it->second;
  auto* found = task(delivery.sequence);
  CHECK(found != nullptr);  // a task with a pending delivery is not retired
  ++delivery.attempts;
  ++delivery.attempts_total;
  delivery.last_http_status = r.http_status;
  delivery.last_error = r.error;
  note(*found,
       {.kind = EventKind::kWebhook,
        .detail = static_cast<std::uint8_t>(r.error),
        .attempt = delivery.attempts_total,
        .start_ns = r.start_ns,
        .end_ns = std::max(r.end_ns, r.start_ns),
        .span = r.span,
        .parent = delivery.parent,
        .value = r.http_status},
       effects);
  if (r.error == WebhookError::kNone) {
    found->delivery = 0;
    forget_delivery(r.delivery_id, found->info->tenant);
  } else if (delivery.attempts >= r.attempts_max) {
    delivery.failed = true;
    delivery.due_ns = 0;
  } else {
    // min(base * 2^(attempt-1), max), http-api.md 7.2 of the reference; 2^30 is past any maximum we accept
    const auto doublings = std::min(delivery.attempts - 1, 30U);
    const auto wait =
        r.backoff_base_ns > (r.backoff_max_ns >> doublings) ? r.backoff_max_ns : r.backoff_base_ns << doublings;
    delivery.due_ns = r.time_ns + wait;
  }
  effects.task = found;
  effects.delivery = r.delivery_id;
  return effects;
}

Result<Effects> State::on(const ReplayRecord& r) {
  Effects effects;
  const auto it = deliveries_.find(r.delivery_id);
  if (it == deliveries_.end()) return fail(Code::kNotFound, "not-found");
  auto* found = task(it->second.sequence);
  if (found == nullptr || found->info->tenant != r.tenant) return fail(Code::kNotFound, "not-found");
  if (!it->second.failed) return fail(Code::kInvalidArgument, "the delivery is still under way");
  it->second.failed = false;
  it->second.attempts = 0;
  it->second.due_ns = r.time_ns;
  effects.task = found;
  effects.delivery = r.delivery_id;
  return effects;
}

Result<Effects> State::on(const DurableRecord& r) {
  while (!open_.empty() && open_.front().record <= r.upto) {
    const auto open = open_.front();
    open_.pop_front();
    auto* found = task(open.sequence);
    if (found == nullptr) continue;
    auto* event = found->timeline.find(open.ordinal);
    const auto patch = [&](Event& e) { e.end_ns = std::max(r.durable_ns, e.start_ns); };
    if (event != nullptr) patch(*event);
    // A claim's run begins when the claim is durable, also where the event itself was not kept.
    if (open.claim && found->place == Place::kLeased && open.span == found->claim_span)
      found->run_from_ns = std::max(r.durable_ns, found->run_from_ns);
  }
  return Effects{};
}

Result<Effects> State::on(const ClockRecord& r) {
  clock_ = r;
  return Effects{};
}

}  // namespace codeq::core
