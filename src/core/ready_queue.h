// The ready tasks of one (queue, priority), first in, first out: 8 bytes a task.
//
// Shape    sequences in the order in which they became ready; a task that is given back untouched regains its place
// Cost     O(1), except give_back: O(log n) in what was given back and not taken again; remove: O(1) over many of them
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <unordered_set>

namespace codeq::core {

class ReadyQueue {
 public:
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return returned_.size() + (line_ ? line_->size() : 0) - (removed_ ? removed_->size() : 0); }
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
    if (!returned_.empty()) {
      returned_.erase(returned_.begin());
      return;
    }
    line_->pop_front();
    if (removed_) drop_removed_front();
  }
  // Out of its turn, for good: that sequence never comes back. `position`: where it stands.
  void remove(std::uint64_t position, std::uint64_t sequence) {
    if (const auto it = returned_.find(position); it != returned_.end() && it->second == sequence) {
      returned_.erase(it);
      return;
    }
    if (!removed_) removed_ = std::make_unique<std::unordered_set<std::uint64_t>>();
    removed_->insert(sequence);
    drop_removed_front();
    if (!removed_ || removed_->size() < kRemovedMin || removed_->size() * 2 < line_->size()) return;
    std::erase_if(*line_, [this](std::uint64_t s) { return removed_->contains(s); });
    removed_.reset();
  }
  // The first `count` in order.
  template <class F>
  void each_first(std::size_t count, F&& f) const {
    for (auto it = returned_.begin(); it != returned_.end() && count > 0; ++it, --count) f(it->second);
    if (!line_) return;
    for (auto it = line_->begin(); it != line_->end() && count > 0; ++it) {
      if (removed_ && removed_->contains(*it)) continue;
      --count;
      f(*it);
    }
  }
  template <class F>
  void each(F&& f) const {
    each_first(SIZE_MAX, f);
  }

 private:
  static constexpr std::size_t kRemovedMin = 64;
  // The front is always one that can be taken.
  void drop_removed_front() {
    while (!line_->empty() && removed_->erase(line_->front()) > 0) line_->pop_front();
    if (removed_->empty()) removed_.reset();
  }

  std::unique_ptr<std::deque<std::uint64_t>> line_;
  std::map<std::uint64_t, std::uint64_t> returned_;  // position -> sequence
  std::unique_ptr<std::unordered_set<std::uint64_t>> removed_;  // still in the line, to be passed over
};

}  // namespace codeq::core
