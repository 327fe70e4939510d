// When the next create is due.
//
// Closed loop  as soon as the broker has settled enough of what was created before
// Open loop    task k is due k / rate seconds after the start, whatever the broker does meanwhile. Latencies count from that
//              instant, also where the create left late because the broker, or this generator, was behind: G. Tene calls
//              the opposite "coordinated omission" (How NOT to Measure Latency, 2013).
// Unit     nanoseconds of the steady clock
// Threads  one
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

namespace codeq::app {

class OpenLoop {
 public:
  // `rate`: tasks per second, above 0; every create makes `batch` of them at once.
  OpenLoop(double rate, std::uint32_t batch) : ns_between_(static_cast<double>(batch) * 1e9 / rate) {}

  void start(std::int64_t now_ns) { start_ns_ = now_ns, taken_ = 0; }
  // Of the next create that was not taken yet. Each is computed from the start, so that nothing adds up.
  [[nodiscard]] std::int64_t due_ns() const {
    return start_ns_ + static_cast<std::int64_t>(static_cast<double>(taken_) * ns_between_);
  }
  // How many creates that were not taken are due before that.
  [[nodiscard]] std::uint64_t left_before(std::int64_t end_ns) const {
    const auto due = std::ceil(static_cast<double>(end_ns - start_ns_) / ns_between_);
    return due > static_cast<double>(taken_) ? static_cast<std::uint64_t>(due) - taken_ : 0;
  }
  // The next create's due instant, if that has come; it is the caller's then.
  std::optional<std::int64_t> take(std::int64_t now_ns) {
    const auto due = due_ns();
    if (due > now_ns) return std::nullopt;
    ++taken_;
    return due;
  }

 private:
  double ns_between_;
  std::int64_t start_ns_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace codeq::app
