// The tracer that exports over OTLP/gRPC. Seen by `app` alone; the other rooms meet it as Tracer.
//
//   record -> encode (caller's thread) -> SpanQueue -> exporter thread -> gzip? -> gRPC -> collector
//
// Fails open: a collector that is away, slow or hanging costs spans, which are counted, and nothing else. A batch that
// fails for now is kept and tried again after retry_first, doubling up to retry_max; one warning per outage is logged.
//
// Threads  every method from any thread
// Cost     start and record of a span with ten attributes: about a microsecond, no allocation in steady state, no I/O;
//          the exporter thread spends as much again
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "observe/otlp/grpc_client.h"
#include "observe/otlp/options.h"
#include "observe/otlp/span_queue.h"
#include "observe/span.h"

namespace codeq::observe {

class OtlpTracer final : public Tracer {
 public:
  // Starts the exporter thread; needs no collector. Errors: kInternal  libcurl or the thread cannot be set up
  static Result<std::unique_ptr<OtlpTracer>> open(TracingOptions options);
  ~OtlpTracer() override;  // shutdown(0) where nobody asked for more
  OtlpTracer(const OtlpTracer&) = delete;
  OtlpTracer& operator=(const OtlpTracer&) = delete;

  [[nodiscard]] bool enabled() const override { return true; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext& parent, Rng& rng) const override;
  void record(const Span& span) noexcept override;
  [[nodiscard]] TracerStats stats() const override {
    auto stats = queue_.stats();
    stats.calls = calls_.read();
    return stats;
  }

  // Delivers what was recorded before, also out of a back-off; false: not all of it within `limit`.
  bool flush(std::chrono::milliseconds limit);
  // The last flush; then the thread has ended, never later than `limit`. Spans recorded from here on are dropped.
  void shutdown(std::chrono::milliseconds limit = std::chrono::seconds(5));

 private:
  OtlpTracer(TracingOptions options, std::unique_ptr<GrpcClient> client);
  void run();
  void deliver(SpanQueue::Batches batch);
  void note(const ExportAnswer& answer);

  const TracingOptions options_;
  const std::string resource_;
  SpanQueue queue_;
  std::unique_ptr<GrpcClient> client_;
  std::string request_;   // the exporter thread's
  Histogram<kCallBounds> calls_;  // the exporter thread adds
  bool outage_ = false;   // likewise: a warning was logged and no batch got through since
  bool rejecting_ = false;  // likewise: a partial success was logged and no clean one came since
  std::mutex shutdown_;   // joins once
  std::thread thread_;    // last: joined before anything it uses goes away
};

}  // namespace codeq::observe
