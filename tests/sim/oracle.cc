#include "oracle.h"

#include <fmt/format.h>

#include <utility>

namespace codeq::sim {

using core::EventKind;
using core::to_hex;

namespace {

[[noreturn]] void wrong(std::string what) { throw Violation{std::move(what)}; }

// The task is not known here, or nobody's: refusals that say that nothing was looked at.
bool not_done(Code code) { return code == Code::kOverloaded || code == Code::kUnavailable || code == Code::kDiskFull; }

}  // namespace

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
  if (info.tenant != create.tenant || info.command != create.command || *task.payload != create.payload ||
      info.idempotency_key != create.key || info.priority != create.priority || info.webhook.empty() == create.webhook)
    wrong(fmt::format("task {} is not what was sent", info.id_text));
  if (info.create_parent != create.request.span_id) wrong(fmt::format("task {} lost its caller's span", info.id_text));
  const auto [first, is_first] = made_.try_emplace(made->first, info.id_text);
  if (first->second != info.id_text)
    wrong(fmt::format("one create made two tasks: {} and {}", first->second, info.id_text));
  auto& known = tasks_[info.id_text];
  if (known.create == nullptr) {
    known.id = info.id_text;
    known.create = &create;
    known.create_span = info.create_span;
    known.created_ns = info.created_ns;
    known.key_expires_ns = info.key_expires_ns;
  }
  if (known.create_span != info.create_span || !info.create_span.valid())
    wrong(fmt::format("task {} has another create span than before", known.id));
  if (known.created_ns != info.created_ns) wrong(fmt::format("task {} was created at another time", known.id));
  if (task.context.trace_id != create.request.trace_id || !task.context.span_id.valid())
    wrong(fmt::format("task {} hands out a context of another trace", known.id));
  return known;
}

void Oracle::created(const Create& create, const services::TaskSnapshot& task) {
  auto& known = learn(task);
  if (create.key.empty()) return;
  auto& holder = keys_[create.tenant + '\n' + create.key];
  if (!holder.empty() && holder != known.id && known.created_ns < tasks_.at(holder).key_expires_ns)
    wrong(fmt::format("key {} was held by {} and now made {}", create.key, holder, known.id));
  holder = known.id;
}

void Oracle::claimed(const std::string& worker, const services::TaskSnapshot& task) {
  auto& known = learn(task);
  if (known.finished) wrong(fmt::format("task {} was finished and is handed out again", known.id));
  if (task.place != core::Place::kLeased || task.worker == nullptr || *task.worker != worker || task.lease_token == 0)
    wrong(fmt::format("task {} was claimed by {} and is not theirs", known.id, worker));
  if (known.lease && live(*known.lease, task.updated_ns - kMomentNs))
    wrong(fmt::format("two live leases on {}: {} holds it until {}, {} got it at {}", known.id, known.lease->worker,
                      known.lease->until_ns, worker, task.updated_ns));
  for (const auto& span : known.claims)
    if (span == task.context.span_id) wrong(fmt::format("two attempts of {} have one span", known.id));
  if (task.context.span_id == known.create_span)
    wrong(fmt::format("the attempt of {} is not what its worker is told to continue", known.id));
  known.claims.push_back(task.context.span_id);
  known.lease = Lease{.worker = worker,
                      .token = task.lease_token,
                      .span = task.context.span_id,
                      .until_ns = task.lease_until_ns};
  // First claims of what never waited for a time come in the order of creation.
  if (task.attempts == 1 && known.create->delay_ms == 0 && !known.returned) {
    auto& last = handed_out_[fmt::format("{}/{}/{}", known.create->tenant, known.create->command, known.create->priority)];
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
    ++task.answered[kind];
    if (!same) return;
    if (ends) task.lease->ended = true;
    if (!ends) task.lease->until_ns = std::max(task.lease->until_ns, extended_until_ns);
    return;
  }
  if (not_done(answer.error().code)) return;
  if (same && live(*task.lease, now_ns) && live(asked, now_ns))
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
  return now_ns >= std::max(task.created_ns + setup_.partition.retention_seconds * kNanosPerSecond, task.key_expires_ns);
}

