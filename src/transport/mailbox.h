// Answers that come from other threads, for one io thread: one wake-up per burst.
//
// Threads  push from any; take on the io thread; close once, before the io thread's context goes away
// Cost     one lock per letter and one wake-up per burst
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace codeq::transport {

template <class Letter>
class Mailbox {
 public:
  // `wake`: makes the io thread call `take` soon; called at most once until it did.
  // `orphan`: what to do with a letter that comes after `close`, on the thread that brings it.
  Mailbox(std::function<void()> wake, std::function<void(Letter&)> orphan)
      : wake_(std::move(wake)), orphan_(std::move(orphan)) {}

  void push(Letter letter) {
    {
      const std::scoped_lock lock(mutex_);
      if (!closed_) {
        letters_.push_back(std::move(letter));
        // Under the lock, so that nobody wakes an io context that `close` has seen off.
        if (!std::exchange(armed_, true)) wake_();
        return;
      }
    }
    orphan_(letter);
  }
  // `out` is empty before.
  void take(std::vector<Letter>& out) {
    const std::scoped_lock lock(mutex_);
    armed_ = false;
    out.swap(letters_);
  }
  // `wake` is not called any more.
  void close() {
    std::vector<Letter> late;
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      late.swap(letters_);
    }
    for (auto& letter : late) orphan_(letter);
  }

 private:
  std::mutex mutex_;
  std::vector<Letter> letters_;  // under mutex_, like the two below
  bool armed_ = false, closed_ = false;
  const std::function<void()> wake_;
  const std::function<void(Letter&)> orphan_;
};

}  // namespace codeq::transport
