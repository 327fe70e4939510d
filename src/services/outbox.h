// Which webhook deliveries to send now: due ones, a few per host at a time, so that one slow host holds up nobody else; and
// where the tenants are told apart, none of these takes every place: beyond half of all each has a quarter.
//
// Shape    what is due lives in the state (and in the log); this is the volatile part: who is under way
// Threads  the partition thread only
// Cost     O(log n) per delivery
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace codeq::services {

struct OutboxLimits {
  std::size_t per_host = 8;
  std::size_t total = 256;
};

// What one tenant may take of `bound` places that all share, `taken` of them being taken: all until half of them are, then no
// more than a quarter. So one alone has half, and whoever comes next finds room.
inline bool within_share(std::size_t bound, std::size_t taken, std::size_t mine) {
  return taken < bound && (taken < bound / 2 || mine < (bound + 3) / 4);
}

class Outbox {
 public:
  explicit Outbox(OutboxLimits limits) : limits_(limits) {}

  // An empty tenant has no share of its own, and no limit but the total.
  void schedule(std::uint64_t delivery, std::string host, std::int64_t due_ns, std::string tenant = {});
  // Whether `start` has anything to look at.
  [[nodiscard]] bool may_start(std::int64_t now_ns) const {
    return (!due_.empty() && due_.begin()->first <= now_ns) || !held_.empty() || !freed_.empty();
  }
  // Takes those that may start now; each one must be reported by `finished`.
  std::vector<std::uint64_t> start(std::int64_t now_ns);
  void finished(std::uint64_t delivery);
  [[nodiscard]] std::optional<std::int64_t> next_due() const;
  [[nodiscard]] std::size_t size() const { return whose_.size(); }  // waiting or under way

 private:
  struct Line {
    std::size_t under_way = 0;
    std::deque<std::uint64_t> waiting;
  };
  struct Whose {
    std::string host, tenant;
  };
  void place(std::uint64_t delivery, std::vector<std::uint64_t>& started);
  void begin(std::uint64_t delivery, std::vector<std::uint64_t>& started);
  [[nodiscard]] bool has_share(std::uint64_t delivery) const;
  void hold(std::uint64_t delivery);
  static void leave(std::unordered_map<std::string, Line>& lines, const std::string& name);

  std::set<std::pair<std::int64_t, std::uint64_t>> due_;
  std::unordered_map<std::uint64_t, Whose> whose_;  // of everything scheduled, waiting or under way
  std::unordered_map<std::string, Line> hosts_, tenants_;
  std::deque<std::string> held_;   // tenants with somebody waiting for their share, each once
  std::deque<std::string> freed_;  // hosts with a free place and somebody waiting
  std::size_t under_way_ = 0;
  OutboxLimits limits_;
};

}  // namespace codeq::services
