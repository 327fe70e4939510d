#include "oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace codeq::sim {

using core::EventKind;
using core::to_hex;

const Create& Oracle::sent(Create create) {
  auto name = to_hex(create.request.trace_id) + create.payload;
  return creates_[std::move(name)] = std::move(create);
}

Known& Oracle::learn(const services::TaskSnapshot& task) {
  const auto& info = *task.info;
  const auto trace = to_hex(info.trace.span.trace_id);
  const auto made = creates_.find(trace + *task.payload);
  if (made == creates_.end())
    wrong(fmt::format("task {} is of trace {} with this payload, which nobody sent", info.id_text, trace));
  const auto& create = made->second;
  const bool copy = info.from_dead_letter;
  if (info.tenant != create.tenant || *task.payload != create.payload || info.priority != create.priority ||
      info.idempotency_key != (copy ? "" : create.key) || info.webhook.empty() == (create.webhook && !copy))
    wrong(fmt::format("task {} is not what was sent", info.id_text));
  if (copy ? !queues_.may_copy(create.tenant, create.command, info.command) : info.command != create.command)
    wrong(fmt::format("task {} is in the queue {}", info.id_text, info.command));
  if ((info.create_parent == create.request.span_id) == copy) wrong(fmt::format("task {} lost its caller's span", info.id_text));
  const auto [first, is_first] =
      copy ? copies_.try_emplace(to_hex(info.create_parent), info.id_text) : made_.try_emplace(made->first, info.id_text);
  if (first->second != info.id_text)
    wrong(fmt::format("one {} made two tasks: {} and {}", copy ? "death" : "create", first->second, info.id_text));
  auto& known = tasks_[info.id_text];
  if (known.create == nullptr) {
    known.id = info.id_text;
    known.command = info.command;
    known.create = &create;
    known.copy = copy;
    known.attempts_max = info.max_attempts;
    known.create_span = info.create_span;
    known.created_ns = info.created_ns;
    known.key_expires_ns = info.key_expires_ns;
    for (auto& call : dead_calls_)
      if (means(call, known)) touch(call, known);
    check_attempts_max(create, info, false);
  }
  if (known.create_span != info.create_span || !info.create_span.valid())
    wrong(fmt::format("task {} has another create span than before", known.id));
  if (known.created_ns != info.created_ns) wrong(fmt::format("task {} was created at another time", known.id));
  if (known.attempts_max != info.max_attempts) wrong(fmt::format("task {} has another number of attempts", known.id));
  if (task.context.trace_id != create.request.trace_id || !task.context.span_id.valid())
    wrong(fmt::format("task {} hands out a context of another trace", known.id));
  return known;
}

void Oracle::created(const Create& create, const services::TaskSnapshot& task) {
  auto& known = learn(task);
  if (create.key.empty()) return check_attempts_max(create, *task.info, true);
  auto& holder = keys_[create.tenant + '\n' + create.key];
  if (const auto& before = tasks_[holder.empty() ? known.id : holder];
      before.id != known.id && known.created_ns < before.key_expires_ns && !before.may_be_purged && before.purges == 0)
    wrong(fmt::format("key {} was held by {} and now made {}", create.key, holder, known.id));
  holder = known.id;
}

void Oracle::claimed(const std::string& worker, const services::TaskSnapshot& task) {
  auto& known = learn(task);
  if (known.finished) wrong(fmt::format("task {} was finished and is handed out again", known.id));
  if (known.dead && known.redrives == 0) wrong(fmt::format("task {} was dead and is handed out again", known.id));
  if (known.purged) wrong(fmt::format("task {} was purged and is handed out again", known.id));
  if (task.attempts < 1 || task.attempts > known.attempts_max + known.abandons)
    wrong(fmt::format("attempt {} of task {}, which has {}", task.attempts, known.id, known.attempts_max));
  may_be_claimed(known, worker, task.updated_ns);
  known.dead = false;
  known.lost_cancels = 0;
  if (task.place != core::Place::kLeased || task.worker == nullptr || *task.worker != worker || task.lease_token == 0)
    wrong(fmt::format("task {} was claimed by {} and is not theirs", known.id, worker));
  if (holds(known, task.updated_ns - kMomentNs))
    wrong(fmt::format("two live leases on {}: {} holds it until {}, {} got it at {}", known.id, known.lease->worker,
                      known.lease->until_ns, worker, task.updated_ns));
  for (const auto& span : known.claims)
    if (span == task.context.span_id) wrong(fmt::format("two attempts of {} have one span", known.id));
  if (task.context.span_id == known.create_span)
    wrong(fmt::format("the attempt of {} is not what its worker is told to continue", known.id));
  known.claims.push_back(task.context.span_id);
  known.lease = Lease{.worker = worker,
                      .token = task.lease_token,
                      .attempt = task.attempts,
                      .span = task.context.span_id,
                      .until_ns = task.lease_until_ns};
  // First claims of what never waited for a time come in the order of creation.
  if (task.attempts == 1 && (known.copy || known.create->delay_ms == 0) && !known.returned) {
    auto& last = handed_out_[core::queue_key(known.create->tenant, known.command) + std::to_string(known.create->priority)];
    if (task.info->id.sequence <= last)
      wrong(fmt::format("task {} is handed out after a younger one of its queue", known.id));
    last = task.info->id.sequence;
  }
}

