#include "observe/otlp/exporter.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include "base/thread_name.h"
#include "observe/otlp/encode.h"

namespace codeq::observe {
namespace {
using Clock = std::chrono::steady_clock;

// Half to all of the back-off, so that many brokers do not meet a returning collector in step.
std::chrono::nanoseconds jittered(std::chrono::nanoseconds backoff, Rng& rng) {
  const auto half = backoff.count() / 2;
  return std::chrono::nanoseconds(half + static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(half + 1)));
}
}  // namespace

Result<std::unique_ptr<OtlpTracer>> OtlpTracer::open(TracingOptions options) {
  CODEQ_TRY(auto client, GrpcClient::open(options));
  auto tracer = std::unique_ptr<OtlpTracer>(new OtlpTracer(std::move(options), std::move(client)));
  // Signals are for the main thread; a new thread inherits the mask of its maker.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    tracer->thread_ = std::thread([&self = *tracer] {
      name_thread("spans");
      self.run();
    });
  } catch (const std::system_error&) { tracer.reset(); }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!tracer) return fail(Code::kInternal, "no thread for the span exporter");
  return tracer;
}

OtlpTracer::OtlpTracer(TracingOptions options, std::unique_ptr<GrpcClient> client)
    : options_(std::move(options)),
      resource_(encode_resource(options_)),
      queue_(options_),
      client_(std::move(client)) {}

OtlpTracer::~OtlpTracer() { shutdown(std::chrono::milliseconds(0)); }

core::SpanContext OtlpTracer::start(const core::SpanContext& parent, Rng& rng) const {
  return start_span(options_.sampler, parent, rng);
}

void OtlpTracer::record(const Span& span) noexcept {
  if (!span.context.sampled()) return;
  try {
    thread_local std::string scratch;  // grows to the longest span of its thread and stays
    queue_.push(span.scope, encode_span(span, scratch));
  } catch (const std::exception&) {  // no memory for the scratch
    queue_.count_dropped();
  }
}

bool OtlpTracer::flush(std::chrono::milliseconds limit) { return queue_.flush(Clock::now() + limit); }

void OtlpTracer::shutdown(std::chrono::milliseconds limit) {
  const std::scoped_lock lock(shutdown_);
  if (!thread_.joinable()) return;
  const auto deadline = Clock::now() + limit;
  queue_.close(deadline);
  client_->cancel_at(deadline);
  thread_.join();
  const TracerStats end = stats();
  if (end.dropped > 0) spdlog::warn("tracing: {} of {} spans were not delivered", end.dropped, end.recorded);
}

void OtlpTracer::run() {
  for (;;) {
    SpanQueue::Batches batch;
    try {
      batch = queue_.take();
      if (batch.empty()) break;
      deliver(std::move(batch));
    } catch (const std::exception& error) {  // no memory: what deliver held is settled by now
      spdlog::warn("tracing: spans dropped: {}", error.what());
    }
  }
  queue_.drop_rest();
}

void OtlpTracer::deliver(SpanQueue::Batches batch) {
  const std::size_t spans = batch.front().spans;
  std::size_t exported = 0;
  try {
    encode_request(resource_, batch.front().bodies, request_);
    SystemRng rng;
    for (auto backoff = options_.retry_first; !queue_.closed_at(Clock::now());) {
      const auto started = Clock::now();
      const ExportAnswer answer = client_->call(request_);
      calls_.add_alone(std::chrono::nanoseconds(Clock::now() - started).count());
      note(answer);
      if (answer.outcome == ExportAnswer::Outcome::kDelivered) {
        exported = spans - std::min<std::uint64_t>(spans, answer.rejected_spans);
      }
      if (answer.outcome != ExportAnswer::Outcome::kRetry) break;
      // Counted from the start of the attempt: one that took its whole timeout has waited enough. A tenth remains so
      // that a collector which fails slowly is not called without a breath.
      const auto wait = jittered(backoff, rng);
      const bool hurry = queue_.pause(std::max(started + wait, Clock::now() + wait / 10));
      backoff = hurry ? options_.retry_first : std::min(2 * backoff, options_.retry_max);
    }
  } catch (...) {
    queue_.settle(std::move(batch), 0);
    throw;
  }
  queue_.settle(std::move(batch), exported);
}

// One line when the collector becomes unusable and one when it is back; the counters tell the rest.
void OtlpTracer::note(const ExportAnswer& answer) {
  switch (answer.outcome) {
    case ExportAnswer::Outcome::kDelivered:
      if (outage_) spdlog::info("tracing: spans reach {} again", options_.endpoint);
      outage_ = false;
      if (answer.rejected_spans == 0 && answer.what.empty()) {
        rejecting_ = false;
        return;
      }
      if (!std::exchange(rejecting_, true)) {
        spdlog::warn("tracing: {} rejected {} spans: {}", options_.endpoint, answer.rejected_spans, answer.what);
      }
      return;
    case ExportAnswer::Outcome::kRetry:
      if (!outage_)
        spdlog::warn("tracing: no delivery to {}: {}; spans are kept up to the queue's bound", options_.endpoint,
                     answer.what);
      outage_ = true;
      return;
    case ExportAnswer::Outcome::kRefused:
      if (!outage_) spdlog::warn("tracing: {} refuses spans: {}; they are dropped", options_.endpoint, answer.what);
      outage_ = true;
      return;
    case ExportAnswer::Outcome::kCancelled: return;
  }
}

}  // namespace codeq::observe
