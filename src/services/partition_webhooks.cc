// The outbox's side of a partition: what is due becomes a job for the sender, what came of it becomes a record.
#include <spdlog/spdlog.h>

#include <utility>

#include "core/json_scan.h"
#include "core/rfc3339.h"
#include "services/partition.h"
#include "services/task_spans.h"

namespace codeq::services {
namespace {

core::WebhookError classify(const WebhookOutcome& outcome) {
  if (outcome.delivered()) return core::WebhookError::kNone;
  if (outcome.http_status != 0) return core::WebhookError::kStatus;
  if (outcome.error == "timeout") return core::WebhookError::kTimeout;
  if (outcome.error == "connect") return core::WebhookError::kConnect;
  if (outcome.error == "dns") return core::WebhookError::kDns;
  if (outcome.error == "tls") return core::WebhookError::kTls;
  if (outcome.error == "refused-address") return core::WebhookError::kRefusedAddress;
  if (outcome.error == "bad-url") return core::WebhookError::kBadUrl;
  return core::WebhookError::kIo;
}

// The reference's body (docs/webhooks.md): result, error and artifacts are always there.
std::string body_of(const core::TaskInfo& info, const core::TaskResult& result, int zone_offset_seconds) {
  std::string out = R"({"taskId":")" + info.id_text + R"(","eventType":)";
  core::append_json_string(out, info.command);
  out += result.status == core::Status::kCompleted ? R"(,"status":"COMPLETED","result":)"
                                                   : R"(,"status":"FAILED","result":)";
  out += result.result_json.empty() ? "null" : result.result_json;
  out += R"(,"error":)";
  core::append_json_string(out, result.error);
  out += R"(,"artifacts":)";
  if (result.artifacts.empty()) {
    out += "null";
  } else {
    out += '[';
    for (const auto& artifact : result.artifacts) {
      out += &artifact == result.artifacts.data() ? R"({"name":)" : R"(,{"name":)";
      core::append_json_string(out, artifact.name);
      out += R"(,"url":)";
      core::append_json_string(out, artifact.url);
      out += '}';
    }
    out += ']';
  }
  out += R"(,"completedAt":")";
  core::append_rfc3339_nanos(out, result.completed_ns, zone_offset_seconds);
  out += "\"}";
  return out;
}

}  // namespace

std::optional<WebhookJob> Partition::job_for(std::uint64_t id, core::SpanId span) {
  const auto* delivery = state_.delivery(id);
  if (delivery == nullptr) return std::nullopt;
  const auto* task = state_.task(delivery->sequence);
  if (task == nullptr) return std::nullopt;
  const auto& info = *task->info;
  const auto result = task->result;
  CHECK(result != nullptr);
  WebhookJob job;
  job.id = id;
  job.url = info.webhook;
  job.body = body_of(info, *result,
                     options_.zone_offset_seconds != nullptr ? options_.zone_offset_seconds(result->completed_ns) : 0);
  job.message_id = "msg_" + info.id_text;
  auto context = info.trace.span;
  if (info.traced && deps_.tracer.enabled()) context.span_id = span;  // the headers carry the attempt's own span
  if (context.valid()) job.traceparent = core::format_traceparent(context);
  if (context.valid()) job.tracestate = info.trace.tracestate;
  job.baggage = info.trace.baggage;
  return job;
}

void Partition::count_delivery(int change) {
  {
    const std::scoped_lock lock(mutex_);
    deliveries_under_way_ += change;
  }
  delivery_done_.notify_all();
}

bool Partition::wait_deliveries(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return delivery_done_.wait_for(lock, limit, [&] { return deliveries_under_way_ == 0; });
}

void Partition::start_deliveries() {
  if (draining_ || !outbox_.may_start(stamp_ns_)) return;
  for (const auto id : outbox_.start(stamp_ns_)) {
    count_delivery(+1);
    const auto* delivery = state_.delivery(id);
    with_tasks(delivery != nullptr ? std::vector{delivery->sequence} : std::vector<std::uint64_t>{},
               [this, id] { start_delivery(id); });
  }
}

void Partition::start_delivery(std::uint64_t id) {
    const auto span = new_span_id();
    auto job = job_for(id, span);
    if (!job) {
      outbox_.finished(id);
      count_delivery(-1);
      has_turn_.erase(id);
      return;
    }
    if (wait_for_turn(id, *job)) return;
    // As an answer of this round: it leaves after the commit of what it tells.
    answer([this, id, span, job = std::move(*job)]() mutable {
      const auto start_ns = time_.now_ns();
      deps_.webhooks.send(std::move(job), [this, id, span, start_ns](WebhookOutcome outcome) {
        Error refusal{};
        enqueue(
            Kind::kReserved, 0,
            [this, id, span, start_ns, outcome] {
              const auto* delivery = state_.delivery(id);
              with_tasks(delivery != nullptr ? std::vector{delivery->sequence} : std::vector<std::uint64_t>{},
                         [this, id, span, start_ns, outcome] { delivered(id, span, start_ns, outcome); });
            },
            refusal);
      });
    });
}