void Oracle::owner_call_sent(Known& task, bool ends) {
  if (ends && task.lease) ++task.lease->ends_under_way;
}

void Oracle::owner_call_answered(Known& task, const Lease& asked, EventKind kind, const Result<void>& answer,
                                 std::int64_t now_ns, std::int64_t extended_until_ns) {
  const bool ends = kind != EventKind::kHeartbeat;
  const bool same = task.lease && task.lease->token == asked.token;
  if (same && ends) --task.lease->ends_under_way;
  if (answer) {
    if (task.finished) wrong(fmt::format("task {} was finished, and {} is told yes", task.id, asked.worker));
    ++task.answered[kind];
    if (!same) return;
    if (ends) task.lease->ended = true;
    if (!ends) task.lease->until_ns = std::max(task.lease->until_ns, extended_until_ns);
    return;
  }
  if (not_done(answer.error().code)) return;
  if (same && holds(task, now_ns) && live(asked, now_ns))
    wrong(fmt::format("{} holds {} until {}, and at {} is told: {}", asked.worker, task.id, task.lease->until_ns, now_ns,
                      answer.error().message));
}

void Oracle::submitted(Known& task, std::string status, std::string result) {
  if (task.result) wrong(fmt::format("task {} took two results", task.id));
  task.finished = true;
  task.status_text = std::move(status);
  task.result = std::move(result);
}

bool Oracle::may_be_gone(const Known& task, std::int64_t now_ns) const {
  if (task.may_be_purged || task.purges > 0) return true;
  auto& queues = const_cast<Catalogue&>(queues_);
  const auto seconds = queues.retention_min(task.create->tenant, task.command, setup_.partition.retention_seconds);
  return now_ns >= std::max(task.created_ns + seconds * kNanosPerSecond, task.key_expires_ns);
}

void Oracle::read(Known& known, const Result<services::TaskSnapshot>& answer, std::int64_t asked_ns, std::int64_t now_ns) {
  if (!answer) {
    if (not_done(answer.error().code)) return;
    if (may_be_gone(known, now_ns)) return;
    wrong(fmt::format("task {} was acknowledged and is gone: {}", known.id, answer.error().message));
  }
  learn(*answer);
  if (known.purged) wrong(fmt::format("task {} was purged and is there", known.id));
  const bool dead = answer->place == core::Place::kDead;
  const bool finished = answer->place == core::Place::kDone;
  if (known.finished && !finished) wrong(fmt::format("task {} was finished and is not any more", known.id));
  if (known.dead && !dead && known.redrives == 0) wrong(fmt::format("task {} was dead and is not any more", known.id));
  known.finished = finished;
  known.dead = dead;
  if (std::exchange(known.lost_cancels, 0) > 0 && finished && known.lease) known.lease->ended = true;
  if (known.purges == 0 && (!dead || !known.create->webhook || known.copy)) known.may_be_purged = false;
  if (known.result && (answer->status == core::Status::kCompleted) != (known.status_text == "COMPLETED"))
    wrong(fmt::format("task {} ended otherwise than its worker was told", known.id));
  check_retention(known, *answer, asked_ns);
  if (!holds(known, now_ns)) return;
  const auto& lease = *known.lease;
  if (answer->place != core::Place::kLeased || answer->lease_token != lease.token || *answer->worker != lease.worker)
    wrong(fmt::format("{} holds {} until {}, and at {} somebody reads otherwise", lease.worker, known.id, lease.until_ns,
                      now_ns));
  if (answer->context.span_id != lease.span)
    wrong(fmt::format("the attempt of {} has another span than its worker was told", known.id));
}

void Oracle::read_result(const Known& task, const Result<services::TaskAndResult>& answer, std::int64_t now_ns) {
  if (!answer) {
    const bool ended = task.finished || (task.dead && task.redrives == 0);
    if (not_done(answer.error().code) || may_be_gone(task, now_ns) || !ended) return;
    wrong(fmt::format("the result of {} is gone: {}", task.id, answer.error().message));
  }
  if (task.result && answer->result.result->result_json != *task.result &&
      answer->result.result->error != *task.result)
    wrong(fmt::format("the result of {} is not what its worker sent", task.id));
}

