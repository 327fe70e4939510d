// How many connections there are, over all threads; drain waits for it to fall to zero.
// Threads  any
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace codeq::transport {

class ConnectionCount {
 public:
  // False: there are `max` already.
  bool enter(std::size_t max);
  void leave();
  [[nodiscard]] std::size_t now() const;
  // False at the deadline.
  bool wait_for_none(std::chrono::milliseconds deadline);

 private:
  mutable std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;  // under mutex_
};

}  // namespace codeq::transport
