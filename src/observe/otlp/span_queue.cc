#include "observe/otlp/span_queue.h"

#include <utility>

namespace codeq::observe {
namespace {
constexpr std::size_t kFreeBatchesMax = 32;  // more than a busy exporter turns over; the rest of a backlog is freed
using Clock = std::chrono::steady_clock;
}  // namespace

SpanQueue::SpanQueue(const TracingOptions& options)
    : batch_spans_(options.batch_spans),
      queue_spans_(options.queue_spans),
      queue_bytes_(options.queue_bytes),
      schedule_delay_(options.schedule_delay),
      next_tick_(Clock::now() + options.schedule_delay) {}

void SpanQueue::push(Scope scope, std::string_view encoded) {
  bool full = false;
  {
    const std::scoped_lock lock(mutex_);
    ++recorded_;
    if (closed_ || held_spans_ >= queue_spans_ || held_bytes_ + encoded.size() > queue_bytes_) {
      ++dropped_;
      return;
    }
    try {
      if (current_.empty()) {
        if (free_.empty())
          current_.emplace_back();
        else
          current_.splice(current_.begin(), free_, free_.begin());
      }
      current_.front().bodies[static_cast<std::size_t>(scope)].append(encoded);
    } catch (...) {  // no memory: the span is lost, the task is not
      ++dropped_;
      return;
    }
    Batch& batch = current_.front();
    ++batch.spans;
    batch.bytes += encoded.size();
    ++held_spans_;
    held_bytes_ += encoded.size();
    ++accepted_;
    full = batch.spans >= batch_spans_ || batch.bytes >= kBatchBytesMax;
    if (full) seal_current();
  }
  if (full) work_.notify_one();
}

void SpanQueue::count_dropped() {
  const std::scoped_lock lock(mutex_);
  ++recorded_;
  ++dropped_;
}

void SpanQueue::seal_current() { full_.splice(full_.end(), current_); }

SpanQueue::Batches SpanQueue::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    nudges_seen_ = nudges_;
    const auto now = Clock::now();
    if (full_.empty() && (now >= next_tick_ || closed_ || flush_pending())) {
      next_tick_ = now + schedule_delay_;
      if (!current_.empty()) seal_current();
    }
    Batches batch;
    if (!full_.empty()) {
      batch.splice(batch.begin(), full_, full_.begin());
      return batch;
    }
    if (closed_) return batch;
    work_.wait_until(lock, next_tick_, [&] { return !full_.empty() || nudges_ != nudges_seen_; });
  }
}

bool SpanQueue::pause(Time until) {
  std::unique_lock lock(mutex_);
  if (closed_ && close_deadline_ < until) until = close_deadline_;
  const bool nudged = work_.wait_until(lock, until, [&] { return nudges_ != nudges_seen_; });
  nudges_seen_ = nudges_;
  return nudged;
}

void SpanQueue::settle(Batches batch, std::size_t exported) {
  Batches surplus;
  {
    const std::scoped_lock lock(mutex_);
    for (Batch& done : batch) {
      exported_ += exported;
      dropped_ += done.spans - exported;
      settled_ += done.spans;
      held_spans_ -= done.spans;
      held_bytes_ -= done.bytes;
      done.spans = done.bytes = 0;
      for (std::string& body : done.bodies) body.clear();
    }
    Batches& to = free_.size() < kFreeBatchesMax ? free_ : surplus;
    to.splice(to.end(), batch);
  }
  settled_now_.notify_all();
}

void SpanQueue::drop_rest() {
  for (;;) {
    Batches one;
    {
      const std::scoped_lock lock(mutex_);
      if (full_.empty()) seal_current();
      if (full_.empty()) return;
      one.splice(one.begin(), full_, full_.begin());
    }
    settle(std::move(one), 0);
  }
}

bool SpanQueue::flush(Time deadline) {
  std::unique_lock lock(mutex_);
  const std::uint64_t target = accepted_;
  if (settled_ >= target) return true;
  if (flush_to_ < target) flush_to_ = target;
  ++nudges_;
  work_.notify_one();
  return settled_now_.wait_until(lock, deadline, [&] { return settled_ >= target; });
}

void SpanQueue::close(Time deadline) {
  {
    const std::scoped_lock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    close_deadline_ = deadline;
    ++nudges_;
  }
  work_.notify_one();
}

bool SpanQueue::closed_at(Time now) const {
  const std::scoped_lock lock(mutex_);
  return closed_ && now >= close_deadline_;
}

TracerStats SpanQueue::stats() const {
  const std::scoped_lock lock(mutex_);
  return {.recorded = recorded_, .exported = exported_, .dropped = dropped_, .queued = held_spans_};
}

}  // namespace codeq::observe
