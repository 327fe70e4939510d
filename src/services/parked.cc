#include "services/parked.h"

#include <algorithm>
#include <array>

namespace codeq::services {
std::vector<std::string> Parked::keys_of(const ParkedClaim& claim) {
  if (claim.ask.commands.empty()) return {claim.caller.tenant};  // a queue key has a 0x00 in it, a tenant has none
  std::vector<std::string> keys;
  for (const auto& command : claim.ask.commands) keys.push_back(core::queue_key(claim.caller.tenant, command));
  return keys;
}

const Parked::Line* Parked::line(const std::string& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : &it->second;
}

void Parked::park(CallId id, ParkedClaim claim) {
  const auto& kept = claims_.emplace(id, std::move(claim)).first->second;
  for (auto& key : keys_of(kept)) {
    auto& line = by_key_[std::move(key)];
    line.calls.insert(id);
    line.by_worker.emplace(kept.caller.subject, id);
  }
  deadlines_.insert({kept.deadline_ns, id});
}

void Parked::park(CallId id, ParkedResult result) {
  by_task_[result.sequence].insert(id);
  deadlines_.insert({result.deadline_ns, id});
  results_.emplace(id, std::move(result));
}

std::optional<CallId> Parked::first_for(const std::string& key, std::string_view tenant) const {
  std::optional<CallId> first;
  for (const auto* line : {line(key), line(std::string(tenant))})
    if (line != nullptr) first = std::min(first.value_or(*line->calls.begin()), *line->calls.begin());
  return first;
}

std::optional<CallId> Parked::first_of(const std::string& key, std::string_view tenant, std::string_view worker,
                                       CallId after) const {
  std::optional<CallId> first;
  for (const auto* line : {line(key), line(std::string(tenant))}) {
    if (line == nullptr) continue;
    const auto next = line->by_worker.upper_bound({worker, after});
    if (next != line->by_worker.end() && next->first == worker) first = std::min(first.value_or(next->second), next->second);
  }
  return first;
}

std::set<CallId> Parked::firsts_of(const std::string& key, std::string_view tenant,
                                   const core::Queue::Holders& workers) const {
  std::set<CallId> firsts;
  const std::array lines{line(key), line(std::string(tenant))};
  const auto waiting = [](const Line* line) { return line == nullptr ? 0 : line->calls.size(); };
  if (workers.size() <= waiting(lines[0]) + waiting(lines[1])) {
    for (const auto& [worker, leases] : workers)
      if (const auto first = first_of(key, tenant, worker)) firsts.insert(*first);
    return firsts;
  }
  for (const auto* line : lines) {
    if (line == nullptr) continue;
    for (auto it = line->by_worker.begin(); it != line->by_worker.end();
         it = line->by_worker.upper_bound({it->first, UINT64_MAX}))
      if (workers.contains(it->first)) firsts.insert(*first_of(key, tenant, it->first));
  }
  return firsts;
}

std::vector<CallId> Parked::waiting_for(std::uint64_t sequence) const {
  const auto it = by_task_.find(sequence);
  if (it == by_task_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

std::optional<ParkedClaim> Parked::take_claim(CallId id) {
  auto node = claims_.extract(id);
  if (node.empty()) return std::nullopt;
  for (const auto& key : keys_of(node.mapped())) {
    const auto it = by_key_.find(key);
    if (it == by_key_.end()) continue;  // it named the command twice
    it->second.calls.erase(id);
    it->second.by_worker.erase({node.mapped().caller.subject, id});
    if (it->second.calls.empty()) by_key_.erase(it);
  }
  deadlines_.erase({node.mapped().deadline_ns, id});
  return std::move(node.mapped());
}

std::optional<ParkedResult> Parked::take_result(CallId id) {
  auto node = results_.extract(id);
  if (node.empty()) return std::nullopt;
  if (const auto it = by_task_.find(node.mapped().sequence); it != by_task_.end()) {
    it->second.erase(id);
    if (it->second.empty()) by_task_.erase(it);
  }
  deadlines_.erase({node.mapped().deadline_ns, id});
  return std::move(node.mapped());
}

std::optional<std::int64_t> Parked::next_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

std::optional<CallId> Parked::due(std::int64_t now) const {
  if (deadlines_.empty() || deadlines_.begin()->first > now) return std::nullopt;
  return deadlines_.begin()->second;
}

std::optional<CallId> Parked::any() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->second;
}

}  // namespace codeq::services
