#include "services/parked.h"

#include <algorithm>

#include "core/state.h"

namespace codeq::services {
namespace {

template <class Map, class Key>
void remove_from(Map& map, const Key& key, CallId id) {
  const auto it = map.find(key);
  if (it == map.end()) return;
  it->second.erase(id);
  if (it->second.empty()) map.erase(it);
}

}  // namespace

std::vector<std::string> Parked::keys_of(const ParkedClaim& claim) {
  if (claim.ask.commands.empty()) return {claim.caller.tenant};  // a queue key has a 0x00 in it, a tenant has none
  std::vector<std::string> keys;
  for (const auto& command : claim.ask.commands) keys.push_back(core::queue_key(claim.caller.tenant, command));
  return keys;
}

void Parked::park(CallId id, ParkedClaim claim) {
  for (auto& key : keys_of(claim)) by_key_[std::move(key)].insert(id);
  deadlines_.insert({claim.deadline_ns, id});
  claims_.emplace(id, std::move(claim));
}

void Parked::park(CallId id, ParkedResult result) {
  by_task_[result.sequence].insert(id);
  deadlines_.insert({result.deadline_ns, id});
  results_.emplace(id, std::move(result));
}

std::optional<CallId> Parked::first_for(const std::string& key, std::string_view tenant, CallId after) const {
  std::optional<CallId> first;
  for (const auto& place : {key, std::string(tenant)})
    if (const auto it = by_key_.find(place); it != by_key_.end())
      if (const auto next = it->second.upper_bound(after); next != it->second.end())
        first = first ? std::min(*first, *next) : *next;
  return first;
}

std::vector<CallId> Parked::waiting_for(std::uint64_t sequence) const {
  const auto it = by_task_.find(sequence);
  if (it == by_task_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

std::optional<ParkedClaim> Parked::take_claim(CallId id) {
  auto node = claims_.extract(id);
  if (node.empty()) return std::nullopt;
  for (const auto& key : keys_of(node.mapped())) remove_from(by_key_, key, id);
  deadlines_.erase({node.mapped().deadline_ns, id});
  return std::move(node.mapped());
}

std::optional<ParkedResult> Parked::take_result(CallId id) {
  auto node = results_.extract(id);
  if (node.empty()) return std::nullopt;
  remove_from(by_task_, node.mapped().sequence, id);
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
