// A broker in one thread whose log and store forget at once: what is left is the work between a transport and the disk.
//
//   call -> inbox -> round (apply, record) -> committer (answers, spans) -> image (rows), each when `settle` says so
//
// Repeats  chance comes from a seed, the clock moves when `pass_ns` is called, no thread is started
// Tracing  `sample_ratio` < 0: off; else every new trace is kept with that chance, its spans encoded and queued as for OTLP
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "log/log.h"
#include "observe/metrics.h"
#include "observe/null_tracer.h"
#include "observe/otlp/encode.h"
#include "observe/otlp/options.h"
#include "observe/otlp/span_queue.h"
#include "observe/sampler.h"
#include "services/partition.h"
#include "services/webhook_sender.h"
#include "storage/store.h"

namespace codeq::stages {

// Durable at once, and gone.
class NowhereLog final : public log::Log {
 public:
  Result<void> replay(std::uint64_t, const Visit&) override { return {}; }
  Result<std::uint64_t> append(std::string_view records) override {
    bytes_ += records.size();
    return ++groups_;
  }
  void release(std::uint64_t) override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::uint64_t groups_ = 0, bytes_ = 0;
};

// Takes every row and has none.
class NowhereStore final : public storage::Store {
 public:
  Result<void> write(const storage::Position& position, const std::vector<core::Row>& rows) override {
    position_ = position;
    rows_ += rows.size();
    return {};
  }
  Result<void> flush() override { return {}; }
  Result<std::optional<std::string>> get(core::Table, std::string_view) const override { return std::nullopt; }
  Result<void> scan(core::Table, std::string_view, std::string_view, const Visit&) const override { return {}; }
  [[nodiscard]] storage::Position position() const override { return position_; }
  [[nodiscard]] storage::Position durable() const override { return position_; }
  [[nodiscard]] storage::StoreStats stats() const override { return {}; }
  [[nodiscard]] std::uint64_t rows() const { return rows_; }

 private:
  storage::Position position_;
  std::uint64_t rows_ = 0;
};

// What the exporter's `record` costs its caller; the collector is played by this thread and is never away.
class QueueTracer final : public observe::Tracer {
 public:
  explicit QueueTracer(double ratio)
      : options_(options(ratio)), queue_(options_), sampler_(options_.sampler), ratio_(ratio) {}
  [[nodiscard]] bool enabled() const override { return ratio_ >= 0; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext& parent, Rng& rng) const override {
    return observe::start_span(sampler_, parent, rng);
  }
  void record(const observe::Span& span) noexcept override {
    if (!span.context.sampled()) return;
    queue_.push(span.scope, observe::encode_span(span, scratch_));
    if (++queued_ % options_.batch_spans == 0) queue_.settle(queue_.take(), options_.batch_spans);
  }
  [[nodiscard]] observe::TracerStats stats() const override { return queue_.stats(); }

 private:
  static observe::TracingOptions options(double ratio) {
    observe::TracingOptions made;
    made.sampler = observe::Sampler(observe::Sampler::Kind::kParentBasedTraceIdRatio, ratio < 0 ? 0 : ratio);
    made.schedule_delay = std::chrono::hours(1);
    return made;
  }
  observe::TracingOptions options_;
  observe::SpanQueue queue_;
  observe::Sampler sampler_;
  double ratio_;
  std::string scratch_;
  std::uint64_t queued_ = 0;
};

struct NoWebhooks final : services::WebhookSender {
  void send(services::WebhookJob, std::move_only_function<void(services::WebhookOutcome)>) override { std::abort(); }
};

class QuietBroker {
 public:
  explicit QuietBroker(double sample_ratio = -1) : tracer_(sample_ratio), partition_(options(), deps()) {
    CHECK(partition_.start().has_value());
    settle();
  }

  services::Partition& partition() { return partition_; }
  [[nodiscard]] const NowhereLog& log() const { return log_; }
  [[nodiscard]] const NowhereStore& store() const { return store_; }
  [[nodiscard]] observe::TracerStats spans() const { return tracer_.stats(); }
  void pass_ns(std::int64_t ns) { clock_.advance_ns(ns); }
  void settle() {
    while (partition_.step() || partition_.step_committer() || partition_.step_reader() || partition_.step_image()) {}
  }
  // The store gets what has changed, and what need not be in memory leaves it.
  void cut() {
    pass_ns(kCutAfterNs);
    settle();
  }
  [[nodiscard]] services::Caller caller(std::string_view subject) {
    return {.tenant = "acme", .subject = std::string(subject), .request = {}, .received_steady_ns = clock_.steady_ns()};
  }

 private:
  static constexpr std::int64_t kCutAfterNs = 250 * kNanosPerMilli;
  static services::PartitionOptions options() {
    services::PartitionOptions made;
    made.threaded = false;
    made.cut_after_ns = kCutAfterNs;
    return made;
  }
  services::Partition::Deps deps() {
    return {.log = log_,
            .store = store_,
            .clock = clock_,
            .rng = rng_,
            .tracer = tracer_,
            .metrics = metrics_,
            .webhooks = webhooks_,
            .disk_low = {},
            .on_failure = [](const Error&) { std::abort(); }};
  }

  NowhereLog log_;
  NowhereStore store_;
  ManualClock clock_;
  SeededRng rng_{2026};
  QueueTracer tracer_;
  observe::Metrics metrics_;
  NoWebhooks webhooks_;
  services::Partition partition_;  // last: destroyed first
};

}  // namespace codeq::stages
