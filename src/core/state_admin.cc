// What people do to tasks and queues from outside: cancel, redrive, pause.
#include <algorithm>
#include <utility>

#include "base/plant.h"
#include "core/state.h"

namespace codeq::core {
namespace {

constexpr std::string_view kCancelled = "CANCELLED";

// The span under which the task's present stage stands: the attempt once there was one.
SpanId stage(const Task& task) { return task.claim_span.valid() ? task.claim_span : task.info->create_span; }

}  // namespace

Result<Effects> State::on(const CancelRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  if (found == nullptr || found->info->id.random != r.id_random || found->info->tenant != r.tenant)
    return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  if (task.finished()) return fail(Code::kNotInProgress, "not-in-progress");
  touch(task);
  const auto left = task.place;
  if (left == Place::kLeased) {
    add_run(task, RunOutcome::kCancelled, r.time_ns, r.wait_span, effects);
    end_lease(task, effects);
  } else {
    note(task,
         {.kind = left == Place::kReady ? EventKind::kQueued : EventKind::kDelayed,
          .detail = static_cast<std::uint8_t>(task.cause),
          .attempt = task.attempts,
          .start_ns = task.wait_from_ns,
          .end_ns = std::max(r.time_ns, task.wait_from_ns),
          .span = r.wait_span,
          .parent = task.info->create_span},
         effects);
    if (left == Place::kReady) {
      task.queue->ready[static_cast<std::size_t>(task.info->priority)].remove(task.ready_position, r.sequence);
      uncount_ready(*task.queue);
    } else {
      delayed_.remove(r.sequence);
      --task.queue->delayed;
      task.due_ns = 0;
    }
  }
  note(task,
       {.kind = EventKind::kCancel,
        .detail = static_cast<std::uint8_t>(left),
        .attempt = task.attempts,
        .start_ns = std::min(r.received_ns, r.time_ns),
        .end_ns = 0,
        .span = r.span,
        .parent = stage(task),
        .request = r.request,
        .worker = left == Place::kLeased ? task.worker : nullptr},
       effects);
  std::string error(kCancelled);
  if (!r.reason.empty()) error.append(": ").append(r.reason);
  finish(task, r.time_ns, Place::kDone,
         {.status = Status::kFailed, .result_json = {}, .error = std::move(error), .artifacts = {}, .completed_ns = 0},
         r.delivery_id, r.span, r.retention_ns, effects);
  effects.task = found;
  return effects;
}

Result<Effects> State::on(const RedriveRecord& r) {
  Effects effects;
  auto* found = task(r.sequence);
  // Whose retention is over is on its way out, whatever the sweep has seen of it.
  if (found == nullptr || found->info->tenant != r.tenant || found->place != Place::kDead ||
      r.time_ns >= found->retire_ns)
    return fail(Code::kNotFound, "not-found");
  auto& task = *found;
  touch(task);
  if (!planted(Plant::kKeptRetirement)) erase(Table::kRetire, retire_key(task.retire_ns, r.sequence));
  erase(Table::kDone, key_of(r.sequence));
  // What it says of the death is not so any more.
  if (const auto delivery = std::exchange(task.delivery, 0); deliveries_.contains(delivery))
    forget_delivery(delivery, task.info->tenant);
  task.live_writes += 2;  // its live row was removed once already: from here on it is never kEraseOnce
  task.ready_position = 0;  // a finished one has no place in line, and its row does not keep it
  task.retire_ns = 0;
  task.has_result = false;
  task.result = nullptr;
  task.error.clear();
  task.attempts = 0;
  task.updated_ns = r.time_ns;
  --task.queue->finished;
  --task.queue->dead;
  mark_changed(*task.queue);
  note(task,
       {.kind = EventKind::kRedrive,
        .attempt = 0,
        .start_ns = std::min(r.received_ns, r.time_ns),
        .end_ns = 0,
        .span = r.span,
        .parent = stage(task),
        .request = r.request,
        .value = r.visible_ns > r.time_ns ? (r.visible_ns - r.time_ns) / 1'000'000'000 : 0},
       effects);
  if (r.visible_ns > r.time_ns)
    put_back(task, r.time_ns, r.visible_ns - r.time_ns, WaitCause::kDelayed, effects);
  else
    make_ready(task, r.time_ns, WaitCause::kReady, effects);
  effects.task = found;
  return effects;
}

Result<Effects> State::on(const PauseRecord& r) {
  Effects effects;
  auto* found = queue_of(r.tenant, r.command);
  if ((found != nullptr && found->paused) == r.paused) {
    effects.duplicate = true;
    return effects;
  }
  auto& changed = found != nullptr ? *found : queue(r.tenant, r.command);
  changed.paused = r.paused;
  mark_changed(changed);
  drop_queue_if_unused(changed);
  return effects;
}

}  // namespace codeq::core
