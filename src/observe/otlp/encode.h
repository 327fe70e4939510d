// Spans as OTLP bytes, written straight from the borrowed span. Byte tables in docs/formats/otlp.md.
//
// Source   opentelemetry-proto v1: trace/v1/trace.proto, collector/trace/v1/trace_service.proto
// Cost     encode_span well under a microsecond; allocates only while `scratch` still grows
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "observe/otlp/options.h"
#include "observe/span.h"

namespace codeq::observe {

inline constexpr std::size_t kSpanTextBytesMax = 4096;         // a longer name, key or value is cut there
inline constexpr std::size_t kSpanTracestateBytesMax = 16384;  // a longer tracestate is left out, it cannot be cut

using ScopeBodies = std::array<std::string, kScopeNames.size()>;

// The span as one element of ScopeSpans.spans (tag, length, message), valid until `scratch` is next used.
// protobuf strings are UTF-8, and one that is not can cost the whole batch: stray bytes become '?'.
std::string_view encode_span(const Span& span, std::string& scratch);

// The Resource message of these options.
std::string encode_resource(const TracingOptions& options);

// `out` becomes an ExportTraceServiceRequest: one resource, the scopes that have spans. Keeps out's capacity.
void encode_request(std::string_view resource, const ScopeBodies& bodies, std::string& out);

}  // namespace codeq::observe
