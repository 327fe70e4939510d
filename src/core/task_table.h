// The tasks that are in memory, by sequence.
//
// Shape    pages of neighbouring sequences: what is at work together was mostly created together, so most look-ups find
//          their page where the last one found it, and touch one line of memory
// Cost     look-up, insertion and removal O(1); half a KiB for a task that stands alone
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace codeq::core {

template <class Task>
class TaskTable {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] Task* find(std::uint64_t sequence) const {
    const auto* page = page_of(sequence);
    return page == nullptr ? nullptr : page->tasks[sequence % kPage].get();
  }
  // Not there yet.
  void insert(std::uint64_t sequence, std::unique_ptr<Task> task) {
    auto* page = page_of(sequence);
    if (page == nullptr) {
      page = &pages_[sequence / kPage];
      seen_ = page;
      seen_number_ = sequence / kPage;
    }
    auto& slot = page->tasks[sequence % kPage];
    CHECK(slot == nullptr && task != nullptr);
    slot = std::move(task);
    ++page->count;
    ++size_;
  }
  void erase(std::uint64_t sequence) {
    auto* page = page_of(sequence);
    if (page == nullptr || page->tasks[sequence % kPage] == nullptr) return;
    page->tasks[sequence % kPage].reset();
    --size_;
    if (--page->count > 0) return;
    seen_ = nullptr;
    pages_.erase(sequence / kPage);
  }
  template <class F>
  void each(F&& f) const {  // in no order
    for (const auto& [number, page] : pages_)
      for (const auto& task : page.tasks)
        if (task) f(*task);
  }

 private:
  static constexpr std::uint64_t kPage = 64;
  struct Page {
    std::array<std::unique_ptr<Task>, kPage> tasks;
    std::size_t count = 0;
  };
  Page* page_of(std::uint64_t sequence) const {
    const auto number = sequence / kPage;
    if (seen_ != nullptr && seen_number_ == number) return seen_;
    const auto it = pages_.find(number);
    if (it == pages_.end()) return nullptr;
    seen_number_ = number;
    return seen_ = &it->second;
  }

  mutable std::unordered_map<std::uint64_t, Page> pages_;  // node-based: a page stays where it is
  mutable Page* seen_ = nullptr;  // the page of the last look-up
  mutable std::uint64_t seen_number_ = 0;
  std::size_t size_ = 0;
};

}  // namespace codeq::core
