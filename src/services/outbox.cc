#include "services/outbox.h"

namespace codeq::services {

void Outbox::schedule(std::uint64_t delivery, std::string host, std::int64_t due_ns) {
  host_of_[delivery] = std::move(host);
  due_.insert({due_ns, delivery});
}

std::vector<std::uint64_t> Outbox::start(std::int64_t now_ns) {
  std::vector<std::uint64_t> started;
  const auto begin = [&](Host& host, std::uint64_t delivery) {
    ++host.under_way;
    ++under_way_;
    started.push_back(delivery);
  };
  while (!freed_.empty() && under_way_ < limits_.total) {
    auto& host = hosts_[freed_.front()];
    freed_.pop_front();
    if (host.waiting.empty() || host.under_way >= limits_.per_host) continue;
    begin(host, host.waiting.front());
    host.waiting.pop_front();
  }
  while (!due_.empty() && due_.begin()->first <= now_ns && under_way_ < limits_.total) {
    const auto delivery = due_.begin()->second;
    due_.erase(due_.begin());
    auto& host = hosts_[host_of_.at(delivery)];
    if (host.under_way < limits_.per_host && host.waiting.empty())
      begin(host, delivery);
    else
      host.waiting.push_back(delivery);
  }
  return started;
}

void Outbox::finished(std::uint64_t delivery) {
  const auto name = host_of_.extract(delivery);
  if (name.empty()) return;
  const auto it = hosts_.find(name.mapped());
  --it->second.under_way;
  --under_way_;
  if (!it->second.waiting.empty())
    freed_.push_back(name.mapped());
  else if (it->second.under_way == 0)
    hosts_.erase(it);
}

std::optional<std::int64_t> Outbox::next_due() const {
  if (!freed_.empty() && under_way_ < limits_.total) return 0;
  if (due_.empty() || under_way_ >= limits_.total) return std::nullopt;  // a finish comes first, and wakes us
  return due_.begin()->first;
}

}  // namespace codeq::services
