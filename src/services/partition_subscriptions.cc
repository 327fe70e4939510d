// The calls about subscriptions, and the calls to subscribers: made after the commit of what they tell, beside everything
// else, once. Nothing waits for them.
#include <algorithm>
#include <utility>

#include "core/json_scan.h"
#include "core/rfc3339.h"
#include "core/webhook_url.h"
#include "services/partition.h"
#include "services/task_spans.h"

namespace codeq::services {
namespace {

constexpr std::int64_t kTtlSecondsDefault = 300, kTtlSecondsMax = 86'400;
constexpr std::int64_t kIntervalSecondsMax = 86'400;
constexpr std::size_t kEventTypesMax = 100, kEventTypeBytesMax = 256, kEventTypesBytesMax = 4096;
constexpr std::size_t kGroupBytesMax = 256;

bool blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

std::int64_t ttl_ns(std::int64_t seconds) {
  return (seconds <= 0 ? kTtlSecondsDefault : std::min(seconds, kTtlSecondsMax)) * kNanosPerSecond;
}

// 32 lower-case hex digits.
std::string random_text(Rng& rng) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int half = 0; half < 2; ++half) {
    auto draw = rng.next();
    for (int i = 0; i < 16; ++i, draw >>= 4) text += kDigits[draw & 15];
  }
  return text;
}

// A UUID of version 4 (RFC 9562): 122 random bits.
std::string random_uuid(Rng& rng) {
  auto text = random_text(rng);
  text[12] = '4';
  text[16] = "89ab"[static_cast<unsigned char>(text[16]) & 3];
  for (const std::size_t at : {20U, 16U, 12U, 8U}) text.insert(at, 1, '-');
  return text;
}

Result<void> check(const Subscribe& ask) {
  if (!core::webhook_host(ask.callback_url)) return fail(Code::kInvalidWebhookUrl, "invalid callback url");
  if (ask.mode == core::DeliveryMode::kGroup && blank(ask.group))
    return fail(Code::kInvalidArgument, "groupId is required");
  if (ask.group.size() > kGroupBytesMax) return fail(Code::kInvalidArgument, "groupId is too long");
  std::size_t bytes = 0;
  for (const auto& type : ask.event_types) {
    bytes += type.size();
    if (blank(type) || type.size() > kEventTypeBytesMax || type.find('\0') != std::string::npos)
      return fail(Code::kInvalidArgument, "invalid eventTypes");
  }
  if (ask.event_types.empty() || ask.event_types.size() > kEventTypesMax || bytes > kEventTypesBytesMax)
    return fail(Code::kInvalidArgument, "eventTypes: at most 100 of at most 256 bytes, 4096 bytes together");
  return {};
}

std::string body_of(const core::TaskInfo& task, std::uint64_t depth, std::int64_t now_ns, const std::string& id) {
  std::string out = R"({"eventType":)";
  core::append_json_string(out, task.command);
  out += R"(,"available":true,"queueDepth":)" + std::to_string(depth);
  out += R"(,"claimUrl":"/v1/codeq/tasks/claim","sentAt":")";
  core::append_rfc3339_seconds(out, now_ns);
  out += R"(","notificationId":")" + id + "\"}";
  return out;
}

std::string_view error_text(const WebhookOutcome& outcome) {
  return outcome.http_status != 0 ? std::string_view("status") : outcome.error;
}

std::string_view without_port(std::string_view host) {
  const auto colon = host.rfind(':');
  return colon == std::string_view::npos || host.back() == ']' ? host : host.substr(0, colon);
}

}  // namespace

// ---------------------------------------------------------------- calls of workers

