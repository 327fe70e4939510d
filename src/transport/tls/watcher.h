// Looks every few seconds whether the files of TLS contexts have changed, and has them read again then, or when asked to.
//
// Shape    one thread; a file that is wrong is told once, not at every look
// Threads  reload_now from any thread
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "transport/tls/context.h"

namespace codeq::transport {

class TlsWatcher {
 public:
  // After every attempt to read files again, on the watcher's thread.
  using Report = std::function<void(const TlsContext&, const Result<void>&)>;

  TlsWatcher(std::vector<std::shared_ptr<TlsContext>> contexts, std::chrono::milliseconds every, Report report);
  ~TlsWatcher();
  TlsWatcher(const TlsWatcher&) = delete;
  TlsWatcher& operator=(const TlsWatcher&) = delete;

  void reload_now();  // whether they have changed or not; returns at once

 private:
  void run(const std::stop_token& stop);

  const std::vector<std::shared_ptr<TlsContext>> contexts_;  // shared with their listeners
  const std::chrono::milliseconds every_;
  const Report report_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool asked_ = false;  // under mutex_
  std::jthread thread_;  // last: joined before anything it uses goes away
};

}  // namespace codeq::transport
