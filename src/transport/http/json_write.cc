#include "transport/http/json_write.h"

#include <array>
#include <charconv>

#include "core/json_scan.h"
#include "core/rfc3339.h"
#include "services/task_spans.h"
#include "transport/wire_status.h"

namespace codeq::transport::http {

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string_view status_text(core::Status status) {
  switch (status) {
    case core::Status::kPending: return "PENDING";
    case core::Status::kInProgress: return "IN_PROGRESS";
    case core::Status::kCompleted: return "COMPLETED";
    case core::Status::kFailed: return "FAILED";
  }
  return "";
}

std::string_view place_text(core::Place place) {
  switch (place) {
    case core::Place::kReady: return "PENDING_LIST";
    case core::Place::kDelayed: return "DELAYED_ZSET";
    case core::Place::kLeased: return "INPROG_SET";
    case core::Place::kDone: return "NONE";
    case core::Place::kDead: return "DLQ_SET";
  }
  return "";
}

std::string_view kind_text(observe::SpanKind kind) {
  switch (kind) {
    case observe::SpanKind::kInternal: return "INTERNAL";
    case observe::SpanKind::kServer: return "SERVER";
    case observe::SpanKind::kClient: return "CLIENT";
    case observe::SpanKind::kProducer: return "PRODUCER";
    case observe::SpanKind::kConsumer: return "CONSUMER";
  }
  return "";
}

void append_key(std::string& out, std::string_view key) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
}

void append_member(std::string& out, std::string_view key, std::string_view text) {
  append_key(out, key);
  core::append_json_string(out, text);
}

void append_member_unless_empty(std::string& out, std::string_view key, std::string_view text) {
  if (!text.empty()) append_member(out, key, text);
}

void append_member(std::string& out, std::string_view key, std::int64_t number) {
  append_key(out, key);
  append_number(out, number);
}

void append_time_member(std::string& out, std::string_view key, std::int64_t ns, const ZoneOffset& zone) {
  append_key(out, key);
  append_time(out, ns, zone);
}

void append_traceparent_member(std::string& out, std::string_view key, const core::SpanContext& context) {
  append_key(out, key);
  out += '"';
  core::append_traceparent(context, out);
  out += '"';
}

// "{}" however it was spaced: the reference leaves an empty result out.
bool is_empty_object(std::string_view json) {
  return json.size() >= 2 && json.front() == '{' && json.find_first_not_of(" \t\r\n", 1) == json.size() - 1;
}

void append_artifacts(std::string& out, const std::vector<core::Artifact>& artifacts) {
  out += '[';
  for (const auto& artifact : artifacts) {
    out += out.back() == '[' ? "{" : ",{";
    append_member(out, "name", artifact.name);
    append_member(out, "url", artifact.url);
    out += '}';
  }
  out += ']';
}

struct AttributeWriter {
  std::string& out;
  void operator()(std::string_view text) const { core::append_json_string(out, text); }
  void operator()(std::int64_t number) const { append_number(out, number); }
  void operator()(bool yes) const { out += yes ? "true" : "false"; }
};

void append_span(std::string& out, const observe::Span& span, const ZoneOffset& zone) {
  out += '{';
  append_member(out, "name", span.name);
  append_member(out, "kind", kind_text(span.kind));
  append_member(out, "spanId", core::to_hex(span.context.span_id));
  if (span.parent.valid()) append_member(out, "parentSpanId", core::to_hex(span.parent));
  append_time_member(out, "startTime", span.start_ns, zone);
  append_time_member(out, "endTime", span.end_ns, zone);
  append_member(out, "startUnixNano", std::to_string(span.start_ns));
  append_member(out, "endUnixNano", std::to_string(span.end_ns));
  append_key(out, "durationMs");
  std::array<char, 32> text{};
  const auto micros = (span.end_ns - span.start_ns) / 1000;
  out.append(text.data(),
             std::to_chars(text.data(), text.data() + text.size(), static_cast<double>(micros) / 1000.0).ptr);
  append_member(out, "status", span.error ? "ERROR" : "UNSET");
  append_key(out, "attributes");
  out += '{';
  for (std::uint32_t i = 0; i < span.attribute_count; ++i) {
    append_key(out, span.attributes[i].key);
    std::visit(AttributeWriter{out}, span.attributes[i].value);
  }
  out += '}';
  append_key(out, "links");
  out += '[';
  for (std::uint32_t i = 0; i < span.link_count; ++i) {
    out += i == 0 ? "{" : ",{";
    append_member(out, "traceId", core::to_hex(span.links[i].trace_id));
    append_member(out, "spanId", core::to_hex(span.links[i].span_id));
    out += '}';
  }
  out += "]}";
}

}  // namespace

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

