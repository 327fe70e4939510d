// Tracing is off: no ids are made up, nothing is kept.
#pragma once

#include "observe/span.h"

namespace codeq::observe {

class NullTracer final : public Tracer {
 public:
  [[nodiscard]] bool enabled() const override { return false; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext&, Rng&) const override { return {}; }
  void record(const Span&) noexcept override {}
  [[nodiscard]] TracerStats stats() const override { return {}; }
};

}  // namespace codeq::observe
