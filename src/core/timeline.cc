#include "core/timeline.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace codeq::core {

bool Event::operator==(const Event& other) const {
  return kind == other.kind && detail == other.detail && attempt == other.attempt && start_ns == other.start_ns &&
         end_ns == other.end_ns && span == other.span && parent == other.parent && request == other.request &&
         previous_claim == other.previous_claim && value == other.value && worker_text() == other.worker_text();
}

std::uint32_t Timeline::add(Event&& event) {
  CHECK(added_ != UINT32_MAX);
  const auto ordinal = added_++;
  if (first_.size() < kHalf) {
    if (first_.empty()) first_.reserve(kUsual);
    first_.push_back(std::move(event));
  } else if (last_.size() < kHalf) {
    last_.push_back(std::move(event));
  } else {
    last_[ordinal % kHalf] = std::move(event);
  }
  return ordinal;
}

Event* Timeline::find(std::uint32_t ordinal) {
  if (ordinal >= added_) return nullptr;
  if (ordinal < kHalf) return &first_[ordinal];
  if (ordinal < kHalf + dropped()) return nullptr;
  return &last_[ordinal % kHalf];
}

std::vector<Event> Timeline::events() const {
  std::vector<Event> kept;
  kept.reserve(first_.size() + last_.size());
  each([&kept](const Event& event) { kept.push_back(event); });
  return kept;
}

bool Timeline::restore(std::vector<Event> events, std::uint32_t dropped) {
  if (events.size() > kEventsPerTask || (dropped > 0 && events.size() != kEventsPerTask)) return false;
  if (dropped > UINT32_MAX - kEventsPerTask) return false;
  added_ = static_cast<std::uint32_t>(events.size()) + dropped;
  const auto half = static_cast<std::ptrdiff_t>(std::min(events.size(), kHalf));
  first_.assign(std::make_move_iterator(events.begin()), std::make_move_iterator(events.begin() + half));
  last_.clear();
  last_.resize(events.size() - first_.size());
  const auto oldest = last_.size() < kHalf ? 0 : added_ % kHalf;
  for (std::size_t i = 0; i < last_.size(); ++i) last_[(oldest + i) % kHalf] = std::move(events[kHalf + i]);
  return true;
}

std::uint32_t Timeline::dropped() const { return added_ - static_cast<std::uint32_t>(first_.size() + last_.size()); }

}  // namespace codeq::core