void append_time(std::string& out, std::int64_t ns, const ZoneOffset& zone) {
  out += '"';
  core::append_rfc3339_nanos(out, ns, zone ? zone(ns) : 0);
  out += '"';
}

std::string lease_token_text(std::uint64_t token) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; token >>= 4U) text[i] = kHexDigits[token & 15U];
  return text;
}

void append_task(std::string& out, const services::TaskSnapshot& task, const ZoneOffset& zone, bool for_worker) {
  const auto& info = *task.info;
  out += '{';
  append_member(out, "id", info.id_text);
  append_member(out, "command", info.command);
  if (task.payload) append_member(out, "payload", *task.payload);
  if (info.priority != 0) append_member(out, "priority", info.priority);
  append_member_unless_empty(out, "webhook", info.webhook);
  if (task.context.valid()) {
    append_traceparent_member(out, "traceParent", task.context);
    append_member_unless_empty(out, "traceState", info.trace.tracestate);
  }
  append_member(out, "status", status_text(task.status));
  append_member(out, "lastKnownLocation", place_text(task.place));
  if (task.worker) {
    append_member_unless_empty(out, "workerId", core::worker_id_of(*task.worker));
    append_key(out, "leaseUntil");
    // Whole seconds, rounded down: a worker must not believe in more time than it has.
    out += '"';
    core::append_rfc3339_seconds(out, task.lease_until_ns);
    out += '"';
  }
  if (task.attempts != 0) append_member(out, "attempts", task.attempts);
  if (info.max_attempts != 0) append_member(out, "maxAttempts", info.max_attempts);
  append_member_unless_empty(out, "error", task.error);
  if (task.has_result) append_member(out, "resultKey", "codeq:results");
  append_member_unless_empty(out, "tenantId", info.tenant);
  append_time_member(out, "createdAt", info.created_ns, zone);
  append_time_member(out, "updatedAt", task.updated_ns, zone);
  if (info.trace.span.valid()) append_traceparent_member(out, "originTraceParent", info.trace.span);
  if (for_worker) {
    append_member(out, "leaseToken", lease_token_text(task.lease_token));
    append_member_unless_empty(out, "baggage", info.trace.baggage);
  }
  out += '}';
}

void append_result(std::string& out, const services::ResultSnapshot& snapshot, const ZoneOffset& zone) {
  const auto& result = *snapshot.result;
  out += '{';
  append_member(out, "taskId", core::to_string(snapshot.task));
  append_member(out, "status", status_text(result.status));
  if (!result.result_json.empty() && !is_empty_object(result.result_json)) {
    append_key(out, "result");
    out += result.result_json;
  }
  append_member_unless_empty(out, "error", result.error);
  if (!result.artifacts.empty()) {
    append_key(out, "artifacts");
    append_artifacts(out, result.artifacts);
  }
  append_time_member(out, "completedAt", result.completed_ns, zone);
  out += '}';
}

void append_delivery(std::string& out, const services::DeliverySnapshot& delivery, const ZoneOffset& zone) {
  out += '{';
  append_member(out, "id", std::to_string(delivery.id));
  append_member(out, "taskId", delivery.info->id_text);
  append_member(out, "command", delivery.info->command);
  append_member_unless_empty(out, "host", delivery.info->webhook_host);
  append_member(out, "status", delivery.state == services::DeliveryState::kPending ? "PENDING" : "FAILED");
  append_member(out, "attempts", delivery.attempts);
  if (delivery.next_attempt_ns != 0) append_time_member(out, "nextAttemptAt", delivery.next_attempt_ns, zone);
  if (delivery.last_http_status != 0) append_member(out, "lastHttpStatus", delivery.last_http_status);
  append_member_unless_empty(out, "lastError", delivery.last_error);
  out += '}';
}

void append_timeline(std::string& out, const services::TimelineSnapshot& timeline, const ZoneOffset& zone) {
  const auto& info = *timeline.task.info;
  out += '{';
  append_member(out, "taskId", info.id_text);
  append_member(out, "traceId", core::to_hex(info.timeline_trace_id));
  append_member(out, "status", status_text(timeline.task.status));
  append_key(out, "spans");
  out += '[';
  for (const auto& event : timeline.events) {
    observe::Span span;
    services::to_span(info, event, span);
    if (span.end_ns == 0) span.end_ns = timeline.now_ns;  // its commit is under way
    if (out.back() != '[') out += ',';
    append_span(out, span, zone);
  }
  out += ']';
  append_member(out, "eventsDropped", timeline.events_dropped);
  out += '}';
}

void append_error(std::string& out, const Error& error, const core::TraceId& trace) {
  out += '{';
  append_member(out, "error", error.message);
  append_member(out, "code", wire_status(error.code).slug);
  if (trace.valid()) append_member(out, "traceId", core::to_hex(trace));
  out += '}';
}

}  // namespace codeq::transport::http
