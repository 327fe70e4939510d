#include "transport/http/exchange.h"

namespace codeq::transport::http {

void Inbox::push(std::shared_ptr<Exchange> exchange) {
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_) {
      answered_.push_back(std::move(exchange));
      // Under the lock, so that nobody wakes an io context that `close` has seen off.
      if (!std::exchange(armed_, true)) wake_();
      return;
    }
  }
  orphan_(*exchange);
}

void Inbox::take(std::vector<std::shared_ptr<Exchange>>& out) {
  const std::scoped_lock lock(mutex_);
  armed_ = false;
  out.swap(answered_);
}

void Inbox::close() {
  std::vector<std::shared_ptr<Exchange>> late;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    late.swap(answered_);
  }
  for (const auto& exchange : late) orphan_(*exchange);
}

}  // namespace codeq::transport::http
