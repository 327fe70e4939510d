#include "transport/tls/watcher.h"

#include <utility>

namespace codeq::transport {

TlsWatcher::TlsWatcher(std::vector<std::shared_ptr<TlsContext>> contexts, std::chrono::milliseconds every,
                       Report report)
    : contexts_(std::move(contexts)),
      every_(every),
      report_(std::move(report)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

TlsWatcher::~TlsWatcher() = default;

void TlsWatcher::reload_now() {
  {
    const std::scoped_lock lock(mutex_);
    asked_ = true;
  }
  wake_.notify_one();
}

void TlsWatcher::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool asked = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, every_, [this] { return asked_; });
      asked = std::exchange(asked_, false);
    }
    if (stop.stop_requested()) return;
    for (const auto& context : contexts_) {
      if (asked) {
        report_(*context, context->reload());
        continue;
      }
      const auto reloaded = context->reload_if_changed();
      if (!reloaded)
        report_(*context, std::unexpected(reloaded.error()));
      else if (*reloaded)
        report_(*context, {});
    }
  }
}

}  // namespace codeq::transport
