// The ready tasks of one (queue, priority), first in, first out: 8 bytes a task.
//
// Shape    sequences in the order in which they became ready; a task that is given back untouched regains its place
// Cost     O(1), except give_back: O(log n) in what was given back and not taken again
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>

namespace codeq::core {

class ReadyQueue {
 public:
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return returned_.size() + (line_ ? line_->size() : 0); }
  [[nodiscard]] std::uint64_t front() const {
    return returned_.empty() ? line_->front() : returned_.begin()->second;
  }
  void push_back(std::uint64_t sequence) {
    if (!line_) line_ = std::make_unique<std::deque<std::uint64_t>>();  // an empty deque is 600 bytes, most levels stay empty
    line_->push_back(sequence);
  }
  // `position`: where it stood, which is before everything that is still in the line.
  void give_back(std::uint64_t position, std::uint64_t sequence) { returned_.emplace(position, sequence); }
  void pop_front() {
    if (returned_.empty())
      line_->pop_front();
    else
      returned_.erase(returned_.begin());
  }
  // The first `count` in order.
  template <class F>
  void each_first(std::size_t count, F&& f) const {
    for (auto it = returned_.begin(); it != returned_.end() && count > 0; ++it, --count) f(it->second);
    if (!line_) return;
    for (auto it = line_->begin(); it != line_->end() && count > 0; ++it, --count) f(*it);
  }
  template <class F>
  void each(F&& f) const {
    each_first(SIZE_MAX, f);
  }

 private:
  std::unique_ptr<std::deque<std::uint64_t>> line_;
  std::map<std::uint64_t, std::uint64_t> returned_;  // position -> sequence
};

}  // namespace codeq::core
