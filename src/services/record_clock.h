// Record time: what every record, span and timestamp of a partition is measured in. Design section 4.
//
//   record time = steady clock + offset;   the offset is slewed towards the wall clock by at most 1 % of the time elapsed
//
// so that a step of the wall clock, either way, neither freezes nor expires a lease. After a restart on the same boot the
// old offset goes on; after another boot it is max(wall, last record time).
//
// Unit     nanoseconds since the epoch
// Threads  `start` and `stamp` from the partition thread; the rest from any thread
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/plant.h"
#include "core/record.h"

namespace codeq::services {

class RecordClock {
 public:
  explicit RecordClock(Clock& clock) : clock_(clock) {
    last_steady_ = clock_.steady_ns();
    offset_ = clock_.wall_ns() - last_steady_;
  }

  // `mark`: the last ClockRecord of the log (empty boot_id: none); `last_ns`: the last record's time.
  void start(const core::ClockRecord& mark, std::int64_t last_ns) {
    last_steady_ = clock_.steady_ns();
    if (!mark.boot_id.empty() && mark.boot_id == clock_.boot_id() && mark.steady_ns <= last_steady_)
      offset_ = mark.time_ns - mark.steady_ns;
    else
      offset_ = clock_.wall_ns() - last_steady_;
    offset_ = std::max(offset_.load(), last_ns - last_steady_);
    last_ = std::max(last_ns, last_steady_ + offset_);
  }

  // Slews, and returns the time of the next record: never less than the one before.
  std::int64_t stamp() {
    const auto steady = planted(Plant::kWrappedClock) ? clock_.steady_ns() % (std::int64_t{1} << 38) : clock_.steady_ns();
    const auto most = std::max<std::int64_t>(steady - last_steady_, 0) / 100;
    const auto wanted = clock_.wall_ns() - steady - offset_;
    offset_ += std::clamp(wanted, -most, most);
    last_steady_ = steady;
    last_ = std::max(last_, steady + offset_);
    return last_;
  }

  [[nodiscard]] std::int64_t to_record_ns(std::int64_t steady_ns) const {
    return steady_ns + offset_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t to_steady_ns(std::int64_t record_ns) const {
    return record_ns - offset_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t now_ns() const { return to_record_ns(clock_.steady_ns()); }

 private:
  Clock& clock_;
  std::atomic<std::int64_t> offset_{0};
  std::int64_t last_steady_ = 0;
  std::int64_t last_ = 0;
};

}  // namespace codeq::services
