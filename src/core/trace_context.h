// W3C Trace Context Level 2 and Baggage: parse, validate, format. Nothing else knows these formats.
//
// Source   https://www.w3.org/TR/trace-context-2/ sections 3.2 and 3.3; https://www.w3.org/TR/baggage/ section 3
// Errors   an illegal traceparent (or two of them) means "no context": the trace restarts and tracestate is dropped;
//          an illegal tracestate is dropped alone; an illegal baggage is dropped alone
// Cost     parse_traceparent and format_traceparent allocate nothing
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace codeq::core {

struct TraceId {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const TraceId&) const = default;
  [[nodiscard]] bool valid() const {
    const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
    return (halves[0] | halves[1]) != 0;
  }
};
struct SpanId {
  std::array<std::uint8_t, 8> bytes{};
  bool operator==(const SpanId&) const = default;
  [[nodiscard]] bool valid() const { return std::bit_cast<std::uint64_t>(bytes) != 0; }
};

inline constexpr std::uint8_t kFlagSampled = 0x01;
inline constexpr std::uint8_t kFlagRandomTraceId = 0x02;

struct SpanContext {
  TraceId trace_id;
  SpanId span_id;
  std::uint8_t flags = 0;  // only kFlagSampled and kFlagRandomTraceId are ever set
  bool operator==(const SpanContext&) const = default;
  [[nodiscard]] bool valid() const { return trace_id.valid() && span_id.valid(); }
  [[nodiscard]] bool sampled() const { return (flags & kFlagSampled) != 0; }
};

// What travels with a request or a task.
struct TraceContext {
  SpanContext span;         // invalid: no context came in
  std::string tracestate;   // byte-exact as received; several header lines joined by ','
  std::string baggage;      // likewise; at most kBaggageBytesMax
};

inline constexpr std::size_t kTracestateMembersMax = 32;   // W3C 3.3.1.1
inline constexpr std::size_t kTracestateBytesMax = 8192;   // ours; W3C asks for at least 512 to be propagated
inline constexpr std::size_t kBaggageBytesMax = 8192;      // W3C Baggage 3.3.2
inline constexpr std::size_t kBaggageMembersMax = 180;     // the limit of earlier drafts, kept as a bound

std::optional<SpanContext> parse_traceparent(std::string_view text);
// "00-<trace id>-<span id>-<flags>", 55 bytes.
std::string format_traceparent(const SpanContext& context);
void append_traceparent(const SpanContext& context, std::string& out);
inline constexpr std::size_t kTraceparentBytes = 55;
char* write_traceparent(const SpanContext& context, char* out);  // kTraceparentBytes; returns the end

std::string to_hex(const TraceId& id);
std::string to_hex(const SpanId& id);
std::optional<TraceId> parse_trace_id(std::string_view hex);  // 32 lower-case hex digits, not all zero
std::optional<SpanId> parse_span_id(std::string_view hex);    // 16 lower-case hex digits, not all zero

// True for a legal list-member list (key and value grammar of 3.3.1, at most 32 members, no duplicate keys).
bool valid_tracestate(std::string_view list);
bool valid_baggage(std::string_view list);

// Header lines as they came, in order; `extract` applies all the rules above to them.
struct TraceHeaders {
  std::span<const std::string_view> traceparent;
  std::span<const std::string_view> tracestate;
  std::span<const std::string_view> baggage;
};
TraceContext extract(const TraceHeaders& headers);

}  // namespace codeq::core
