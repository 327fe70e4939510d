// The two clocks, as an interface, so that tests drive them by hand.
//
// Unit     nanoseconds; wall_ns since 1970-01-01T00:00:00Z, steady_ns since an arbitrary start, also while suspended
//          (CLOCK_BOOTTIME), so that it stays comparable across restarts of the process on one boot
// Threads  every method may be called from any thread
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace codeq {

inline constexpr std::int64_t kNanosPerMilli = 1'000'000;
inline constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t wall_ns() = 0;    // for what we store or show; may jump, so never subtract two of them
  virtual std::int64_t steady_ns() = 0;  // for waiting and measuring; never goes back
  // Names the boot that steady_ns counts from; two readings compare only if these are equal.
  virtual std::string boot_id() = 0;
};

class SystemClock final : public Clock {
 public:
  std::int64_t wall_ns() override;
  std::int64_t steady_ns() override;
  std::string boot_id() override;
};

class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t wall_ns = 1'700'000'000 * kNanosPerSecond) : wall_(wall_ns) {}
  std::int64_t wall_ns() override { return wall_.load(); }
  std::int64_t steady_ns() override { return steady_.load(); }
  std::string boot_id() override { return boot_; }
  void advance_ns(std::int64_t ns) {
    wall_ += ns;
    steady_ += ns;
  }
  void step_wall_ns(std::int64_t ns) { wall_ += ns; }                  // a clock step: only the wall moves
  void reboot(std::string boot) {
    boot_ = std::move(boot);
    steady_ = 1;
  }

 private:
  std::atomic<std::int64_t> wall_;
  std::atomic<std::int64_t> steady_{1};
  std::string boot_ = "boot-1";
};

}  // namespace codeq
