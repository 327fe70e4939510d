// Which traces are kept, and what context a new span gets.
//
// Source   OpenTelemetry specification 1.x, trace/sdk.md "Built-in samplers". TraceIdRatio follows the rule that the
//          Go, Java and JavaScript SDKs share, so that brokers and services at one ratio keep the same traces:
//              keep  <=>  (last 8 bytes of the trace id, big-endian) >> 1  <  ratio * 2^63
//          e.g. at 0.5 the id ending in 7fffffffffffffff is kept, the one ending in 8000000000000000 is not
// Threads  immutable after construction
#pragma once

#include <cstdint>

#include "base/rng.h"
#include "core/trace_context.h"

namespace codeq::observe {

class Sampler {
 public:
  enum class Kind : std::uint8_t {
    kAlwaysOn,
    kAlwaysOff,
    kTraceIdRatio,
    kParentBasedAlwaysOn,
    kParentBasedAlwaysOff,
    kParentBasedTraceIdRatio,
  };

  // `ratio` in [0, 1]; only the two ratio kinds look at it.
  Sampler() : Sampler(Kind::kParentBasedTraceIdRatio) {}
  explicit Sampler(Kind kind, double ratio = 1.0);

  [[nodiscard]] bool sample(const core::SpanContext& parent, const core::TraceId& trace_id) const;
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] double ratio() const { return ratio_; }

 private:
  Kind kind_;
  double ratio_;
  std::uint64_t below_;  // ratio * 2^63
};

// The context of a new span. Under a valid parent: its trace id and random bit. Otherwise a root: a random trace id,
// which the flag 0x02 (W3C Level 2) says. Allocates nothing.
core::SpanContext start_span(const Sampler& sampler, const core::SpanContext& parent, Rng& rng);

}  // namespace codeq::observe
