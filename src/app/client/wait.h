// A wait that a stop token ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace codeq::app::client {

inline void sleep_for(std::chrono::nanoseconds time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, std::move(stop), time, [] { return false; });
}

}  // namespace codeq::app::client
