#include "core/timeline.h"

#include <utility>

#include "base/check.h"

namespace codeq::core {

bool Event::operator==(const Event& other) const {
  return kind == other.kind && detail == other.detail && attempt == other.attempt && start_ns == other.start_ns &&
         end_ns == other.end_ns && span == other.span && parent == other.parent && request == other.request &&
         previous_claim == other.previous_claim && value == other.value && worker_text() == other.worker_text();
}

std::uint32_t Timeline::add(Event event) {
  CHECK(added_ != UINT32_MAX);
  const auto ordinal = added_++;
  if (first_.size() < kHalf) {
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

std::uint32_t Timeline::dropped() const { return added_ - static_cast<std::uint32_t>(first_.size() + last_.size()); }

}  // namespace codeq::core
