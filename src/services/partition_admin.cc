// What people do to tasks and queues from outside, but for dead letters: cancel, pause, statistics. And the wait for the store.
#include <algorithm>
#include <utility>

#include "base/plant.h"
#include "services/partition.h"

namespace codeq::services {
namespace {

constexpr std::size_t kCommandBytesMax = 256;
constexpr std::int64_t kSoonNs = 20 * kNanosPerMilli;  // how long changes collect while somebody waits to see them

bool blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

}  // namespace

// ---------------------------------------------------------------- until the store shows it

void Partition::after_cut(std::move_only_function<void(bool)> then) {
  const bool changed = state_.changed();
  if (!changed && cuts_begun_ == cuts_settled_) return then(true);
  cut_waiters_.push_back({.cut = cuts_begun_ + (changed ? 1 : 0), .then = std::move(then)});
}

void Partition::run_cut_waiters() {
  const auto waits = [this](const CutWaiter& waiter) { return waiter.cut > cuts_settled_; };
  const auto served = std::stable_partition(cut_waiters_.begin(), cut_waiters_.end(), waits);
  std::vector<CutWaiter> ready(std::make_move_iterator(served), std::make_move_iterator(cut_waiters_.end()));
  cut_waiters_.erase(served, cut_waiters_.end());
  for (auto& waiter : ready) waiter.then(true);
}

std::int64_t Partition::cut_delay_ns() const {
  return cut_waiters_.empty() ? options_.cut_after_ns : std::min(options_.cut_after_ns, kSoonNs);
}

// ---------------------------------------------------------------- tasks

void Partition::cancel(Caller caller, std::string task_id, std::string reason, Done<TaskSnapshot> done) {
  const auto needs = sequence_of(task_id);
  const auto bytes = 512 + reason.size();
  post_on<TaskSnapshot>(
      Kind::kOwner, bytes, needs, std::move(done),
      [this, caller = std::move(caller), id = std::move(task_id), reason = std::move(reason)](auto reply) mutable {
        Result<TaskSnapshot> outcome = fail(Code::kNotFound, "not-found");
        if (const auto* task = find(id, caller.tenant); task != nullptr) {
          const auto effects = change(core::CancelRecord{.time_ns = stamp_ns_,
                                                         .sequence = task->info->id.sequence,
                                                         .id_random = task->info->id.random,
                                                         .tenant = caller.tenant,
                                                         .reason = std::move(reason),
                                                         .received_ns = time_.to_record_ns(caller.received_steady_ns),
                                                         .span = new_span_id(),
                                                         .wait_span = new_span_id(),
                                                         .request = caller.request,
                                                         .delivery_id = new_delivery_id(),
                                                         .retention_ns = options_.retention_seconds * kNanosPerSecond});
          if (effects)
            outcome = snapshot(*effects->task);
          else
            outcome = std::unexpected<Error>(effects.error());
        }
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

// ---------------------------------------------------------------- queues

QueueStats Partition::stats_of(std::string_view tenant, std::string_view command) {
  const auto* queue = state_.queue_of(tenant, command);
  if (queue == nullptr) return {};
  return {.ready = queue->ready_count,
          .delayed = queue->delayed,
          .in_progress = queue->in_progress,
          .dead = queue->dead,
          .paused = queue->paused};
}

void Partition::queue_stats(Caller caller, std::string command, Done<QueueStats> done) {
  post<QueueStats>(Kind::kRead, 256, std::move(done),
                   [this, tenant = std::move(caller.tenant), command = std::move(command)](auto reply) mutable {
                     answer([reply = std::move(reply), stats = stats_of(tenant, command)]() mutable { reply(stats); });
                   });
}

void Partition::queues(Caller caller, Done<std::vector<TenantQueue>> done) {
  post<std::vector<TenantQueue>>(
      Kind::kRead, 256, std::move(done), [this, tenant = std::move(caller.tenant)](auto reply) mutable {
        std::vector<TenantQueue> found;
        state_.each_queue([&](const core::Queue& queue) {
          if (queue.tenant != tenant) return;
          auto& one = found.emplace_back();
          one.command = queue.command;
          for (std::size_t priority = 0; priority < one.ready.size(); ++priority)
            one.ready[priority] = queue.ready[priority].size();
          one.counts = stats_of(tenant, queue.command);
        });
        answer([reply = std::move(reply), found = std::move(found)]() mutable { reply(std::move(found)); });
      });
}

// What waits there is news again: for the claims that are parked, and for subscribers.
void Partition::resumed(const std::string& tenant, const std::string& command) {
  const auto* queue = state_.ready_queue(tenant, command);
  if (queue == nullptr) return;
  const auto key = core::queue_key(tenant, command);
  if (!planted(Plant::kSilentResume)) woken_.insert(key);
  if (state_.subscriptions().empty()) return;
  const auto head = queue->front();
  with_tasks({head}, [this, head, key] {
    if (const auto* task = state_.task(head)) note_ready(task->info, key);
  });
}

void Partition::pause(Caller caller, std::string command, bool paused, Done<QueueStats> done) {
  if (blank(command) || command.size() > kCommandBytesMax || command.find('\0') != std::string::npos)
    return done(fail(Code::kInvalidCommand, "invalid command"));
  post<QueueStats>(
      Kind::kOwner, 512, std::move(done),
      [this, tenant = std::move(caller.tenant), command = std::move(command), paused](auto reply) mutable {
        Result<QueueStats> outcome;
        // A pause keeps a queue in memory for as long as it lasts, so it is bounded as the tasks are.
        if (paused && state_.queue_of(tenant, command) == nullptr && no_room() != nullptr) {
          outcome = fail(Code::kOverloaded, no_room());
        } else {
          const auto effects =
              change(core::PauseRecord{.time_ns = stamp_ns_, .tenant = tenant, .command = command, .paused = paused});
          CHECK(effects.has_value());
          if (!paused) resumed(tenant, command);
          outcome = stats_of(tenant, command);
        }
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

}  // namespace codeq::services
