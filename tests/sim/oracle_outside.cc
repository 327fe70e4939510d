// What people asked from outside, and what it must have done: cancel, dead letters, lists, topics, pauses.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "oracle.h"

namespace codeq::sim {

using core::EventKind;
using core::to_hex;
using Policy = std::optional<core::TopicPolicy>;

namespace {

constexpr std::int64_t kExtensionMaxNs = 61 * kNanosPerSecond;  // of a heartbeat that nobody was answered

}  // namespace

void Oracle::process_ended(std::int64_t now_ns) {
  queues_.process_ended(now_ns);
  for (auto& [id, known] : tasks_) {
    known.lost_cancels += std::exchange(known.cancels, 0);
    if (std::exchange(known.redrives, 0) > 0) known.dead = false;
    if (std::exchange(known.purges, 0) > 0) known.may_be_purged = true;
  }
  for (auto& call : dead_calls_) call.open = false;
}

// ------------------------------------------------ what topics and pauses do

void Oracle::may_be_claimed(const Known& task, const std::string& worker, std::int64_t now_ns) {
  const auto& tenant = task.create->tenant;
  if (queues_.paused(tenant, task.command).is(true))
    wrong(fmt::format("task {} is handed out while its queue is paused", task.id));
  std::size_t consumers_max = 0;
  for (const auto& policy : queues_.topic(tenant, task.command).now()) {
    if (!policy || policy->max_consumers == 0) return;
    consumers_max = std::max<std::size_t>(consumers_max, policy->max_consumers);
  }
  // Somebody whose claim was never answered, or who may have been taken at their word that they end it, may hold one.
  if (const auto lost = claims_lost_.find(tenant + '\n' + worker); lost != claims_lost_.end() && now_ns < lost->second) return;
  std::set<std::string> holders;
  const auto queue = core::queue_key(tenant, task.command);
  for (const auto& [id, other] : tasks_) {
    if (!other.lease || other.create->tenant != tenant || core::queue_key(tenant, other.command) != queue) continue;
    if (other.lease->worker == worker && !other.lease->ended && now_ns < other.lease->until_ns + kExtensionMaxNs) return;
    if (holds(other, now_ns)) holders.insert(other.lease->worker);
  }
  if (holders.size() >= consumers_max)
    wrong(fmt::format("{} is handed {}, and {} others hold tasks of that queue, which has {}", worker, task.id, holders.size(),
                      consumers_max));
}

void Oracle::check_attempts_max(const Create& create, const core::TaskInfo& info, bool just_made) {
  const auto setting = static_cast<std::uint32_t>(setup_.partition.default_max_attempts);
  std::set<std::uint32_t> good;
  const auto add = [&](const Policy& policy) { good.insert(policy ? policy->max_attempts : setting); };
  if (create.max_attempts > 0) {
    good.insert(static_cast<std::uint32_t>(create.max_attempts));
  } else if (just_made) {
    for (const auto& policy : queues_.topic(create.tenant, create.command).now()) add(policy);
  } else {
    queues_.topic(create.tenant, create.command).each(add);
  }
  if (info.from_dead_letter)
    queues_.topic(create.tenant, info.command).each([&](const Policy& policy) {
      if (policy) good.insert(policy->max_attempts);
    });
  if (!good.contains(info.max_attempts)) wrong(fmt::format("task {} has {} attempts", info.id_text, info.max_attempts));
}

void Oracle::check_retention(const Known& task, const services::TaskSnapshot& answer, std::int64_t asked_ns) {
  if (!task.finished && !task.dead) return;
  if (task.create->webhook && !task.copy) return;  // it stays while it is to be delivered
  std::int64_t seconds = 0;
  for (const auto& policy : queues_.topic(task.create->tenant, task.command).around(answer.updated_ns))
    seconds = std::max(seconds, policy && policy->retention_seconds > 0 ? policy->retention_seconds
                                                                        : setup_.partition.retention_seconds);
  const auto end_ns = std::max(answer.updated_ns + seconds * kNanosPerSecond, task.key_expires_ns);
  if (asked_ns > end_ns + kMomentNs)
    wrong(fmt::format("task {} is shown at {}, and was to be kept until {}", task.id, asked_ns, end_ns));
}

bool Oracle::copies_may_be_gone() const {
  return queues_.had_retention() || setup_.partition.retention_seconds < 3600 ||
         std::any_of(dead_calls_.begin(), dead_calls_.end(),
                     [](const DeadCall& call) { return !call.redrive && !call.dry_run && call.filter.ids.empty(); });
}

// How a task came to die, and what came of it.
void Oracle::check_deaths(const Known& task, const std::vector<core::Event>& events, std::int64_t now_ns, bool at_rest) {
  std::uint32_t claims = 0;
  for (const auto& event : events) {
    if (event.kind == EventKind::kClaim) ++claims;
    if (event.kind == EventKind::kRedrive) claims = 0;
    if (event.kind != EventKind::kDeadLetter) continue;
    if (claims < task.attempts_max)
      wrong(fmt::format("task {} died after {} attempts of {}", task.id, claims, task.attempts_max));
    if (!at_rest) continue;
    const bool copied = copies_.contains(to_hex(event.span));
    const auto policies = queues_.topic(task.create->tenant, task.command).around(event.start_ns);
    const auto copies = [](const Policy& policy) { return policy && !policy->dead_letter.empty(); };
    if (copied && (task.copy || std::none_of(policies.begin(), policies.end(), copies)))
      wrong(fmt::format("a death of {} made a copy", task.id));
    if (!copied && !task.copy && std::all_of(policies.begin(), policies.end(), copies) && !copies_may_be_gone())
      wrong(fmt::format("a death of {} at {} made no copy, and now it is {}", task.id, event.start_ns, now_ns));
  }
}

void Oracle::nacked(Known& task, const Lease& asked, bool dead) {
  if (asked.attempt == 0) return;  // of a claim that is not known any more
  if (dead != (asked.attempt >= task.attempts_max))
    wrong(fmt::format("attempt {} of {} of {} was given back, and it is {}dead", asked.attempt, task.attempts_max, task.id,
                      dead ? "" : "not "));
  task.dead = dead;
}

// ------------------------------------------------ cancel

void Oracle::cancelled(Known& task, const std::string& reason, const Result<services::TaskSnapshot>& answer,
                       std::int64_t now_ns) {
  --task.cancels;
  if (!answer) {
    if (not_done(answer.error().code)) return;
    if (holds(task, now_ns))
      wrong(fmt::format("{} holds {}, which could not be cancelled: {}", task.lease->worker, task.id,
                        answer.error().message));
    if (answer.error().code == Code::kNotFound && !may_be_gone(task, now_ns))
      wrong(fmt::format("task {} was acknowledged and is gone, says a cancellation", task.id));
    return;
  }
  learn(*answer);
  if (task.finished || (task.dead && task.redrives == 0)) wrong(fmt::format("task {} had ended and was cancelled", task.id));
  if (task.purged) wrong(fmt::format("task {} was purged and was cancelled", task.id));
  if (task.lease) task.lease->ended = true;
  task.dead = false;
  ++task.answered[EventKind::kCancel];
  ++tally_.cancelled;
  submitted(task, "FAILED", reason.empty() ? "CANCELLED" : "CANCELLED: " + reason);
}

// ------------------------------------------------ dead letters

bool Oracle::means(const DeadCall& call, const Known& task) {
  const auto& tenant = call.tenant;
  const auto& filter = call.filter;
  return !call.dry_run && tenant == task.create->tenant &&
         (filter.command.empty() || core::queue_key(tenant, filter.command) == core::queue_key(tenant, task.command)) &&
         (filter.ids.empty() || std::find(filter.ids.begin(), filter.ids.end(), task.id) != filter.ids.end());
}

void Oracle::touch(DeadCall& call, Known& task) {
  if (call.redrive) task.returned = true;
  if (task.finished) {
    call.meant_finished = true;
    return;
  }
  ++task.disturbed;
  if (!call.open) return;  // answered before the task was first seen: had it been purged, nobody would have seen it
  ++(call.redrive ? task.redrives : task.purges);
  call.touched.insert(task.id);
}

bool Oracle::untouched(const std::string& id, unsigned disturbed, std::int64_t now_ns) const {
  const auto& task = tasks_.at(id);
  return task.disturbed == disturbed && !task.purged && !may_be_gone(task, now_ns);
}

Oracle::Must Oracle::certainly_dead(const std::string& tenant, const services::DeadLetterFilter& filter,
                                    std::int64_t now_ns) const {
  Must found;
  if (!filter.reason_prefix.empty() || filter.after_ns || filter.before_ns) return found;
  DeadCall call;
  call.tenant = tenant;
  call.filter = filter;
  for (const auto& [id, task] : tasks_)
    if (task.dead && task.redrives == 0 && means(call, task) && untouched(id, task.disturbed, now_ns))
      found[id] = task.disturbed;
  return found;
}

std::size_t Oracle::dead_call_sent(bool redrive, bool dry_run, std::string tenant, services::DeadLetterFilter filter,
                                   std::int64_t now_ns) {
  auto& call = dead_calls_.emplace_back();
  call.redrive = redrive;
  call.dry_run = dry_run;
  call.must = certainly_dead(tenant, filter, now_ns);
  call.tenant = std::move(tenant);
  call.filter = std::move(filter);
  for (auto& [id, task] : tasks_)
    if (means(call, task)) touch(call, task);
  for (auto& [id, disturbed] : call.must) disturbed = tasks_.at(id).disturbed;
  return dead_calls_.size() - 1;
}

void Oracle::dead_call_answered(std::size_t number, const Result<services::DeadLetterOutcome>& answer,
                                std::int64_t now_ns) {
  auto& call = dead_calls_[number];
  const char* what = call.redrive ? "redrive" : "purge";
  call.open = false;
  for (const auto& id : call.touched) --(call.redrive ? tasks_.at(id).redrives : tasks_.at(id).purges);
  if (!answer && answer.error().code == Code::kOverloaded) return;
  if (!answer && answer.error().code != Code::kUnavailable)
    wrong(fmt::format("a {} was refused: {}", what, answer.error().message));
  const auto outcome = answer.value_or(services::DeadLetterOutcome{.matched = 1, .changed = 1});  // stopped: nobody knows
  if (answer) {
    (call.redrive ? tally_.redriven : tally_.purged) += outcome.changed;
    if (call.dry_run && outcome.changed > 0) wrong(fmt::format("a dry run of a {} changed something", what));
    std::size_t must = 0;
    for (const auto& [id, disturbed] : call.must) must += untouched(id, disturbed, now_ns) ? 1 : 0;
    if (outcome.matched < std::min(must, call.filter.limit))
      wrong(fmt::format("{} dead tasks were meant by a {}, and {} found", must, what, outcome.matched));
    if (call.redrive && !call.dry_run && outcome.matched == must && outcome.changed != must)
      wrong(fmt::format("of {} dead tasks that were meant, {} were redriven", must, outcome.changed));
  }
  const bool all = answer && !call.filter.ids.empty() && outcome.changed == call.filter.ids.size();
  if (all && call.meant_finished) wrong(fmt::format("a {} touched a task that had finished", what));
  if (outcome.matched == 0 || call.dry_run) return;
  for (const auto& id : call.touched) {
    auto& task = tasks_.at(id);
    if (call.redrive && outcome.changed > 0) {
      task.dead = false;
      if (all) ++task.answered[EventKind::kRedrive];
    } else if (!call.redrive) {
      task.may_be_purged = true;
      task.purged = task.purged || all;
    }
  }
}

void Oracle::dead_letters(const std::string& tenant, const services::DeadLetterFilter& filter, const Must& must,
                          const services::DeadLetterPage& page, std::int64_t now_ns, bool at_rest) const {
  std::set<std::string> there;
  for (const auto& [task, died_ns] : page.letters) {
    const auto& info = *task.info;
    if (!there.insert(info.id_text).second) wrong(fmt::format("{} stands twice among the dead letters", info.id_text));
    if (info.tenant != tenant || task.place != core::Place::kDead || !task.error.starts_with(filter.reason_prefix) ||
        (!filter.command.empty() && core::queue_key(tenant, filter.command) != core::queue_key(tenant, info.command)))
      wrong(fmt::format("{} is not a dead letter that was asked for", info.id_text));
    const auto known = tasks_.find(info.id_text);
    if (known == tasks_.end()) continue;
    if ((known->second.finished && known->second.disturbed == 0) || (at_rest && !known->second.dead))
      wrong(fmt::format("{} is listed as a dead letter, and is none", info.id_text));
  }
  if (!page.next.empty() || page.letters.size() >= filter.limit) return;
  for (const auto& [id, disturbed] : must)
    if (untouched(id, disturbed, now_ns) && !there.contains(id))
      wrong(fmt::format("{} is dead and not among the dead letters", id));
}

// ------------------------------------------------ lists

Oracle::Must Oracle::certainly_there(const std::string& tenant, const services::TaskFilter& filter,
                                     std::int64_t now_ns) const {
  Must found;
  if (filter.state || !filter.worker.empty()) return found;
  for (const auto& [id, task] : tasks_)
    if (task.create->tenant == tenant && untouched(id, task.disturbed, now_ns) &&
        (!filter.trace_id.valid() || filter.trace_id == task.create->request.trace_id) &&
        (filter.command.empty() || core::queue_key(tenant, filter.command) == core::queue_key(tenant, task.command)))
      found[id] = task.disturbed;
  return found;
}

void Oracle::task_list(const std::string& tenant, const services::TaskFilter& filter, const Must& must,
                       const services::TaskPage& page, std::int64_t now_ns) const {
  std::set<std::string> there;
  std::uint64_t last = UINT64_MAX;
  for (const auto& task : page.tasks) {
    const auto& info = *task.info;
    if (info.id.sequence >= last) wrong(fmt::format("{} is listed after an older one", info.id_text));
    last = info.id.sequence;
    there.insert(info.id_text);
    if (info.tenant != tenant || (filter.trace_id.valid() && info.timeline_trace_id != filter.trace_id) ||
        (filter.state == services::TaskState::kDead && task.place != core::Place::kDead) ||
        (filter.state == services::TaskState::kReady && task.place != core::Place::kReady) ||
        (!filter.command.empty() && core::queue_key(tenant, filter.command) != core::queue_key(tenant, info.command)))
      wrong(fmt::format("{} is not a task that was asked for", info.id_text));
    const auto known = tasks_.find(info.id_text);
    if (known != tasks_.end() && known->second.finished && known->second.disturbed == 0 &&
        task.place == core::Place::kDead)
      wrong(fmt::format("{} had finished and is listed as dead", info.id_text));
  }
  if (page.next != 0 || page.tasks.size() >= filter.limit || filter.below != 0) return;
  for (const auto& [id, disturbed] : must)
    if (untouched(id, disturbed, now_ns) && !there.contains(id))
      wrong(fmt::format("{} was acknowledged and is not listed", id));
}

void Oracle::queue_seen(const std::string& tenant, const std::string& command, const services::QueueStats& stats,
                        std::int64_t now_ns, bool at_rest) {
  if (!queues_.paused(tenant, command).seen(stats.paused, now_ns))
    wrong(fmt::format("queue {} of {} is {}paused", command, tenant, stats.paused ? "" : "not "));
  if (!at_rest) return;
  if (stats.ready + stats.delayed + stats.in_progress > 0) wrong(fmt::format("queue {} of {} is not empty", command, tenant));
  std::uint64_t least = 0, most = 0;
  for (const auto& [id, task] : tasks_) {
    if (task.create->tenant != tenant || core::queue_key(tenant, task.command) != core::queue_key(tenant, command)) continue;
    least += task.dead && !may_be_gone(task, now_ns) ? 1 : 0;
    most += task.dead || may_be_gone(task, now_ns) ? 1 : 0;
  }
  if (stats.dead < least || (stats.dead > most && !copies_may_be_gone()))
    wrong(fmt::format("queue {} of {} counts {} dead tasks, not {} to {}", command, tenant, stats.dead, least, most));
}

}  // namespace codeq::sim
