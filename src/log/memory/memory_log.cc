#include "log/memory/memory_log.h"

namespace codeq::log {

Result<void> MemoryLog::replay(std::uint64_t after, const Visit& visit) {
  if (!error_ && replayed_) error_ = Error{Code::kInternal, "the log is replayed twice"};
  if (error_) return std::unexpected<Error>(*error_);
  replayed_ = true;
  std::uint64_t number = 0;
  for (const std::string& group : disk_->groups) {
    if (++number <= after) continue;
    if (auto visited = visit(number, group); !visited) {
      error_ = std::move(visited).error();
      return std::unexpected<Error>(*error_);
    }
  }
  return {};
}

Result<std::uint64_t> MemoryLog::append(std::string_view records) {
  const std::scoped_lock lock(mutex_);
  if (error_) return std::unexpected<Error>(*error_);
  replayed_ = true;
  if (records.size() > group_bytes_max_) return fail(Code::kInvalidArgument, "a log group is over the bound");
  if (++disk_->appends == disk_->fail_append) {
    error_ = Error{disk_->fail_code, "the memory log was told to fail this append"};
    return std::unexpected<Error>(*error_);
  }
  disk_->groups.emplace_back(records);
  return disk_->groups.size();
}

Result<void> MemoryLog::sync() {
  const std::scoped_lock lock(mutex_);
  if (error_) return std::unexpected<Error>(*error_);
  return {};
}

}  // namespace codeq::log
