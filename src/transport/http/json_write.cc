#include "transport/http/json_write.h"

#include <array>
#include <charconv>

#include "base/hex.h"
#include "core/json_pen.h"
#include "core/json_scan.h"
#include "core/rfc3339.h"
#include "services/task_spans.h"
#include "transport/wire_status.h"

namespace codeq::transport::http {

namespace {

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

void put_traceparent(core::JsonPen& pen, const core::SpanContext& context) {
  pen.raw('"');
  pen.wrote(core::write_traceparent(context, pen.room(core::kTraceparentBytes)));
  pen.raw('"');
}

void put_time(core::JsonPen& pen, std::int64_t ns, const ZoneOffset& zone) {
  pen.raw('"');
  pen.wrote(core::write_rfc3339_nanos(pen.room(core::kRfc3339BytesMax), ns, zone ? zone(ns) : 0));
  pen.raw('"');
}

constexpr std::size_t kHexBytes = 16;

std::array<std::uint8_t, 8> big_endian(std::uint64_t value) {
  std::array<std::uint8_t, 8> bytes;
  for (std::size_t i = bytes.size(); i-- > 0; value >>= 8U) bytes[i] = static_cast<std::uint8_t>(value);
  return bytes;
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
    append_value(out, span.attributes[i].value);
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

void append_value(std::string& out, const decltype(observe::Attribute::value)& value) { std::visit(AttributeWriter{out}, value); }

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

void append_time(std::string& out, std::int64_t ns, const ZoneOffset& zone) {
  out += '"';
  core::append_rfc3339_nanos(out, ns, zone ? zone(ns) : 0);
  out += '"';
}

void append_hex(std::string& out, std::uint64_t value) {
  std::array<char, kHexBytes> text;
  out.append(text.data(), write_hex(big_endian(value), text.data()));
}

// Written piece by piece into the pen: a claim answers with many of these.
void append_task(std::string& out, const services::TaskSnapshot& task, const ZoneOffset& zone, bool for_worker) {
  const auto& info = *task.info;
  core::JsonPen pen(out);
  pen.raw(R"({"id":)");
  pen.quoted(info.id_text);
  pen.raw(R"(,"command":)");
  pen.quoted(info.command);
  if (task.payload) {
    pen.raw(R"(,"payload":)");
    pen.quoted(*task.payload);
  }
  if (info.priority != 0) {
    pen.raw(R"(,"priority":)");
    pen.number(info.priority);
  }
  if (!info.webhook.empty()) {
    pen.raw(R"(,"webhook":)");
    pen.quoted(info.webhook);
  }
  if (task.context.valid()) {
    pen.raw(R"(,"traceParent":)");
    put_traceparent(pen, task.context);
    if (!info.trace.tracestate.empty()) {
      pen.raw(R"(,"traceState":)");
      pen.quoted(info.trace.tracestate);
    }
  }
  pen.raw(R"(,"status":")");
  pen.raw(status_text(task.status));
  pen.raw(R"(","lastKnownLocation":")");
  pen.raw(place_text(task.place));
  pen.raw('"');
  if (task.worker) {
    if (const auto worker = core::worker_id_of(*task.worker); !worker.empty()) {
      pen.raw(R"(,"workerId":)");
      pen.quoted(worker);
    }
    // Whole seconds, rounded down: a worker must not believe in more time than it has.
    pen.raw(R"(,"leaseUntil":")");
    pen.wrote(core::write_rfc3339_seconds(pen.room(core::kRfc3339BytesMax), task.lease_until_ns));
    pen.raw('"');
  }
  if (task.attempts != 0) {
    pen.raw(R"(,"attempts":)");
    pen.number(task.attempts);
  }
  if (info.max_attempts != 0) {
    pen.raw(R"(,"maxAttempts":)");
    pen.number(info.max_attempts);
  }
  if (!task.error.empty()) {
    pen.raw(R"(,"error":)");
    pen.quoted(task.error);
  }
  if (task.has_result) pen.raw(R"(,"resultKey":"codeq:results")");
  if (!info.tenant.empty()) {
    pen.raw(R"(,"tenantId":)");
    pen.quoted(info.tenant);
  }
  pen.raw(R"(,"createdAt":)");
  put_time(pen, info.created_ns, zone);
  pen.raw(R"(,"updatedAt":)");
  put_time(pen, task.updated_ns, zone);
  if (info.trace.span.valid()) {
    pen.raw(R"(,"originTraceParent":)");
    put_traceparent(pen, info.trace.span);
  }
  if (for_worker) {
    pen.raw(R"(,"leaseToken":")");
    pen.wrote(write_hex(big_endian(task.lease_token), pen.room(kHexBytes)));
    pen.raw('"');
    if (!info.trace.baggage.empty()) {
      pen.raw(R"(,"baggage":)");
      pen.quoted(info.trace.baggage);
    }
  }
  pen.raw('}');
}

void append_result(std::string& out, const services::ResultSnapshot& snapshot, const ZoneOffset& zone) {
  const auto& result = *snapshot.result;
  core::JsonPen pen(out);
  pen.raw(R"({"taskId":")");
  pen.raw(core::to_string(snapshot.task));
  pen.raw(R"(","status":")");
  pen.raw(status_text(result.status));
  pen.raw('"');
  if (!result.result_json.empty() && !is_empty_object(result.result_json)) {
    pen.raw(R"(,"result":)");
    pen.raw(std::string_view(result.result_json));
  }
  if (!result.error.empty()) {
    pen.raw(R"(,"error":)");
    pen.quoted(result.error);
  }
  if (!result.artifacts.empty()) {
    pen.raw(R"(,"artifacts":)");
    pen.flush();
    append_artifacts(out, result.artifacts);
  }
  pen.raw(R"(,"completedAt":)");
  put_time(pen, result.completed_ns, zone);
  pen.raw('}');
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
