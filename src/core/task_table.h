// The tasks that are in memory, by sequence.
//
// Shape    pages of neighbouring sequences: what is at work together was mostly created together, so most look-ups find
//          their page where the last one found it, and touch one line of memory. Instead of a task a place may have a mark:
//          a number other than 0 that says where else the task is
// Cost     look-up, insertion and removal O(1); 3/4 KiB for a task that stands alone
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
  [[nodiscard]] std::size_t size() const { return size_; }  // tasks and marks
  [[nodiscard]] Task* find(std::uint64_t sequence) const {
    const auto* page = page_of(sequence);
    return page == nullptr ? nullptr : page->tasks[sequence % kPage].get();
  }
  // Not there yet, but perhaps as a mark, whose place it takes.
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
    if (std::exchange(page->marks[sequence % kPage], 0) != 0) return;
    ++page->count;
    ++size_;
  }
  // The task leaves, and a mark stays; or the mark changes. One of the two is there.
  void mark(std::uint64_t sequence, std::uint32_t mark) {
    auto* page = page_of(sequence);
    CHECK(page != nullptr && mark != 0);
    auto& slot = page->tasks[sequence % kPage];
    CHECK(slot != nullptr || page->marks[sequence % kPage] != 0);
    slot.reset();
    page->marks[sequence % kPage] = mark;
  }
  [[nodiscard]] std::uint32_t mark_of(std::uint64_t sequence) const {  // 0: none
    const auto* page = page_of(sequence);
    return page == nullptr ? 0 : page->marks[sequence % kPage];
  }
  // Of a task or a mark.
  void erase(std::uint64_t sequence) {
    auto* page = page_of(sequence);
    if (page == nullptr) return;
    auto& slot = page->tasks[sequence % kPage];
    const bool marked = std::exchange(page->marks[sequence % kPage], 0) != 0;
    if (slot == nullptr && !marked) return;
    slot.reset();
    --size_;
    if (--page->count > 0) return;
    seen_ = nullptr;
    pages_.erase(sequence / kPage);
  }
  template <class F>
  void each(F&& f) const {  // task, in no order
    for (const auto& [number, page] : pages_)
      for (const auto& task : page.tasks)
        if (task) f(*task);
  }
  template <class F>
  void each_mark(F&& f) const {  // sequence and mark, in no order
    for (const auto& [number, page] : pages_)
      for (std::size_t i = 0; i < kPage; ++i)
        if (page.marks[i] != 0) f(number * kPage + i, page.marks[i]);
  }

 private:
  static constexpr std::uint64_t kPage = 64;
  struct Page {
    std::array<std::unique_ptr<Task>, kPage> tasks;
    std::array<std::uint32_t, kPage> marks{};
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