// A destination that is called too often is called later, which is no attempt. Each delivery reserves a turn of its own, so
// that thousands of them do not all come back at the same instant to ask again. Nothing of it is written down: after a
// restart they reserve anew.
bool Partition::wait_for_turn(std::uint64_t id, const WebhookJob& job) {
  if (deps_.rates == nullptr || has_turn_.erase(id) != 0) return false;
  const auto wait_ns = deps_.rates->reserve_ns(RateBucket::kWebhook, job.url);
  if (wait_ns == 0) return false;
  deps_.metrics.rate_limit_hit(rate_scope(RateBucket::kWebhook), "task_result");
  has_turn_.insert(id);
  outbox_.finished(id);
  outbox_.schedule(id, state_.delivery(id)->host, stamp_ns_ + wait_ns);
  count_delivery(-1);
  return true;
}

void Partition::delivered(std::uint64_t id, core::SpanId span, std::int64_t start_ns, WebhookOutcome outcome) {
  outbox_.finished(id);
  count_delivery(-1);
  const auto effects =
      change(core::WebhookRecord{.time_ns = stamp_ns_,
                                 .delivery_id = id,
                                 .start_ns = start_ns,
                                 .end_ns = stamp_ns_,
                                 .http_status = outcome.http_status,
                                 .error = classify(outcome),
                                 .span = span,
                                 .attempts_max = options_.webhook_attempts_max,
                                 .backoff_base_ns = options_.webhook_backoff_base_seconds * kNanosPerSecond,
                                 .backoff_max_ns = options_.webhook_backoff_max_seconds * kNanosPerSecond});
  if (!effects) return;
  auto context = effects->task->info->trace.span;
  context.span_id = span;
  count_attempt(observe::Webhook::kTaskResult, outcome, stamp_ns_ - start_ns, shown(*effects->task) ? &context : nullptr);
  // Once per task, not per attempt.
  const auto* delivery = state_.delivery(id);
  if (delivery != nullptr && delivery->failed)
    spdlog::warn(
        "webhook delivery {} of task {} failed for good after {} attempts ({}); it is kept and can be replayed", id,
        effects->task->info->id_text, delivery->attempts, webhook_error_text(delivery->last_error));
  if (delivery == nullptr || delivery->failed)
    figures(*effects->task)
        .webhook(observe::Webhook::kTaskResult, delivery == nullptr ? observe::Delivery::kSuccess : observe::Delivery::kFailure);
}

DeliverySnapshot Partition::snapshot(std::uint64_t id, const core::Delivery& delivery) {
  return {.id = id,
          .info = state_.task(delivery.sequence)->info,
          .state = delivery.failed ? DeliveryState::kFailed : DeliveryState::kPending,
          .attempts = delivery.attempts,
          .next_attempt_ns = delivery.failed ? 0 : delivery.due_ns,
          .last_http_status = delivery.last_http_status,
          .last_error = std::string(webhook_error_text(delivery.last_error))};
}

void Partition::list_deliveries(Caller caller, std::uint64_t after, std::size_t limit,
                                Done<std::vector<DeliverySnapshot>> done) {
  post<std::vector<DeliverySnapshot>>(
      Kind::kRead, 64, std::move(done), [this, caller = std::move(caller), after, limit](auto reply) mutable {
        auto ids = state_.deliveries_of(caller.tenant, after, limit);
        std::vector<std::uint64_t> needs;
        for (const auto id : ids) needs.push_back(state_.delivery(id)->sequence);
        with_tasks_for<std::vector<DeliverySnapshot>>(
            Kind::kRead, 64, std::move(needs), std::move(reply), [this, ids = std::move(ids)](auto then) mutable {
              std::vector<DeliverySnapshot> found;
              for (const auto id : ids)
                if (const auto* delivery = state_.delivery(id);
                    delivery != nullptr && state_.task(delivery->sequence) != nullptr)
                  found.push_back(snapshot(id, *delivery));
              answer([then = std::move(then), found = std::move(found)]() mutable { then(std::move(found)); });
            });
      });
}

void Partition::replay_delivery(Caller caller, std::uint64_t id, Done<DeliverySnapshot> done) {
  post<DeliverySnapshot>(Kind::kOwner, 64, std::move(done), [this, caller = std::move(caller), id](auto reply) mutable {
    const auto* delivery = state_.delivery(id);
    with_tasks_for<DeliverySnapshot>(
        Kind::kOwner, 64, delivery != nullptr ? std::vector{delivery->sequence} : std::vector<std::uint64_t>{}, std::move(reply),
        [this, tenant = std::move(caller.tenant), id](auto then) mutable {
          auto effects = change(core::ReplayRecord{.time_ns = stamp_ns_, .delivery_id = id, .tenant = tenant});
          Result<DeliverySnapshot> outcome;
          if (effects) oldest_pending_ = std::min(oldest_pending_, id);
          if (effects)
            outcome = snapshot(id, *state_.delivery(id));
          else
            outcome = std::unexpected<Error>(effects.error());
          answer([then = std::move(then), outcome = std::move(outcome)]() mutable { then(std::move(outcome)); });
        });
  });
}

}  // namespace codeq::services