void Oracle::read(const Known& task, const Result<services::TaskSnapshot>& answer, std::int64_t now_ns) {
  if (!answer) {
    if (not_done(answer.error().code)) return;
    if (may_be_gone(task, now_ns)) return;
    wrong(fmt::format("task {} was acknowledged and is gone: {}", task.id, answer.error().message));
  }
  auto& known = learn(*answer);
  const bool finished = answer->place == core::Place::kDone || answer->place == core::Place::kDead;
  if (known.finished && !finished) wrong(fmt::format("task {} was finished and is not any more", task.id));
  if (finished) known.finished = true;
  if (known.result && (answer->status == core::Status::kCompleted) != (known.status_text == "COMPLETED"))
    wrong(fmt::format("task {} ended otherwise than its worker was told", task.id));
  if (!known.lease || !live(*known.lease, now_ns)) return;
  const auto& lease = *known.lease;
  if (answer->place != core::Place::kLeased || answer->lease_token != lease.token || *answer->worker != lease.worker)
    wrong(fmt::format("{} holds {} until {}, and at {} somebody reads otherwise", lease.worker, task.id, lease.until_ns,
                      now_ns));
  if (answer->context.span_id != lease.span)
    wrong(fmt::format("the attempt of {} has another span than its worker was told", task.id));
}

void Oracle::read_result(const Known& task, const Result<services::TaskAndResult>& answer, std::int64_t now_ns) {
  if (!answer) {
    if (not_done(answer.error().code) || may_be_gone(task, now_ns) || !task.finished) return;
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
      if (event.span != task.create_span || event.parent != task.create->request.span_id)
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
}

void Oracle::check_exported(const std::vector<Span>& spans) const {
  std::multimap<std::string, const Known*> of_trace;
  for (const auto& [id, task] : tasks_) of_trace.emplace(to_hex(task.create->request.trace_id), &task);
  std::map<std::string, std::size_t> sent;
  for (const auto& [name, create] : creates_) ++sent[to_hex(create.request.trace_id)];
  for (const auto& span : spans) {
    const auto trace = to_hex(span.context.trace_id);
    const auto tasks = of_trace.equal_range(trace);
    bool all = static_cast<std::size_t>(std::distance(tasks.first, tasks.second)) == sent[trace];
    std::optional<std::string> parent;
    for (auto it = tasks.first; it != tasks.second; ++it) {
      const auto timeline = timelines_.find(it->second->id);
      all = all && timeline != timelines_.end() && timeline->second.whole;
      if (timeline == timelines_.end()) continue;
      if (const auto event = timeline->second.parents.find(to_hex(span.context.span_id)); event != timeline->second.parents.end())
        parent = event->second;
    }
    if (!parent && all) wrong(fmt::format("a span {} of trace {} was exported, and no task knows it", span.name, trace));
    if (parent && *parent != to_hex(span.parent))
      wrong(fmt::format("a span {} of trace {} was exported under another parent", span.name, trace));
  }
}

Known* Oracle::webhook(const services::WebhookJob& job) {
  const auto context = core::parse_traceparent(job.traceparent);
  if (!context) wrong("a webhook has no trace context");
  constexpr std::string_view kBegin = R"({"taskId":")";
  const auto task = tasks_.find(job.body.substr(kBegin.size(), 36));
  if (task == tasks_.end()) return nullptr;
  auto& known = task->second;
  if (!known.create->webhook) wrong(fmt::format("task {} asked for no webhook", known.id));
  if (known.create->request.trace_id != context->trace_id) wrong(fmt::format("the webhook of {} is of another trace", known.id));
  return &known;
}

}  // namespace codeq::sim
