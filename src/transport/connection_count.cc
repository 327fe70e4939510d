#include "transport/connection_count.h"

namespace codeq::transport {

bool ConnectionCount::enter(std::size_t max) {
  const std::scoped_lock lock(mutex_);
  if (count_ >= max) return false;
  ++count_;
  return true;
}

void ConnectionCount::leave() {
  const std::scoped_lock lock(mutex_);
  if (--count_ == 0) none_.notify_all();
}

std::size_t ConnectionCount::now() const {
  const std::scoped_lock lock(mutex_);
  return count_;
}

bool ConnectionCount::wait_for_none(std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  return none_.wait_for(lock, deadline, [this] { return count_ == 0; });
}

}  // namespace codeq::transport
