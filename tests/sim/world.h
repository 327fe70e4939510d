// A history of one broker: clients, clock, faults and the broker's own steps in one thread, chosen by a seed.
//
// Shape    `run` answers what went wrong, or nothing. After the random part the disk heals, everything is drained, the
//          broker starts once more, and all that was ever answered is read again
// Replay   the same seed, steps and store give the same history (with RocksDB's own threads: nearly always)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "oracle.h"

namespace codeq::sim {

struct Counts {
  std::uint64_t histories = 0, steps = 0, tasks = 0, finished = 0, webhooks = 0;
  std::uint64_t cancelled = 0, redriven = 0, purged = 0, copies = 0;
  std::uint64_t power_cuts = 0, kills = 0, stops = 0, failures = 0, failed_starts = 0, cut_short = 0;
  Counts& operator+=(const Counts& other);
  [[nodiscard]] std::string text() const;
};

struct Outcome {
  std::optional<std::string> wrong;
  Counts counts;
};

// `plain`: nobody acts from outside, as in the histories of the time before there was anybody.
Outcome run_history(std::uint64_t seed, std::uint64_t steps, bool on_rocks, bool plain, bool verbose);

}  // namespace codeq::sim
