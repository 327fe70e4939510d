#include "services/notifier.h"

#include <map>
#include <utility>

#include "base/clock.h"

namespace codeq::services {
namespace {

constexpr std::size_t kGroupTurnsMax = 65'536;

}  // namespace

bool Notifier::take_turn(const core::Subscription& subscription, std::int64_t now_ns) {
  const auto interval_ns = subscription.min_interval_seconds * kNanosPerSecond;
  const auto [it, first] = called_ns_.try_emplace(subscription.id, now_ns);
  if (!first && now_ns - it->second < interval_ns) return false;
  it->second = now_ns;
  return true;
}

std::vector<const core::Subscription*> Notifier::choose(const std::string& queue,
                                                        const std::vector<const core::Subscription*>& subscriptions,
                                                        std::int64_t now_ns) {
  std::vector<const core::Subscription*> chosen, by_hash;
  std::map<std::string, std::vector<const core::Subscription*>> groups;
  for (const auto* one : subscriptions) switch (one->mode) {
      case core::DeliveryMode::kFanout:
        if (take_turn(*one, now_ns)) chosen.push_back(one);
        break;
      case core::DeliveryMode::kGroup: groups[one->group].push_back(one); break;
      case core::DeliveryMode::kHash: by_hash.push_back(one); break;
    }
  // The commands of a tenant are its callers' choice; forgetting all turns only lets each group begin anew.
  if (group_turns_.size() > kGroupTurnsMax) group_turns_.clear();
  for (const auto& [group, members] : groups) {
    const auto turn = group_turns_[queue + '\0' + group]++;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto* member = members[(turn + i) % members.size()];
      if (!take_turn(*member, now_ns)) continue;
      chosen.push_back(member);
      break;
    }
  }
  if (!by_hash.empty()) {
    const auto minute = static_cast<std::uint64_t>(now_ns / (60 * kNanosPerSecond));
    const auto* one = by_hash[minute % by_hash.size()];
    if (take_turn(*one, now_ns)) chosen.push_back(one);
  }
  return chosen;
}

void Notifier::forget(const std::string& subscription) { called_ns_.erase(subscription); }

bool Notifier::offer(Notice notice, std::int64_t now_ns) {
  const auto mine = notices_of_.find(notice.tenant);
  if (!within_share(limits_.waiting, notices_.size(), mine == notices_of_.end() ? 0 : mine->second)) return false;
  const auto id = ++last_id_;
  ++notices_of_[notice.tenant];
  box_.schedule(id, notice.host, now_ns, notice.tenant);
  notices_.emplace(id, std::move(notice));
  return true;
}

std::vector<std::uint64_t> Notifier::start(std::int64_t now_ns) { return box_.start(now_ns); }

void Notifier::finished(std::uint64_t id) {
  box_.finished(id);
  const auto notice = notices_.extract(id);
  const auto mine = notices_of_.find(notice.mapped().tenant);
  if (--mine->second == 0) notices_of_.erase(mine);
}

}  // namespace codeq::services
