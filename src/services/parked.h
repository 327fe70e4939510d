// Calls that wait: claims for a task, result reads for a task's end. Served by the event that satisfies them.
//
// Shape    claims in order of arrival per (tenant, command) and per tenant, and there by who waits; result waits per task
// Time     deadlines are steady-clock nanoseconds
// Threads  the partition thread only
// Cost     O(log n) per call and command; firsts_of O(m log n), m: the workers, or the claims where these are fewer
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/state.h"
#include "services/broker.h"

namespace codeq::services {

struct ParkedClaim {
  Caller caller;
  ClaimTasks ask;
  Done<std::vector<TaskSnapshot>> done;
  std::int64_t deadline_ns = 0;
};
struct ParkedResult {
  Caller caller;
  std::uint64_t sequence = 0;
  core::TaskId task;
  Done<TaskAndResult> done;
  std::int64_t deadline_ns = 0;
};

class Parked {
 public:
  void park(CallId id, ParkedClaim claim);
  void park(CallId id, ParkedResult result);

  // The claim that has waited longest for a task of this queue (`key` = core::queue_key).
  [[nodiscard]] std::optional<CallId> first_for(const std::string& key, std::string_view tenant) const;
  // Of each of these workers that waits for one: the claim that has waited longest. In order of arrival.
  [[nodiscard]] std::set<CallId> firsts_of(const std::string& key, std::string_view tenant,
                                           const core::Queue::Holders& workers) const;
  // The same of one worker, of its claims behind `after`.
  [[nodiscard]] std::optional<CallId> first_of(const std::string& key, std::string_view tenant, std::string_view worker,
                                               CallId after = 0) const;
  [[nodiscard]] std::vector<CallId> waiting_for(std::uint64_t sequence) const;
  [[nodiscard]] const ParkedClaim& claim(CallId id) const { return claims_.at(id); }

  std::optional<ParkedClaim> take_claim(CallId id);
  std::optional<ParkedResult> take_result(CallId id);

  [[nodiscard]] std::optional<std::int64_t> next_deadline() const;
  // Any one call whose deadline is at or before `now`.
  [[nodiscard]] std::optional<CallId> due(std::int64_t now) const;
  [[nodiscard]] std::optional<CallId> any() const;
  [[nodiscard]] bool empty() const { return claims_.empty() && results_.empty(); }
  [[nodiscard]] bool has_claims() const { return !claims_.empty(); }
  [[nodiscard]] bool has_results() const { return !results_.empty(); }
  [[nodiscard]] bool is_claim(CallId id) const { return claims_.contains(id); }
  [[nodiscard]] std::size_t claims() const { return claims_.size(); }
  [[nodiscard]] std::size_t size() const { return claims_.size() + results_.size(); }

 private:
  struct Line {
    std::set<CallId> calls;
    std::set<std::pair<std::string_view, CallId>> by_worker;  // the subjects of their claims, which hold the text
  };
  [[nodiscard]] static std::vector<std::string> keys_of(const ParkedClaim& claim);
  [[nodiscard]] const Line* line(const std::string& key) const;

  std::unordered_map<CallId, ParkedClaim> claims_;
  std::unordered_map<CallId, ParkedResult> results_;
  std::unordered_map<std::string, Line> by_key_;  // queue key, or the tenant alone for "any command"
  std::unordered_map<std::uint64_t, std::set<CallId>> by_task_;
  std::set<std::pair<std::int64_t, CallId>> deadlines_;
};

}  // namespace codeq::services
