#include "core/subscription.h"

#include <algorithm>

#include "base/check.h"
#include "core/state.h"

namespace codeq::core {

std::vector<std::string> SubscriptionTable::keys_of(const Subscription& subscription) {
  std::vector<std::string> keys;
  for (const auto& type : subscription.event_types) keys.push_back(queue_key(subscription.tenant, type));
  return keys;
}

std::size_t SubscriptionTable::bytes_of(const Subscription& s) {
  std::size_t bytes = 640 + s.callback_url.size() + s.owner.size() + s.group.size();
  for (const auto& type : s.event_types) bytes += 3 * (64 + type.size() + s.tenant.size());
  return bytes;
}

const Subscription* SubscriptionTable::find(const std::string& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &it->second;
}

std::size_t SubscriptionTable::count(const std::string& tenant) const {
  const auto it = by_tenant_.find(tenant);
  return it == by_tenant_.end() ? 0 : it->second.size();
}

std::vector<const Subscription*> SubscriptionTable::of_tenant(const std::string& tenant, std::int64_t now_ns) const {
  std::vector<const Subscription*> found;
  const auto it = by_tenant_.find(tenant);
  if (it == by_tenant_.end()) return found;
  for (const auto& id : it->second)
    if (const auto& one = by_id_.at(id); now_ns < one.expires_ns) found.push_back(&one);
  return found;
}

std::vector<const Subscription*> SubscriptionTable::of_queue(std::string_view tenant, std::string_view command,
                                                             std::int64_t now_ns) const {
  std::set<std::string> ids;  // one may have asked for the command and for any
  for (const auto name : {command, kAnyCommand})
    if (const auto it = by_queue_.find(queue_key(tenant, name)); it != by_queue_.end())
      ids.insert(it->second.begin(), it->second.end());
  std::vector<const Subscription*> found;
  for (const auto& id : ids)
    if (const auto& one = by_id_.at(id); now_ns < one.expires_ns) found.push_back(&one);
  return found;
}

std::optional<std::int64_t> SubscriptionTable::first_end_ns() const {
  if (ends_.empty()) return std::nullopt;
  return ends_.begin()->first;
}

void SubscriptionTable::add(Subscription subscription) {
  const auto id = subscription.id;
  ends_.emplace(subscription.expires_ns, id);
  for (auto& key : keys_of(subscription)) by_queue_[std::move(key)].insert(id);
  by_tenant_[subscription.tenant].insert(id);
  bytes_ += bytes_of(subscription);
  CHECK(by_id_.emplace(id, std::move(subscription)).second);
}

void SubscriptionTable::renew(const std::string& id, std::int64_t expires_ns) {
  auto& one = by_id_.at(id);
  ends_.erase({one.expires_ns, id});
  one.expires_ns = expires_ns;
  ends_.emplace(expires_ns, id);
}

void SubscriptionTable::remove(const std::string& id) {
  const auto node = by_id_.extract(id);
  CHECK(!node.empty());
  const auto& one = node.mapped();
  const auto leave = [&id](auto& map, const std::string& key) {
    const auto it = map.find(key);
    if (it == map.end()) return;
    it->second.erase(id);
    if (it->second.empty()) map.erase(it);
  };
  ends_.erase({one.expires_ns, one.id});
  for (const auto& key : keys_of(one)) leave(by_queue_, key);
  leave(by_tenant_, one.tenant);
  bytes_ -= bytes_of(one);
}

std::vector<std::string> SubscriptionTable::over(std::int64_t now_ns, std::size_t limit) const {
  std::vector<std::string> ids;
  for (auto it = ends_.begin(); it != ends_.end() && it->first <= now_ns && ids.size() < limit; ++it)
    ids.push_back(it->second);
  return ids;
}

}  // namespace codeq::core
