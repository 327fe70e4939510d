#include "base/clock.h"

#include <ctime>
#include <fstream>

namespace codeq {
namespace {
std::int64_t read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<std::int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
}
}  // namespace

std::int64_t SystemClock::wall_ns() { return read_clock(CLOCK_REALTIME); }
std::int64_t SystemClock::steady_ns() { return read_clock(CLOCK_BOOTTIME); }

std::string SystemClock::boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;  // empty where there is no /proc: then no two readings compare
}
}  // namespace codeq
