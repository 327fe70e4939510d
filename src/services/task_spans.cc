#include "services/task_spans.h"

#include "core/record.h"
#include "core/task.h"

namespace codeq::services {
namespace {

using core::EventKind;
using observe::Scope;
using observe::SpanKind;

// Attribute names and values of the messaging conventions: OpenTelemetry semantic conventions 1.27, messaging-spans.md.
void messaging(const core::TaskInfo& info, const char* name, const char* type, observe::Span& out) {
  out.set("messaging.system", "codeq");
  out.set("messaging.destination.name", std::string_view(info.command));
  out.set("messaging.operation.name", name);
  out.set("messaging.operation.type", type);
  out.set("messaging.message.id", std::string_view(info.id_text));
}

void common(const core::TaskInfo& info, observe::Span& out) {
  out.set("codeq.task_id", std::string_view(info.id_text));
  out.set("codeq.command", std::string_view(info.command));
  out.set("codeq.tenant_id", std::string_view(info.tenant));
}

void create_attributes(const core::TaskInfo& info, observe::Span& out) {
  out.name = "codeq.task.create";
  out.kind = SpanKind::kProducer;
  out.scope = Scope::kScheduler;
  common(info, out);
  out.set("codeq.priority", std::int64_t{info.priority});
  out.set("codeq.has_webhook", !info.webhook.empty());
  out.set("codeq.has_idempotency_key", !info.idempotency_key.empty());
  messaging(info, "create", "send", out);
}

std::string_view cause_text(std::uint8_t detail) {
  switch (static_cast<core::WaitCause>(detail)) {
    case core::WaitCause::kReady: return "ready";
    case core::WaitCause::kDelayed: return "delayed";
    case core::WaitCause::kBackoff: return "backoff";
    case core::WaitCause::kLeaseExpired: return "lease_expired";
  }
  return "unknown";
}

std::string_view outcome_text(std::uint8_t detail) {
  switch (static_cast<core::RunOutcome>(detail)) {
    case core::RunOutcome::kCompleted: return "completed";
    case core::RunOutcome::kFailed: return "failed";
    case core::RunOutcome::kNack: return "nack";
    case core::RunOutcome::kAbandoned: return "abandoned";
    case core::RunOutcome::kCancelled: return "cancelled";
  }
  return "unknown";
}

std::string_view place_text(std::uint8_t detail) {
  switch (static_cast<core::Place>(detail)) {
    case core::Place::kReady: return "ready";
    case core::Place::kDelayed: return "delayed";
    case core::Place::kLeased: return "leased";
    case core::Place::kDone:
    case core::Place::kDead: break;
  }
  return "unknown";
}

std::string_view host_without_port(std::string_view host) {
  const auto colon = host.rfind(':');
  return colon == std::string_view::npos || host.back() == ']' ? host : host.substr(0, colon);
}

void webhook_attributes(const core::TaskInfo& info, const core::Event& event, observe::Span& out) {
  out.name = "codeq.webhook.task_result";
  out.kind = SpanKind::kClient;
  out.scope = Scope::kResultCallback;
  common(info, out);
  out.set("codeq.webhook.kind", "task_result");
  out.set("codeq.webhook.host", std::string_view(info.webhook_host));
  out.set("codeq.webhook.attempt", std::int64_t{event.attempt});
  out.set("http.request.method", "POST");
  out.set("server.address", host_without_port(info.webhook_host));
  if (event.value != 0) out.set("http.response.status_code", event.value);
  if (const auto error = static_cast<core::WebhookError>(event.detail); error != core::WebhookError::kNone) {
    out.error = true;
    out.error_message = webhook_error_text(error);
    out.set("error.type", webhook_error_text(error));
  }
}

void attempt_attributes(const core::TaskInfo& info, const core::Event& event, observe::Span& out) {
  common(info, out);
  if (event.worker) out.set("codeq.worker_id", core::worker_id_of(*event.worker));
  out.set("codeq.attempt", std::int64_t{event.attempt});
}

void link_request(const core::Event& event, observe::Span& out) {
  if (event.request.valid()) out.link(event.request);
}

}  // namespace

std::string_view webhook_error_text(core::WebhookError error) {
  switch (error) {
    case core::WebhookError::kNone: return "";
    case core::WebhookError::kStatus: return "status";
    case core::WebhookError::kTimeout: return "timeout";
    case core::WebhookError::kConnect: return "connect";
    case core::WebhookError::kDns: return "dns";
    case core::WebhookError::kTls: return "tls";
    case core::WebhookError::kRefusedAddress: return "refused-address";
    case core::WebhookError::kBadUrl: return "bad-url";
    case core::WebhookError::kIo: return "io";
  }
  return "io";
}

void to_span(const core::TaskInfo& info, const core::Event& event, observe::Span& out) {
  out = {};
  out.context = {.trace_id = info.timeline_trace_id, .span_id = event.span, .flags = info.trace.span.flags};
  out.parent = event.parent;
  out.tracestate = info.trace.tracestate;
  out.start_ns = event.start_ns;
  out.end_ns = event.end_ns;
  switch (event.kind) {
    case EventKind::kCreate: create_attributes(info, out); break;
    case EventKind::kDelayed:
      out.name = "codeq.task.delayed";
      attempt_attributes(info, event, out);
      out.set("codeq.wait.cause", cause_text(event.detail));
      break;
    case EventKind::kQueued:
      out.name = "codeq.task.queued";
      attempt_attributes(info, event, out);
      out.set("codeq.wait.cause", cause_text(event.detail));
      break;
    case EventKind::kClaim:
      out.name = "codeq.task.claim";
      out.kind = SpanKind::kConsumer;
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.set("codeq.lease_seconds", event.value);
      messaging(info, "claim", "receive", out);
      link_request(event, out);
      if (event.previous_claim.valid())
        out.link({.trace_id = info.timeline_trace_id, .span_id = event.previous_claim, .flags = info.trace.span.flags});
      break;
    case EventKind::kRun:
      out.name = "codeq.task.run";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.set("codeq.run.outcome", outcome_text(event.detail));
      break;
    case EventKind::kHeartbeat:
      out.name = "codeq.task.heartbeat";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.set("codeq.extend_seconds", event.value);
      link_request(event, out);
      break;
    case EventKind::kAbandon:
      out.name = "codeq.task.abandon";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      messaging(info, "abandon", "settle", out);
      link_request(event, out);
      break;
    case EventKind::kNack:
      out.name = "codeq.task.nack";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.set("codeq.delay_seconds", event.value);
      messaging(info, "nack", "settle", out);
      link_request(event, out);
      break;
    case EventKind::kSubmitResult:
      out.name = "codeq.task.submit_result";
      out.scope = Scope::kResults;
      attempt_attributes(info, event, out);
      out.set("codeq.submit.status",
              static_cast<core::Status>(event.detail) == core::Status::kCompleted ? "COMPLETED" : "FAILED");
      messaging(info, "result", "settle", out);
      link_request(event, out);
      break;
    case EventKind::kLeaseExpired:
      out.name = "codeq.task.lease_expired";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.error = true;
      out.error_message = "lease_expired";
      out.set("error.type", "lease_expired");
      break;
    case EventKind::kDeadLetter:
      out.name = "codeq.task.dead_letter";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.error = true;
      out.error_message = event.detail == 2 ? "lease_expired" : "max_attempts";
      out.set("error.type", event.detail == 2 ? "lease_expired" : "max_attempts");
      messaging(info, "dead_letter", "settle", out);
      break;
    case EventKind::kWebhook: webhook_attributes(info, event, out); break;
    case EventKind::kCancel:
      out.name = "codeq.task.cancel";
      out.scope = Scope::kRepository;
      attempt_attributes(info, event, out);
      out.set("codeq.cancel.from", place_text(event.detail));
      messaging(info, "cancel", "settle", out);
      link_request(event, out);
      break;
    case EventKind::kRedrive:
      out.name = "codeq.task.redrive";
      out.scope = Scope::kRepository;
      common(info, out);
      out.set("codeq.delay_seconds", event.value);
      link_request(event, out);
      break;
  }
}

void to_replay_span(const core::TaskInfo& info, const core::SpanContext& context, core::SpanId parent,
                    std::string_view tracestate, std::int64_t start_ns, std::int64_t end_ns, observe::Span& out) {
  out = {};
  out.context = context;
  out.parent = parent;
  out.tracestate = tracestate;
  out.start_ns = start_ns;
  out.end_ns = end_ns;
  create_attributes(info, out);
  out.set("codeq.idempotent_replay", true);
  out.link({.trace_id = info.timeline_trace_id, .span_id = info.create_span, .flags = info.trace.span.flags});
}

}  // namespace codeq::services