void Oracle::read_timeline(const Known& task, const Result<services::TimelineSnapshot>& answer, std::int64_t now_ns,
                           bool at_rest) {
  if (!answer) {
    timelines_.erase(task.id);
    if (not_done(answer.error().code) || may_be_gone(task, now_ns)) return;
    wrong(fmt::format("the timeline of {} is gone: {}", task.id, answer.error().message));
  }
  auto& timeline = timelines_[task.id];
  timeline = {.parents = {}, .whole = answer->events_dropped == 0};
  std::map<EventKind, unsigned> seen;
  std::set<std::string> spans;
  for (const auto& event : answer->events) {
    spans.insert(to_hex(event.span));
    if (event.kind == EventKind::kCreate) {
      if (event.span != task.create_span || (!task.copy && event.parent != task.create->request.span_id))
        wrong(fmt::format("the create span of {} is not the one it was", task.id));
    }
  }
  if (spans.size() != answer->events.size()) wrong(fmt::format("two events of {} are one span", task.id));
  for (const auto& event : answer->events) {
    ++seen[event.kind];
    timeline.parents[to_hex(event.span)] = to_hex(event.parent);
    if (answer->events_dropped == 0 && event.kind != EventKind::kCreate && !spans.contains(to_hex(event.parent)))
      wrong(fmt::format("an event (kind {}) of {} has a parent that is nowhere", static_cast<int>(event.kind), task.id));
    if (at_rest && event.end_ns == 0)
      wrong(fmt::format("an event (kind {}) of {} never ends", static_cast<int>(event.kind), task.id));
    if (event.end_ns != 0 && event.end_ns < event.start_ns)
      wrong(fmt::format("an event of {} ends before it begins", task.id));
  }
  if (answer->events_dropped > 0) return;
  if (seen[EventKind::kCreate] != 1) wrong(fmt::format("task {} has no create span", task.id));
  for (const auto& claim : task.claims)
    if (!spans.contains(to_hex(claim)))
      wrong(fmt::format("an attempt of {} that a worker was told of is not in its timeline", task.id));
  for (const auto& [kind, count] : task.answered)
    if (seen[kind] < count)
      wrong(fmt::format("{} calls (kind {}) of {} were answered, {} are in its timeline", count, static_cast<int>(kind),
                        task.id, seen[kind]));
  const auto redrives = std::count_if(dead_calls_.begin(), dead_calls_.end(),
                                      [&](const auto& call) { return call.redrive && means(call, task); });
  if (seen[EventKind::kRedrive] > static_cast<std::size_t>(redrives))
    wrong(fmt::format("{} was redriven {} times, and {} were asked for", task.id, seen[EventKind::kRedrive], redrives));
  check_deaths(task, answer->events, now_ns, at_rest);
}

void Oracle::check_exported(const std::vector<Span>& spans) const {
  std::multimap<std::string, const Known*> of_trace;
  for (const auto& [id, task] : tasks_) of_trace.emplace(to_hex(task.create->request.trace_id), &task);
  const bool some_may_be_gone = copies_may_be_gone();
  std::map<std::string, std::size_t> sent;
  for (const auto& [name, create] : creates_) ++sent[to_hex(create.request.trace_id)];
  for (const auto& span : spans) {
    const auto trace = to_hex(span.context.trace_id);
    const auto tasks = of_trace.equal_range(trace);
    if (span.name == "codeq.webhook.queue_ready") continue;  // of the queue, not of a task
    const auto originals = std::count_if(tasks.first, tasks.second, [](const auto& one) { return !one.second->copy; });
    bool all = static_cast<std::size_t>(originals) == sent[trace];
    std::optional<std::string> parent;
    for (auto it = tasks.first; it != tasks.second; ++it) {
      const auto timeline = timelines_.find(it->second->id);
      all = all && timeline != timelines_.end() && timeline->second.whole;
      if (timeline == timelines_.end()) continue;
      if (const auto event = timeline->second.parents.find(to_hex(span.context.span_id)); event != timeline->second.parents.end())
        parent = event->second;
    }
    if (!parent && all && !some_may_be_gone)
      wrong(fmt::format("a span {} of trace {} was exported, and no task knows it", span.name, trace));
    if (parent && *parent != to_hex(span.parent))
      wrong(fmt::format("a span {} of trace {} was exported under another parent", span.name, trace));
  }
}

void Oracle::webhook(const services::WebhookJob& job, bool taken) {
  const auto context = core::parse_traceparent(job.traceparent);
  if (!context) wrong("a webhook has no trace context");
  constexpr std::string_view kBegin = R"({"taskId":")";
  const auto id = job.body.substr(kBegin.size(), 36);
  if (taken) delivered_.insert(id);
  const auto task = tasks_.find(id);
  if (task == tasks_.end()) return;
  const auto& known = task->second;
  if (!known.create->webhook || known.copy) wrong(fmt::format("task {} asked for no webhook", known.id));
  if (known.create->request.trace_id != context->trace_id) wrong(fmt::format("the webhook of {} is of another trace", known.id));
}

}  // namespace codeq::sim
