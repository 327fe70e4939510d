// The twin of the OTLP tracer that keeps its spans, for tests.
// Threads  any thread
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "observe/sampler.h"
#include "observe/span.h"

namespace codeq::observe {

struct OwnedSpan {
  core::SpanContext context;
  core::SpanId parent;
  bool parent_is_remote = false;
  std::string tracestate;
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  Scope scope = Scope::kScheduler;
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  bool error = false;
  std::string error_message;
  std::map<std::string, std::variant<std::string, std::int64_t, bool>> attributes;
  std::vector<core::SpanContext> links;

  // The attribute as text ("" where it is not set): 3, true, COMPLETED.
  [[nodiscard]] std::string attribute(const std::string& key) const;
};

class MemoryTracer final : public Tracer {
 public:
  explicit MemoryTracer(Sampler sampler = Sampler()) : sampler_(sampler) {}

  [[nodiscard]] bool enabled() const override { return true; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext& parent, Rng& rng) const override {
    return start_span(sampler_, parent, rng);
  }
  void record(const Span& span) noexcept override;
  [[nodiscard]] TracerStats stats() const override;

  // A copy, in the order of recording.
  [[nodiscard]] std::vector<OwnedSpan> spans() const;
  void clear();

 private:
  const Sampler sampler_;
  mutable std::mutex mutex_;
  std::vector<OwnedSpan> spans_;
  std::uint64_t recorded_ = 0;
};

}  // namespace codeq::observe
