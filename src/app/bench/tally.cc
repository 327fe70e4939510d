#include "app/bench/tally.h"

#include <algorithm>

namespace codeq::app {

Tally::Tally(const BenchOptions& options, std::uint64_t outstanding)
    : options_(options),
      bound_(static_cast<std::int64_t>(options.backlog + std::max<std::uint64_t>(outstanding, options.batch))),
      schedule_(options.rate > 0 ? options.rate : 1, options.batch) {}

void Tally::enter(Phase phase, std::int64_t now_ns) {
  // The schedule runs on from the warm-up: the measured part begins in the middle of it.
  if (phase_ == Phase::kFill && phase != Phase::kFill) schedule_.start(now_ns);
  phase_ = phase;
  if (phase == Phase::kMeasured) {
    start_ns_ = now_ns;
    errors.clear();
  }
  if (phase == Phase::kDrain) end_ns_ = now_ns;
}

std::optional<std::int64_t> Tally::next_create(std::int64_t now_ns) {
  std::optional<std::int64_t> due;
  const auto after = outstanding_ + static_cast<std::int64_t>(options_.batch);
  switch (phase_) {
    case Phase::kFill:
      if (outstanding_ < static_cast<std::int64_t>(options_.backlog)) due = now_ns;
      break;
    case Phase::kWarmup:
    case Phase::kMeasured:
      if (open_loop())
        due = schedule_.take(now_ns);
      else if (after <= bound_)
        due = now_ns;
      break;
    case Phase::kDrain:
      if (unsent() > 0) due = schedule_.take(now_ns);
      break;
  }
  if (due) {
    outstanding_ = after;
    unanswered_ += options_.batch;
  }
  return due;
}

std::int64_t Tally::next_due_ns() const {
  const bool paced = open_loop() && (phase_ == Phase::kWarmup || phase_ == Phase::kMeasured);
  return paced ? schedule_.due_ns() : std::numeric_limits<std::int64_t>::max();
}

std::uint64_t Tally::unsent() const {
  return open_loop() && phase_ == Phase::kDrain ? schedule_.left_before(end_ns_) : 0;
}

void Tally::sent(std::int64_t due_ns, std::int64_t now_ns) {
  if (in_run(due_ns)) late.record(now_ns - due_ns);
}

void Tally::created(std::int64_t due_ns, std::int64_t now_ns) {
  ++created_;
  --unanswered_;
  if (in_run(due_ns)) create.record(now_ns - due_ns);
}

void Tally::refused(std::uint64_t tasks) {
  refused_ += tasks;
  lost(tasks);
}

void Tally::lost(std::uint64_t tasks) {
  unanswered_ -= static_cast<std::int64_t>(tasks);
  settle(tasks);
}

void Tally::handed(std::int64_t due_ns, std::int64_t now_ns) {
  if (in_run(due_ns)) handover.record(now_ns - due_ns);
}

void Tally::completed(std::int64_t due_ns, std::int64_t now_ns) {
  ++completed_;
  if (phase_ == Phase::kMeasured) ++completed_measured_;
  if (in_run(due_ns)) completion.record(now_ns - due_ns);
  settle(1);
}

void Tally::settle(std::uint64_t tasks) {
  outstanding_ = std::max<std::int64_t>(0, outstanding_ - static_cast<std::int64_t>(tasks));
}

void Tally::error(std::string request, std::string what, std::uint64_t times) {
  if (phase_ != Phase::kDrain) errors[{std::move(request), std::move(what)}] += times;
}

void Tally::took(Histogram& histogram, std::int64_t ns) const {
  if (phase_ == Phase::kMeasured) histogram.record(ns);
}

std::uint64_t Tally::error_count() const {
  std::uint64_t sum = 0;
  for (const auto& [what, count] : errors) sum += count;
  return sum;
}

}  // namespace codeq::app