void Partition::subscribe(Caller caller, Subscribe ask, Done<core::Subscription> done) {
  if (auto good = check(ask); !good) return done(std::unexpected<Error>(good.error()));
  core::SubscribeRecord record;
  auto& made = record.subscription;
  made.id = random_uuid(deps_.rng);
  made.tenant = std::move(caller.tenant);
  made.owner = std::move(caller.subject);
  made.callback_url = std::move(ask.callback_url);
  made.event_types = std::move(ask.event_types);
  made.mode = ask.mode;
  if (ask.mode == core::DeliveryMode::kGroup) made.group = std::move(ask.group);
  made.min_interval_seconds =
      std::min(ask.min_interval_seconds > 0 ? ask.min_interval_seconds : options_.subscription_min_interval_seconds,
               kIntervalSecondsMax);
  post<core::Subscription>(
      Kind::kClaim, 8192, std::move(done),
      [this, record = std::move(record), ttl = ttl_ns(ask.ttl_seconds)](auto reply) mutable {
        auto& subscription = record.subscription;
        Result<core::Subscription> outcome;
        if (state_.subscriptions().count(subscription.tenant) >= core::kSubscriptionsPerTenantMax) {
          outcome = fail(Code::kInvalidArgument, "too many subscriptions");
        } else if (const char* why = no_room()) {
          outcome = fail(Code::kOverloaded, why);
        } else {
          record.time_ns = stamp_ns_;
          subscription.expires_ns = stamp_ns_ + ttl;
          const auto effects = change(record);
          if (effects)
            outcome = *state_.subscriptions().find(subscription.id);
          else
            outcome = std::unexpected<Error>(effects.error());
        }
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::renew_subscription(Caller caller, std::string id, std::int64_t ttl_seconds,
                                   Done<core::Subscription> done) {
  core::RenewSubscriptionRecord record{.time_ns = 0,
                                       .id = std::move(id),
                                       .tenant = std::move(caller.tenant),
                                       .subject = std::move(caller.subject),
                                       .ttl_ns = ttl_ns(ttl_seconds)};
  post<core::Subscription>(Kind::kOwner, 512, std::move(done), [this, record = std::move(record)](auto reply) mutable {
    record.time_ns = stamp_ns_;
    const auto effects = change(record);
    Result<core::Subscription> outcome;
    if (effects)
      outcome = *state_.subscriptions().find(record.id);
    else
      outcome = std::unexpected<Error>(effects.error());
    answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
  });
}

void Partition::unsubscribe(Caller caller, std::string id, Done<void> done) {
  core::UnsubscribeRecord record{
      .time_ns = 0, .id = std::move(id), .tenant = std::move(caller.tenant), .subject = std::move(caller.subject)};
  post<void>(Kind::kOwner, 512, std::move(done), [this, record = std::move(record)](auto reply) mutable {
    record.time_ns = stamp_ns_;
    const auto effects = change(record);
    Result<void> outcome;
    if (effects)
      notifier_.forget(record.id);
    else
      outcome = std::unexpected<Error>(effects.error());
    answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
  });
}

void Partition::list_subscriptions(Caller caller, Done<std::vector<core::Subscription>> done) {
  post<std::vector<core::Subscription>>(
      Kind::kRead, 256, std::move(done), [this, tenant = std::move(caller.tenant)](auto reply) mutable {
        std::vector<core::Subscription> found;
        for (const auto* one : state_.subscriptions().of_tenant(tenant, stamp_ns_)) found.push_back(*one);
        answer([reply = std::move(reply), found = std::move(found)]() mutable { reply(std::move(found)); });
      });
}

// ---------------------------------------------------------------- their end

std::optional<std::int64_t> Partition::subscriptions_due_ns() const {
  const auto end = state_.subscriptions().first_end_ns();
  if (!end) return std::nullopt;
  return std::max(*end, subscriptions_swept_ns_ + options_.subscription_cleanup_interval_seconds * kNanosPerSecond);
}

void Partition::sweep_subscriptions() {
  if (state_.subscriptions().empty()) return;
  const auto due = subscriptions_due_ns();
  if (!due || *due > stamp_ns_) return;
  // Its record takes the first thousand; the rest are for the next round.
  for (const auto& id : state_.subscriptions().over(stamp_ns_, 1000)) notifier_.forget(id);
  const auto effects = change(core::ExpireSubscriptionsRecord{.time_ns = stamp_ns_});
  CHECK(effects.has_value());
  if (const auto next = state_.subscriptions().first_end_ns(); !next || *next > stamp_ns_)
    subscriptions_swept_ns_ = stamp_ns_;
}

// ---------------------------------------------------------------- calls to subscribers

// `task` became ready; the first one of a round speaks for its queue.
void Partition::note_ready(const std::shared_ptr<const core::TaskInfo>& task, const std::string& key) {
  if (!state_.subscriptions().empty()) news_.try_emplace(key, task);
}

void Partition::notify_ready() {
  if (news_.empty() && notifier_.idle()) return;
  for (const auto& [key, task] : std::exchange(news_, {})) {
    if (draining_) continue;
    // Who waited for it may have it by now.
    if (state_.ready_queue(task->tenant, task->command) == nullptr) continue;
    const auto subscribers = state_.subscriptions().of_queue(task->tenant, task->command, stamp_ns_);
    for (const auto* one : notifier_.choose(key, subscribers, stamp_ns_)) {
      bool dropped = false;
      if (deps_.may_notify && !deps_.may_notify(one->callback_url)) {
        deps_.metrics.rate_limit_hit("webhook", "queue_ready");
        dropped = true;
      } else {
        dropped = !notifier_.offer({.tenant = task->tenant,
                                    .subscription = one->id,
                                    .url = one->callback_url,
                                    .host = one->host,
                                    .task = task},
                                   stamp_ns_);
      }
      if (dropped)
        deps_.metrics.of_command(task->command).webhook(observe::Webhook::kQueueReady, observe::Delivery::kDropped);
    }
  }
  // One that has nothing to tell any more makes room for the next.
  for (auto ids = notifier_.start(stamp_ns_); !ids.empty(); ids = notifier_.start(stamp_ns_))
    for (const auto id : ids) start_notice(id);
}

void Partition::start_notice(std::uint64_t id) {
  const auto& notice = notifier_.notice(id);
  const auto& task = *notice.task;
  const auto* queue = state_.ready_queue(task.tenant, task.command);
  const auto* subscription = state_.subscriptions().find(notice.subscription);
  const bool wanted = subscription != nullptr && stamp_ns_ < subscription->expires_ns;
  if (queue == nullptr || !wanted || draining_) {  // it waited for its turn: nothing is there to tell any more, or nobody
    notifier_.finished(id);
    return;
  }
  const auto span = new_span_id();
  const auto notification = "ntf-" + random_text(deps_.rng);
  WebhookJob job;
  job.url = notice.url;
  job.body = body_of(task, queue->ready_count, stamp_ns_, notification);
  job.message_id = notification;
  auto context = task.trace.span;
  if (task.traced && deps_.tracer.enabled()) context.span_id = span;  // the headers carry the call's own span
  if (context.valid()) {
    job.traceparent = core::format_traceparent(context);
    job.tracestate = task.trace.tracestate;
  }
  job.baggage = task.trace.baggage;
  count_delivery(+1);  // a stop waits for it, as its span is in the headers already
  // As an answer of this round: it leaves after the commit of what it tells.
  answer([this, id, span, job = std::move(job)]() mutable {
    const auto start_ns = time_.now_ns();
    deps_.webhooks.send(std::move(job), [this, id, span, start_ns](WebhookOutcome outcome) {
      Error refusal{};
      enqueue(
          Kind::kReserved, 0,
          [this, id, span, start_ns, outcome] {
            notified(id, span, start_ns, outcome);
            count_delivery(-1);
          },
          refusal);
    });
  });
}

void Partition::notified(std::uint64_t id, core::SpanId span_id, std::int64_t start_ns, WebhookOutcome outcome) {
  const auto& notice = notifier_.notice(id);
  const auto& task = *notice.task;
  deps_.metrics.of_command(task.command)
      .webhook(observe::Webhook::kQueueReady, outcome.delivered() ? observe::Delivery::kSuccess : observe::Delivery::kFailure);
  const bool traced = task.traced && task.trace.span.sampled() && deps_.tracer.enabled();
  auto context = task.trace.span;
  context.span_id = span_id;
  count_attempt(observe::Webhook::kQueueReady, outcome, time_.now_ns() - start_ns, traced ? &context : nullptr);
  if (traced) {
    observe::Span span;
    span.context = {.trace_id = task.timeline_trace_id, .span_id = span_id, .flags = task.trace.span.flags};
    span.parent = task.create_span;
    span.tracestate = task.trace.tracestate;
    span.name = "codeq.webhook.queue_ready";
    span.kind = observe::SpanKind::kClient;
    span.scope = observe::Scope::kNotifier;
    span.start_ns = start_ns;
    span.end_ns = std::max(time_.now_ns(), start_ns);
    // No task id: the call is about the queue, and the task's own timeline does not tell it.
    span.set("codeq.command", std::string_view(task.command));
    span.set("codeq.tenant_id", std::string_view(task.tenant));
    span.set("codeq.subscription.id", std::string_view(notice.subscription));
    span.set("codeq.webhook.kind", "queue_ready");
    span.set("codeq.webhook.host", std::string_view(notice.host));
    span.set("codeq.webhook.attempt", std::int64_t{1});
    span.set("http.request.method", "POST");
    span.set("server.address", without_port(notice.host));
    if (outcome.http_status != 0) span.set("http.response.status_code", std::int64_t{outcome.http_status});
    if (!outcome.delivered()) {
      span.error = true;
      span.error_message = error_text(outcome);
      span.set("error.type", error_text(outcome));
    }
    deps_.tracer.record(span);
  }
  notifier_.finished(id);
}

}  // namespace codeq::services
