#include "core/subscription.h"

#include <algorithm>
#include <iterator>

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
  for (const auto* one : it->second)
    if (now_ns < one->expires_ns) found.push_back(one);
  return found;
}

std::vector<const Subscription*> SubscriptionTable::of_queue(std::string_view tenant, std::string_view command,
                                                             std::int64_t now_ns) const {
  static const Line kNobody;
  const auto line = [&](std::string_view name) -> const Line& {
    const auto it = by_queue_.find(queue_key(tenant, name));
    return it == by_queue_.end() ? kNobody : it->second;
  };
  const auto &mine = line(command), &any = line(kAnyCommand);
  std::vector<const Subscription*> found;
  found.reserve(mine.size() + any.size());
  // One may have asked for the command and for any.
  std::set_union(mine.begin(), mine.end(), any.begin(), any.end(), std::back_inserter(found), ById());
  std::erase_if(found, [now_ns](const auto* one) { return now_ns >= one->expires_ns; });
  return found;
}

std::optional<std::int64_t> SubscriptionTable::first_end_ns() const {
  if (ends_.empty()) return std::nullopt;
  return ends_.begin()->first;
}

void SubscriptionTable::add(Subscription subscription) {
  auto id = subscription.id;
  const auto [it, is_new] = by_id_.emplace(std::move(id), std::move(subscription));
  CHECK(is_new);
  const auto& one = it->second;
  ends_.emplace(one.expires_ns, one.id);
  for (auto& key : keys_of(one)) by_queue_[std::move(key)].insert(&one);
  by_tenant_[one.tenant].insert(&one);
  bytes_ += bytes_of(one);
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
  const auto leave = [&one](auto& map, const std::string& key) {
    const auto it = map.find(key);
    if (it == map.end()) return;
    it->second.erase(&one);
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
