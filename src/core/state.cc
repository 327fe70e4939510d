#include "core/state.h"

#include <algorithm>

#include "base/check.h"
#include "base/plant.h"
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
  auto* found = tasks_.find(sequence);
  return found != nullptr ? found : unpack(sequence);
}

const Task* State::find(const TaskId& id, std::string_view tenant, std::int64_t now_ns) {
  const auto* found = task(id.sequence);
  if (found == nullptr) return nullptr;
  const auto& task = *found;
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

std::uint64_t Queue::front() const {
  if (ready_count == 0) return 0;
  for (auto level = ready.rbegin(); level != ready.rend(); ++level)
    if (!level->empty()) return level->front();
  return 0;
}

Queue* State::ready_queue(std::string_view tenant, std::string_view command, const std::string* worker) const {
  auto* queue = queue_of(tenant, command);
  if (queue == nullptr || queue->ready_count == 0 || queue->paused) return nullptr;
  return worker == nullptr || queue->admits(*worker) ? queue : nullptr;
}

Queue* State::ready_queue_of_any(std::string_view tenant, const std::string* worker) const {
  const auto it = ready_of_.find(std::string(tenant));
  if (it == ready_of_.end()) return nullptr;
  for (std::size_t p = kPriorities; p-- > 0;) {
    Queue* oldest = nullptr;
    for (auto* candidate : it->second)
      if (const auto& level = candidate->ready[p];
          !candidate->paused && !level.empty() && (oldest == nullptr || level.front() < oldest->ready[p].front()) &&
          (worker == nullptr || candidate->admits(*worker)))
        oldest = candidate;
    if (oldest != nullptr) return oldest;
  }
  return nullptr;
}

std::uint64_t State::head(std::string_view tenant, std::string_view command) const {
  const auto* queue = ready_queue(tenant, command);
  return queue == nullptr ? 0 : queue->front();
}

std::uint64_t State::head_of_any(std::string_view tenant) const {
  const auto* queue = ready_queue_of_any(tenant);
  return queue == nullptr ? 0 : queue->front();
}

// ---------------------------------------------------------------- pieces

Queue& State::queue(const std::string& tenant, std::string_view command) {
  if (auto* known = queue_of(tenant, command); known != nullptr) return *known;
  auto key = queue_key(tenant, command);
  auto& slot = queues_[key];
  slot = std::make_unique<Queue>();
  slot->tenant = tenant;
  slot->command = key.substr(tenant.size() + 1);
  slot->label = command;
  slot->id = ++last_queue_id_;
  if (!topics_.empty())
    if (const auto topic = topics_.find(key); topic != topics_.end()) slot->topic = &topic->second;
  queues_by_id_[slot->id] = slot.get();
  mark_changed(*slot);
  return *slot;
}

void State::drop_queue_if_unused(Queue& queue) {
  if (queue.tasks() != 0 || queue.paused) return;
  mark_changed(queue);
  seen_queue_ = nullptr;
  queues_by_id_.erase(queue.id);
  queues_.erase(queue_key(queue.tenant, queue.command));
}

void State::note(Task& task, Event&& event, Effects& effects) {
  Open open{.record = records_,
            .sequence = task.info->id.sequence,
            .ordinal = 0,
            .claim = event.kind == EventKind::kClaim,
            .span = event.span};
  const bool ends_with_commit = event.end_ns == 0;
  open.ordinal = task.timeline.add(std::move(event));
  if (effects.events.count++ == 0) effects.events.first = open.ordinal;
  if (!ends_with_commit) return;
  open_.push_back(open);
  ++task.open_events;
}

void State::forget_delivery(std::uint64_t id, const std::string& tenant) {
  erase(Table::kOutbox, key_of(id));
  const auto of = deliveries_of_.find(tenant);
  of->second.erase(id);
  if (of->second.empty()) deliveries_of_.erase(of);
  deliveries_.erase(id);  // last: `tenant` may be its own
}

void State::end_lease(Task& task, Effects& effects) {
  release_holder(task, effects);
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
  task.ready_position = records_;
  task.queue->ready[static_cast<std::size_t>(task.info->priority)].push_back(task.info->id.sequence);
  count_ready(*task.queue);
  effects.became_ready = true;
}

void State::count_ready(Queue& queue) {
  if (queue.ready_count++ == 0) ready_of_[queue.tenant].insert(&queue);
  ++ready_;
}

void State::uncount_ready(Queue& queue) {
  --ready_;
  if (--queue.ready_count > 0) return;
  const auto mine = ready_of_.find(queue.tenant);
  mine->second.erase(&queue);
  if (mine->second.empty()) ready_of_.erase(mine);
}

void State::put_back(Task& task, std::int64_t now_ns, std::int64_t delay_ns, WaitCause cause, Effects& effects) {
  if (delay_ns <= 0) return make_ready(task, now_ns, cause, effects);
  task.status = Status::kPending;
  task.place = Place::kDelayed;
  task.wait_from_ns = now_ns;
  task.cause = cause;
  task.due_ns = now_ns + std::min(delay_ns, kNanosMax);
  delayed_.push(task.due_ns, task.info->id.sequence);
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
  ++task.queue->finished;
  if (place == Place::kDead) ++task.queue->dead;
  mark_changed(*task.queue);
  result.completed_ns = now_ns;
  task.result = std::make_shared<const TaskResult>(std::move(result));
  effects.finished = true;
  if (const auto* topic = task.queue->topic; topic != nullptr && topic->policy.retention_seconds > 0)
    retention_ns = topic->policy.retention_seconds * 1'000'000'000;
  task.retire_ns = now_ns + std::clamp<std::int64_t>(retention_ns, 0, kNanosMax);
  // A key and its task end together, at the later of their two ends, so that a replay always finds its task.
  task.retire_ns = std::max(task.retire_ns, task.info->key_expires_ns);
  if (!task.info->webhook.empty()) {
    deliveries_[delivery] = {.sequence = task.info->id.sequence,
                             .tenant = task.info->tenant,
                             .host = task.info->webhook_host,
                             .parent = parent,
                             .due_ns = now_ns};
    deliveries_of_[task.info->tenant].insert(delivery);
    if (!planted(Plant::kForgottenOutboxRow)) put_delivery(delivery);
    task.delivery = delivery;
    effects.delivery = delivery;
  }
  // Nothing but the end of this commit will change it any more, so it costs one row instead of two.
  task.whole = !task.body_written && place == Place::kDone && task.info->webhook.empty();
  const auto entry = retire_entry(task);
  put(Table::kRetire, retire_key(entry.retire_ns, entry.sequence), encode_retire(entry));
}

void State::give_back(Task& task, std::int64_t now_ns, std::int64_t asked_seconds, std::string reason, WaitCause cause,
                      std::uint8_t death, const ReturnRules& rules, Effects& effects) {
  end_lease(task, effects);
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
    if (cause != WaitCause::kLeaseExpired || !planted(Plant::kForgottenCopy)) copy_dead(task, now_ns, rules, effects);
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
    if (auto* existing = holder(r.tenant, r.idempotency_key); existing != nullptr) {
      const bool over = existing->finished() && r.time_ns >= existing->retire_ns;
      if (!over) {
        if (existing->info->content_hash != r.content_hash || existing->info->content_hash_high != r.content_hash_high)
          return fail(Code::kIdempotencyMismatch, "idempotency conflict");
        effects.task = existing;
        effects.duplicate = true;
        return effects;
      }
      // Its retention is over and only the sweep is late: the key is free, and each task takes its own row of it along.
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
  if (r.default_attempts)
    if (const auto* policy = topic(r.tenant, r.command)) info->max_attempts = policy->policy.max_attempts;
  info->created_ns = r.time_ns;
  info->trace = r.trace;
  info->create_span = r.create_span;
  info->create_parent = r.create_parent;
  info->traced = r.traced;
  info->timeline_trace_id = r.timeline_trace_id;
  if (!r.idempotency_key.empty()) {
    info->content_hash = r.content_hash;
    info->content_hash_high = r.content_hash_high;
    info->key_expires_ns = r.time_ns + std::clamp<std::int64_t>(r.key_ttl_ns, 0, kNanosMax);
  }

  auto& task = add_task(std::move(info), r.payload);
  if (!r.idempotency_key.empty()) {
    const auto sequence = task.info->id.sequence;
    keys_[joined(r.tenant, r.idempotency_key)] = sequence;
    put(Table::kKey, idempotency_row_key(key_hash(r.tenant, r.idempotency_key), sequence), {});
  }
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

// A new task of a new sequence, in no place yet.
Task& State::add_task(std::shared_ptr<const TaskInfo> info, std::shared_ptr<const std::string> payload) {
  auto made = std::make_unique<Task>();
  auto& task = *made;
  task.info = std::move(info);
  task.queue = &queue(task.info->tenant, task.info->command);
  task.payload = std::move(payload);
  task.updated_ns = task.info->created_ns;
  tasks_.insert(task.info->id.sequence, std::move(made));
  touch(task);
  return task;
}

Result<Effects> State::on(const ClaimRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kReady) return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  auto& level = task.queue->ready[static_cast<std::size_t>(task.info->priority)];
  if (level.empty() || level.front() != r.sequence)
    return fail(Code::kInternal, "not the head of its queue: " + std::to_string(r.sequence) + ", " +
                                     (level.empty() ? "which is empty" : "which is " + std::to_string(level.front())));
  if (task.queue->paused || (r.limited && !task.queue->admits(*r.worker))) return fail(Code::kNotFound, "not-found");
  level.pop_front();
  touch(task);
  uncount_ready(*task.queue);
  ++task.queue->in_progress;
  ++task.attempts;
  task.status = Status::kInProgress;
  task.place = Place::kLeased;
  task.worker = r.worker;
  task.lease_token = r.lease_token;
  task.lease_until_ns = r.time_ns + std::min(r.lease_ns, kNanosMax);
  task.updated_ns = r.time_ns;
  leases_.emplace_hint(leases_.end(), task.lease_until_ns, r.sequence);  // mostly the last to end
  count_holder(*task.queue, *r.worker);
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
  touch(task);
  const auto until =
      std::max(task.lease_until_ns, r.time_ns + std::min(r.extend_ns, kNanosMax));  // never shorter (Q28)
  leases_.erase({task.lease_until_ns, task.info->id.sequence});
  task.lease_until_ns = until;
  if (!planted(Plant::kLostTimer)) leases_.insert({until, task.info->id.sequence});
  task.updated_ns = r.time_ns;
  note(task, owner_event(EventKind::kHeartbeat, task, r.owner, r.time_ns, 0, r.extend_ns / 1'000'000'000), effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const AbandonRecord& r) {
  Effects effects;
  CODEQ_TRY(auto* found, owned(r.owner, r.time_ns));
  auto& task = *found;
  touch(task);
  const auto received = std::min(r.owner.received_ns, r.time_ns);
  add_run(task, RunOutcome::kAbandoned, received, r.owner.run_span, effects);
  note(task, owner_event(EventKind::kAbandon, task, r.owner, r.time_ns), effects);
  end_lease(task, effects);
  task.updated_ns = r.time_ns;
  make_ready(task, r.time_ns, WaitCause::kReady, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const NackRecord& r) {
  Effects effects;
  CODEQ_TRY(auto* found, owned(r.owner, r.time_ns));
  auto& task = *found;
  touch(task);
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
  touch(task);
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
  touch(task);
  const auto received = std::min(r.owner.received_ns, r.time_ns);
  add_run(task, r.status == Status::kCompleted ? RunOutcome::kCompleted : RunOutcome::kFailed, received,
          r.owner.run_span, effects);
  note(task, owner_event(EventKind::kSubmitResult, task, r.owner, r.time_ns, static_cast<std::uint8_t>(r.status)),
       effects);
  end_lease(task, effects);
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
  if (delayed_.empty() || delayed_.top() != DueHeap::Entry{found->due_ns, r.sequence})
    return fail(Code::kInternal, "not the next that is due");
  auto& task = *found;
  touch(task);
  delayed_.pop();
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
  if (planted(Plant::kDoublePromotion)) make_ready(task, r.time_ns, task.cause, effects);
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const UndeliveredRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->place != Place::kLeased || found->lease_token != r.lease_token)
    return fail(Code::kNotInProgress, "not-in-progress");
  auto& task = *found;
  touch(task);
  add_run(task, RunOutcome::kAbandoned, r.time_ns, r.run_span, effects);
  end_lease(task, effects);
  --task.attempts;
  task.updated_ns = r.time_ns;
  task.status = Status::kPending;
  task.place = Place::kReady;
  task.wait_from_ns = r.time_ns;
  task.cause = WaitCause::kReady;
  // Nobody had it: it keeps its turn.
  task.queue->ready[static_cast<std::size_t>(task.info->priority)].give_back(task.ready_position, r.sequence);
  count_ready(*task.queue);
  effects.became_ready = true;
  effects.task = &task;
  return effects;
}

Result<Effects> State::on(const RetireRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || !found->finished() || r.time_ns < found->retire_ns) return fail(Code::kNotFound, "not-found");
  retire(retire_entry(*found), r.time_ns, effects);
  return effects;
}

Result<Effects> State::on(const RetireBatchRecord& r) {
  Effects effects;
  for (const auto& entry : r.entries) {
    const auto* found = task(entry.sequence);
    if (queue_by_id(entry.queue) == nullptr || (found != nullptr && !found->finished()))
      return fail(Code::kInternal, "a task that is not finished cannot retire");
  }
  for (const auto& entry : r.entries) retire(entry, r.time_ns, effects);
  return effects;
}

RetireEntry State::retire_entry(const Task& task) const {
  const auto& info = *task.info;
  return {.retire_ns = task.retire_ns,
          .sequence = info.id.sequence,
          .queue = task.queue->id,
          .dead = task.place == Place::kDead,
          .delivery = task.delivery,
          .key = info.idempotency_key.empty() ? KeyHash{} : key_hash(info.tenant, info.idempotency_key)};
}

void State::retire(const RetireEntry& entry, std::int64_t now_ns, Effects& effects) {
  auto* found = task(entry.sequence);
  if (const auto pending = deliveries_.find(entry.delivery); pending != deliveries_.end()) {
    if (!pending->second.failed) {
      // Its webhook is still to be delivered: stay another minute.
      CHECK(found != nullptr);  // names() asked for it
      touch(*found);
      erase(Table::kRetire, retire_key(entry.retire_ns, entry.sequence));
      found->retire_ns = now_ns + 60LL * 1'000'000'000;
      put(Table::kRetire, retire_key(found->retire_ns, entry.sequence), encode_retire(retire_entry(*found)));
      return;
    }
    forget_delivery(entry.delivery, pending->second.tenant);
  }
  erase(Table::kRetire, retire_key(entry.retire_ns, entry.sequence));
  erase(Table::kBody, key_of(entry.sequence));
  erase(Table::kDone, key_of(entry.sequence));
  if (entry.key != KeyHash{}) erase(Table::kKey, idempotency_row_key(entry.key, entry.sequence));
  if (found != nullptr) {
    touch(*found);  // a cut under way still shows it
    if (found->live_writes > 0) erase(Table::kLive, key_of(entry.sequence));  // it ended after the last cut
    if (!found->info->idempotency_key.empty())
      if (const auto key = keys_.find(joined(found->info->tenant, found->info->idempotency_key));
          key != keys_.end() && key->second == entry.sequence)
        keys_.erase(key);
    tasks_.erase(entry.sequence);
  }
  auto* queue = queue_by_id(entry.queue);
  CHECK(queue != nullptr && queue->finished > 0);
  --queue->finished;
  if (entry.dead) --queue->dead;
  mark_changed(*queue);
  drop_queue_if_unused(*queue);
  ++effects.retired;
}

Result<Effects> State::on(const WebhookRecord& r) {
  Effects effects;
  const auto it = deliveries_.find(r.delivery_id);
  if (it == deliveries_.end() || it->second.failed) return fail(Code::kNotFound, "not-found");
  auto& delivery = it->second;
  auto* found = task(delivery.sequence);
  CHECK(found != nullptr);  // a task with a pending delivery is not retired
  touch(*found);
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
  if (r.error != WebhookError::kNone) put_delivery(r.delivery_id);
  effects.task = found;
  effects.delivery = r.delivery_id;
  return effects;
}

Result<Effects> State::on(const ReplayRecord& r) {
  Effects effects;
  const auto it = deliveries_.find(r.delivery_id);
  if (it == deliveries_.end() || it->second.tenant != r.tenant) return fail(Code::kNotFound, "not-found");
  auto* found = task(it->second.sequence);
  if (found == nullptr) return fail(Code::kNotFound, "not-found");
  if (!it->second.failed) return fail(Code::kInvalidArgument, "the delivery is still under way");
  it->second.failed = false;
  it->second.attempts = 0;
  it->second.due_ns = r.time_ns;
  put_delivery(r.delivery_id);
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
    touch(*found);
    if (found->open_events > 0) --found->open_events;
    auto* event = found->timeline.find(open.ordinal);
    const auto patch = [&](Event& e) { e.end_ns = std::max(r.durable_ns, e.start_ns); };
    if (event != nullptr) patch(*event);
    // A claim's run begins when the claim is durable, also where the event itself was not kept.
    if (open.claim && found->place == Place::kLeased && open.span == found->claim_span)
      found->run_from_ns = std::max(r.durable_ns, found->run_from_ns);
    if (found->whole && can_pack(*found)) pack(*found);
  }
  return Effects{};
}

Result<Effects> State::on(const ClockRecord& r) {
  clock_ = r;
  return Effects{};
}

}  // namespace codeq::core
