// What the kernel says about this process. Source: proc(5). A value that cannot be read is 0.
#pragma once

#include <cstdint>

namespace codeq::observe {

struct ProcessStats {
  double cpu_seconds = 0;         // user and system
  double start_time_seconds = 0;  // since the epoch
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
  std::uint64_t threads = 0;
};

ProcessStats process_stats();

}  // namespace codeq::observe
