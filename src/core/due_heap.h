// What waits for a time, earliest first: 16 bytes an entry.
//
// Shape    (time, sequence) in order; only the earliest can be taken, any can be removed
// Cost     push, pop O(log n); remove O(log n) over many of them
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <unordered_set>
#include <utility>
#include <vector>

namespace codeq::core {

class DueHeap {
 public:
  using Entry = std::pair<std::int64_t, std::uint64_t>;
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size() - removed_.size(); }
  [[nodiscard]] const Entry& top() const { return entries_.front(); }
  void push(std::int64_t time_ns, std::uint64_t sequence) {
    entries_.emplace_back(time_ns, sequence);
    std::push_heap(entries_.begin(), entries_.end(), std::greater<>());
  }
  void pop() {
    pop_entry();
    drop_removed_top();
  }
  // For good: that sequence is never pushed again.
  void remove(std::uint64_t sequence) {
    removed_.insert(sequence);
    drop_removed_top();
    if (removed_.size() < kRemovedMin || removed_.size() * 2 < entries_.size()) return;
    std::erase_if(entries_, [this](const Entry& entry) { return removed_.contains(entry.second); });
    std::make_heap(entries_.begin(), entries_.end(), std::greater<>());
    removed_.clear();
  }
  // The first `count` of those due at `now`, in order. O(count log count).
  [[nodiscard]] std::vector<std::uint64_t> due(std::int64_t now_ns, std::size_t count) const {
    std::vector<std::uint64_t> found;
    std::vector<std::size_t> next;  // a heap of places, so that only what is looked at costs
    const auto later = [this](std::size_t a, std::size_t b) { return entries_[a] > entries_[b]; };
    const auto add = [&](std::size_t at) {
      if (at >= entries_.size() || entries_[at].first > now_ns) return;
      next.push_back(at);
      std::push_heap(next.begin(), next.end(), later);
    };
    add(0);
    while (!next.empty() && found.size() < count) {
      std::pop_heap(next.begin(), next.end(), later);
      const auto at = next.back();
      next.pop_back();
      if (!removed_.contains(entries_[at].second)) found.push_back(entries_[at].second);
      add(2 * at + 1);
      add(2 * at + 2);
    }
    return found;
  }
  [[nodiscard]] std::vector<Entry> sorted() const {
    auto copy = entries_;
    std::erase_if(copy, [this](const Entry& entry) { return removed_.contains(entry.second); });
    std::sort(copy.begin(), copy.end());
    return copy;
  }

 private:
  static constexpr std::size_t kRemovedMin = 64;
  void pop_entry() {
    std::pop_heap(entries_.begin(), entries_.end(), std::greater<>());
    entries_.pop_back();
    if (entries_.size() * 4 + 1024 < entries_.capacity()) entries_.shrink_to_fit();
  }
  // The top is always one that can be taken.
  void drop_removed_top() {
    while (!entries_.empty() && !removed_.empty() && removed_.erase(entries_.front().second) > 0) pop_entry();
  }

  std::vector<Entry> entries_;  // std::push_heap order, the earliest first
  std::unordered_set<std::uint64_t> removed_;  // still among the entries, to be passed over
};

}  // namespace codeq::core
