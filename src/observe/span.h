// One finished span, borrowed for the call that records it, and the interface that takes it.
//
// Source   OpenTelemetry specification 1.x, trace/api.md and trace/sdk.md; OTLP 1.x trace.proto
// Threads  Tracer::record from any thread; it never blocks on I/O and allocates nothing in steady state
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "base/figures.h"
#include "base/rng.h"
#include "core/trace_context.h"

namespace codeq::observe {

enum class Scope : std::uint8_t {
  kScheduler,
  kRepository,
  kResults,
  kNotifier,
  kResultCallback,
  kHttp
};  // codeq/<name>
inline constexpr std::array<std::string_view, 6> kScopeNames = {
    "codeq/scheduler", "codeq/repository", "codeq/results", "codeq/notifier", "codeq/result_callback", "codeq/http"};
enum class SpanKind : std::uint8_t {
  kInternal = 1,
  kServer = 2,
  kClient = 3,
  kProducer = 4,
  kConsumer = 5
};  // OTLP values

struct Attribute {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, bool> value;
};

struct Span {
  core::SpanContext context;
  core::SpanId parent;                 // invalid: a root
  bool parent_is_remote = false;       // OTLP flags bits 8 and 9
  std::string_view tracestate;
  std::string_view name;
  SpanKind kind = SpanKind::kInternal;
  Scope scope = Scope::kScheduler;
  std::int64_t start_ns = 0;           // since the epoch
  std::int64_t end_ns = 0;
  bool error = false;
  std::string_view error_message;      // no free-form reasons

  void set(std::string_view key, std::string_view value) { add({key, value}); }
  void set(std::string_view key, const char* value) { add({key, std::string_view(value)}); }
  void set(std::string_view key, std::int64_t value) { add({key, value}); }
  void set(std::string_view key, bool value) { add({key, value}); }
  void link(const core::SpanContext& to) {
    CHECK(link_count < links.size());
    links[link_count++] = to;
  }

  std::array<Attribute, 24> attributes{};
  std::uint32_t attribute_count = 0;
  std::array<core::SpanContext, 4> links{};
  std::uint32_t link_count = 0;

 private:
  void add(Attribute attribute) {
    CHECK(attribute_count < attributes.size());
    attributes[attribute_count++] = attribute;
  }
};

struct TracerStats {
  std::uint64_t recorded = 0, exported = 0, dropped = 0;
  std::uint64_t queued = 0;  // not settled yet
  HistogramCounts calls{};   // of the collector, in nanoseconds; empty: none is ever made
};

class Tracer {
 public:
  virtual ~Tracer() = default;
  // False: tracing is off; no span ids are made up and a received context flows through as it is.
  [[nodiscard]] virtual bool enabled() const = 0;
  // The context of a new span under `parent` (invalid: a root, whose sampled flag the sampler decides).
  [[nodiscard]] virtual core::SpanContext start(const core::SpanContext& parent, Rng& rng) const = 0;
  // Queues the span for export if its context is sampled; a full queue drops and counts it.
  virtual void record(const Span& span) noexcept = 0;
  [[nodiscard]] virtual TracerStats stats() const = 0;
};

}  // namespace codeq::observe
