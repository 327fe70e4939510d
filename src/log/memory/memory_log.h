// A log in memory: for tests, and as the measure of what the file log costs.
//
// Shape    the groups live in a MemoryDisk that outlives the log, so that a new log on the same one is a restart
// Errors   as every Log; the disk can be told to fail
// Threads  append: one; sync: any
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "log/log.h"

namespace codeq::log {

struct MemoryDisk {
  std::vector<std::string> groups;
  std::uint64_t appends = 0;            // tried so far, over all logs
  std::uint64_t fail_append = 0;        // the append with this number (1, 2, ...) fails; 0: none
  Code fail_code = Code::kIo;
};

class MemoryLog final : public Log {
 public:
  // Shared with the test, which hands it on to the log that plays the next process.
  explicit MemoryLog(std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>(),
                     std::size_t group_bytes_max = std::size_t{64} << 20)
      : disk_(std::move(disk)), group_bytes_max_(group_bytes_max) {}

  Result<void> replay(std::uint64_t after, const Visit& visit) override;
  void release(std::uint64_t) override {}
  Result<std::uint64_t> append(std::string_view records) override;
  Result<void> sync() override;

 private:
  std::shared_ptr<MemoryDisk> disk_;
  std::size_t group_bytes_max_;
  bool replayed_ = false;
  std::mutex mutex_;  // of append and sync
  std::optional<Error> error_;  // the first one; then every call's answer
};

}  // namespace codeq::log
