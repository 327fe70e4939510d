// What a run has done so far, and what it may do next. Both benches keep their books here.
//
// Phases   fill (creates only, until the backlog waits), warm-up, measured, drain (what is open is settled; an open loop
//          sends what was due before and could not leave)
// Counts   `completed` of the measured phase: results that the broker acknowledged in it. Totals: of all phases
// Latency  of a task whose due instant (plus its delay) lies in the measured phase, whenever it was answered: what the
//          broker was slow with at the end is in the figures, too. Closed loop: a create is due when it is sent
// Unit     nanoseconds of the steady clock
// Threads  one
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "app/bench/histogram.h"
#include "app/bench/options.h"
#include "app/bench/schedule.h"

namespace codeq::app {

enum class Phase : std::uint8_t { kFill, kWarmup, kMeasured, kDrain };

class Tally {
 public:
  // `outstanding`: the bound of a closed loop beside the backlog.
  Tally(const BenchOptions& options, std::uint64_t outstanding);

  void enter(Phase phase, std::int64_t now_ns);
  [[nodiscard]] Phase phase() const { return phase_; }

  // If a create may leave now: its due instant. It counts as outstanding from here on.
  std::optional<std::int64_t> next_create(std::int64_t now_ns);
  // Open loop: the next instant at which next_create has something. Otherwise: far away.
  [[nodiscard]] std::int64_t next_due_ns() const;

  void sent(std::int64_t due_ns, std::int64_t now_ns);  // a create left
  void created(std::int64_t due_ns, std::int64_t now_ns);  // one task was acknowledged
  void refused(std::uint64_t tasks);
  void lost(std::uint64_t tasks);  // creates that will never be answered; they may have been taken or not
  void handed(std::int64_t due_ns, std::int64_t now_ns);  // one task of ours came to a worker
  void completed(std::int64_t due_ns, std::int64_t now_ns);  // its result was acknowledged
  void settle(std::uint64_t tasks);  // they are out of our hands, one way or another
  void error(std::string request, std::string what, std::uint64_t times = 1);
  // Of one request, in the measured phase.
  void took(Histogram& histogram, std::int64_t ns) const;

  [[nodiscard]] bool open_loop() const { return options_.rate > 0; }
  [[nodiscard]] std::int64_t delay_ns() const { return std::int64_t{options_.delay_ms} * 1'000'000; }
  [[nodiscard]] std::int64_t outstanding() const { return outstanding_; }
  [[nodiscard]] bool all_settled() const { return outstanding_ == 0 && unanswered_ == 0 && unsent() == 0; }
  // Draining an open loop: creates that were due in its time and have not left yet.
  [[nodiscard]] std::uint64_t unsent() const;
  [[nodiscard]] std::uint64_t created_total() const { return created_; }
  [[nodiscard]] std::uint64_t completed_total() const { return completed_; }
  [[nodiscard]] std::uint64_t refused_total() const { return refused_; }
  // Of what was acknowledged; more may wait where a create was lost.
  [[nodiscard]] std::uint64_t open_total() const { return created_ > completed_ ? created_ - completed_ : 0; }
  [[nodiscard]] std::uint64_t completed_measured() const { return completed_measured_; }
  [[nodiscard]] std::uint64_t error_count() const;

  using Errors = std::map<std::pair<std::string, std::string>, std::uint64_t>;  // (request, status or reason)
  Errors errors;
  Histogram late, create, handover, completion;  // from the due instant
  Histogram claim_request, result_request;  // HTTP: from the request to its answer

 private:
  [[nodiscard]] bool in_run(std::int64_t due_ns) const { return due_ns >= start_ns_ && due_ns < end_ns_; }

  const BenchOptions& options_;
  std::int64_t bound_;
  OpenLoop schedule_;
  Phase phase_ = Phase::kFill;
  std::int64_t start_ns_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t end_ns_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t outstanding_ = 0;  // created or being created, and not settled
  std::int64_t unanswered_ = 0;  // creates; a task may be completed before its create is answered
  std::uint64_t created_ = 0, completed_ = 0, refused_ = 0, completed_measured_ = 0;
};

}  // namespace codeq::app
