// A task's spans in the formats of other programs.
//
// Source   OTLP 1.x, JSON encoding of ExportTraceServiceRequest (ids in hex, enums as numbers, 64-bit numbers as text): what any
//          collector takes on /v1/traces. Trace Event Format, JSON object form: what ui.perfetto.dev and chrome://tracing open
// Shape    appends to `out`; the spans are those of append_timeline, with the same ids
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "services/broker.h"

namespace codeq::transport::http {

enum class TraceFormat : std::uint8_t { kJson, kOtlp, kPerfetto };

std::optional<TraceFormat> trace_format(std::string_view name);  // json, otlp, perfetto

void append_otlp(std::string& out, const services::TimelineSnapshot& timeline);
// Times are microseconds since the first span's start, which is in `otherData`. Spans that overlap without one holding the other
// stand on different lines.
void append_perfetto(std::string& out, const services::TimelineSnapshot& timeline);

}  // namespace codeq::transport::http
