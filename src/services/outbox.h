// Which webhook deliveries to send now: due ones, a few per host at a time, so that one slow host holds up nobody else.
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

class Outbox {
 public:
  explicit Outbox(OutboxLimits limits) : limits_(limits) {}

  void schedule(std::uint64_t delivery, std::string host, std::int64_t due_ns);
  // Takes those that may start now; each one must be reported by `finished`.
  std::vector<std::uint64_t> start(std::int64_t now_ns);
  void finished(std::uint64_t delivery);
  [[nodiscard]] std::optional<std::int64_t> next_due() const;

 private:
  struct Host {
    std::size_t under_way = 0;
    std::deque<std::uint64_t> waiting;
  };
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;
  std::unordered_map<std::uint64_t, std::string> host_of_;  // of everything scheduled, waiting or under way
  std::unordered_map<std::string, Host> hosts_;
  std::deque<std::string> freed_;  // hosts with a free place and somebody waiting
  std::size_t under_way_ = 0;
  OutboxLimits limits_;
};

}  // namespace codeq::services
