// Who is called when a queue has work, and when: the volatile part of subscriptions. A call is made once or not at all.
//
// Shape    of the subscriptions of a queue: every fanout one, one of each group in turn, one of the hash ones by the minute;
//          at most one call to each in its interval; few calls under way at once, a bounded number waiting, the rest dropped.
//          One tenant has half of both bounds at most, and beyond that half everybody a quarter (within_share)
// Time     record time, in nanoseconds
// Threads  the partition thread only
// Cost     choose: O(subscriptions of the queue); the rest O(log n)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/subscription.h"
#include "core/task.h"
#include "services/outbox.h"

namespace codeq::services {

struct Notice {
  std::string tenant, subscription, url, host;
  std::shared_ptr<const core::TaskInfo> task;  // that woke the queue: its trace is the call's
};

class Notifier {
 public:
  struct Limits {
    OutboxLimits under_way{.per_host = 8, .total = 128};
    std::size_t waiting = 2048;  // those under way included
  };
  explicit Notifier(Limits limits) : limits_(limits), box_(limits.under_way) {}

  // Those of `subscriptions` (all of one queue) that are called now. A group's member whose interval is not over is passed
  // over for the next one; one that is chosen counts as called.
  std::vector<const core::Subscription*> choose(const std::string& queue,
                                                const std::vector<const core::Subscription*>& subscriptions,
                                                std::int64_t now_ns);
  void forget(const std::string& subscription);

  // False: too many wait, or too many of its tenant's; the call is dropped.
  bool offer(Notice notice, std::int64_t now_ns);
  // Takes those that may start now; each one must be reported by `finished`.
  std::vector<std::uint64_t> start(std::int64_t now_ns);
  [[nodiscard]] const Notice& notice(std::uint64_t id) const { return notices_.at(id); }
  void finished(std::uint64_t id);
  [[nodiscard]] bool idle() const { return notices_.empty(); }

 private:
  bool take_turn(const core::Subscription& subscription, std::int64_t now_ns);

  Limits limits_;
  Outbox box_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, Notice> notices_;
  std::unordered_map<std::string, std::size_t> notices_of_;  // by tenant
  std::unordered_map<std::string, std::int64_t> called_ns_;  // by subscription
  std::unordered_map<std::string, std::uint64_t> group_turns_;  // queue key, 0x00, group
};

}  // namespace codeq::services
