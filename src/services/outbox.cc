#include "services/outbox.h"

namespace codeq::services {

void Outbox::schedule(std::uint64_t delivery, std::string host, std::int64_t due_ns, std::string tenant) {
  whose_[delivery] = {.host = std::move(host), .tenant = std::move(tenant)};
  due_.insert({due_ns, delivery});
}

bool Outbox::has_share(std::uint64_t delivery) const {
  const auto& tenant = whose_.at(delivery).tenant;
  if (tenant.empty()) return under_way_ < limits_.total;
  const auto it = tenants_.find(tenant);
  return within_share(limits_.total, under_way_, it == tenants_.end() ? 0 : it->second.under_way);
}

// Until its tenant has a share for it.
void Outbox::hold(std::uint64_t delivery) {
  const auto& name = whose_.at(delivery).tenant;
  auto& line = tenants_[name];
  if (line.waiting.empty()) held_.push_back(name);
  line.waiting.push_back(delivery);
}

void Outbox::begin(std::uint64_t delivery, std::vector<std::uint64_t>& started) {
  const auto& whose = whose_.at(delivery);
  ++hosts_[whose.host].under_way;
  if (!whose.tenant.empty()) ++tenants_[whose.tenant].under_way;
  ++under_way_;
  started.push_back(delivery);
}

void Outbox::place(std::uint64_t delivery, std::vector<std::uint64_t>& started) {
  auto& host = hosts_[whose_.at(delivery).host];
  if (host.under_way < limits_.per_host && host.waiting.empty())
    begin(delivery, started);
  else
    host.waiting.push_back(delivery);
}

std::vector<std::uint64_t> Outbox::start(std::int64_t now_ns) {
  std::vector<std::uint64_t> started;
  // Who was held up before, in turn, one of each tenant at a time.
  for (std::size_t without = 0; without < held_.size() && under_way_ < limits_.total;) {
    auto name = std::move(held_.front());
    held_.pop_front();
    auto& line = tenants_.at(name);
    if (has_share(line.waiting.front())) {
      const auto delivery = line.waiting.front();
      line.waiting.pop_front();
      place(delivery, started);
      without = 0;
    } else {
      ++without;
    }
    if (!tenants_.at(name).waiting.empty())
      held_.push_back(std::move(name));
    else
      leave(tenants_, name);
  }
  while (!freed_.empty() && under_way_ < limits_.total) {
    const auto name = std::move(freed_.front());
    freed_.pop_front();
    const auto it = hosts_.find(name);
    if (it == hosts_.end()) continue;
    auto& host = it->second;
    while (!host.waiting.empty() && host.under_way < limits_.per_host) {
      const auto delivery = host.waiting.front();
      host.waiting.pop_front();
      if (has_share(delivery)) {
        begin(delivery, started);
        break;
      }
      hold(delivery);
    }
    leave(hosts_, name);
  }
  while (!due_.empty() && due_.begin()->first <= now_ns && under_way_ < limits_.total) {
    const auto delivery = due_.begin()->second;
    due_.erase(due_.begin());
    if (has_share(delivery))
      place(delivery, started);
    else
      hold(delivery);
  }
  return started;
}

void Outbox::leave(std::unordered_map<std::string, Line>& lines, const std::string& name) {
  const auto it = lines.find(name);
  if (it != lines.end() && it->second.under_way == 0 && it->second.waiting.empty()) lines.erase(it);
}

void Outbox::finished(std::uint64_t delivery) {
  const auto node = whose_.extract(delivery);
  if (node.empty()) return;
  const auto& [host, tenant] = node.mapped();
  auto& line = hosts_.at(host);
  --line.under_way;
  --under_way_;
  if (!line.waiting.empty())
    freed_.push_back(host);
  else
    leave(hosts_, host);
  if (tenant.empty()) return;
  --tenants_.at(tenant).under_way;
  leave(tenants_, tenant);
}

std::optional<std::int64_t> Outbox::next_due() const {
  if (!freed_.empty() && under_way_ < limits_.total) return 0;
  if (due_.empty() || under_way_ >= limits_.total) return std::nullopt;  // a finish comes first, and wakes us
  return due_.begin()->first;
}

}  // namespace codeq::services
