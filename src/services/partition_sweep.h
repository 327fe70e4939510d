// One pass over finished tasks: find them in the store, end or revive them, wait until the store has heard of it. Internal to
// partition_*.cc.
//
// One at a time, so that nothing that a pass has found is retired or revived by another one before its turn.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "services/partition.h"

namespace codeq::services {

// What somebody wants done with dead letters.
struct Partition::DeadWork {
  bool redrive = false;  // else they go
  bool dry_run = false;
  std::int64_t spacing_ns = 0;  // between two that become visible; 0: all at once
  std::int64_t last_ns = 0;  // when the last one did
  bool caught_up = false;  // the store has been waited for, for the batch that is next
  Caller caller;
  DeadLetterFilter filter;
  std::vector<core::TaskId> ids;  // those of the filter that can be ours
  std::unordered_set<std::uint32_t> queues;
  std::int64_t now_ns = 0;
  std::size_t loaded = 0;  // entries up to here were read for their turn
  std::size_t together = 1;  // how many have their turn at once: few where they are large
  bool more = false;
  Done<DeadLetterOutcome> done;
};

struct Partition::Sweep {
  static constexpr std::size_t kPerSweep = 16'384;
  enum class Phase : std::uint8_t {
    kNew,
    kCutting,
    kScanning,
    kLoading,
    kRetiring,
    kCatchingUp,
    kSaving
  } phase = Phase::kNew;
  std::int64_t before_ns = 0;
  std::size_t limit = kPerSweep;
  std::string tenant;  // of a cleanup; empty: all
  std::optional<Done<std::size_t>> done;
  std::unique_ptr<DeadWork> dead;  // null: it is about retention
  std::string from;  // where the scan goes on
  std::vector<core::RetireEntry> entries;
  std::size_t next = 0;
  std::uint64_t retired = 0, cut = 0;  // or revived
  std::int64_t due_ns = INT64_MAX;  // of the first entry that stays
};

}  // namespace codeq::services
