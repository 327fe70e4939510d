// Spans that wait for the collector: encoded bytes in batches, bounded in number and in bytes.
//
//   push -> [current] -full-> [full ...] -take-> (under way) -settle-> [free] -> current again
//
// A batch under way still counts against the bounds, so with the collector away the oldest spans stay and the newest
// are dropped. Batches and their capacity are used again: in steady state push allocates nothing.
//
// Threads  push, flush, close, stats: any. take, pause, settle, drop_rest: the one exporter thread
// Cost     push: one copy of the span's bytes under a mutex that is never held across I/O; it wakes the exporter only
//          when a batch became full
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string_view>

#include "observe/otlp/encode.h"
#include "observe/otlp/options.h"
#include "observe/span.h"

namespace codeq::observe {

class SpanQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Batch {
    ScopeBodies bodies;
    std::size_t spans = 0;
    std::size_t bytes = 0;
  };
  using Batches = std::list<Batch>;  // moved around by splice, which neither allocates nor throws

  static constexpr std::size_t kBatchBytesMax = std::size_t{1} << 20;  // collectors take messages of 4 MiB by default

  explicit SpanQueue(const TracingOptions& options);

  void push(Scope scope, std::string_view encoded);  // full or closed: dropped and counted
  void count_dropped();  // a span that could not even be encoded

  // Waits for work: a full batch at once, a part of one when the schedule delay is up, a flush asks or the queue closes.
  // One batch, or none when closed and empty.
  Batches take();
  // Waits until `until`, not past the deadline of a close; true: early, a flush or close asks for another try now.
  bool pause(Time until);
  void settle(Batches batch, std::size_t exported);  // what was not exported is dropped
  void drop_rest();  // everything that waits

  // Asks for delivery of all that was pushed before; false: `deadline` came first.
  bool flush(Time deadline);
  // No more spans get in; the exporter may go on until `deadline`. The first call decides.
  void close(Time deadline);
  [[nodiscard]] bool closed_at(Time now) const;  // closed and its deadline has passed
  [[nodiscard]] TracerStats stats() const;

 private:
  void seal_current();
  [[nodiscard]] bool flush_pending() const { return settled_ < flush_to_; }

  const std::size_t batch_spans_, queue_spans_, queue_bytes_;
  const std::chrono::milliseconds schedule_delay_;

  mutable std::mutex mutex_;
  std::condition_variable work_, settled_now_;
  Batches current_, full_, free_;  // current_ holds at most one
  std::size_t held_spans_ = 0, held_bytes_ = 0;
  std::uint64_t recorded_ = 0, exported_ = 0, dropped_ = 0;
  std::uint64_t accepted_ = 0, settled_ = 0, flush_to_ = 0;
  std::uint64_t nudges_ = 0, nudges_seen_ = 0;  // calls of flush and close; how many the exporter has obeyed
  bool closed_ = false;
  Time close_deadline_{}, next_tick_;
};

}  // namespace codeq::observe
