// Who wants to be called when a queue gets work, and until when.
//
// Shape    by id; by queue, for the call; by end, for the clean-up. Part of the state: a restart keeps it
// Time     a subscription is over at its end instant
// Threads  owned by the state
// Cost     O(log n); of_queue one step for each subscription of the queue, nothing is looked up or copied
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

namespace codeq::core {

inline constexpr std::size_t kSubscriptionsPerTenantMax = 1000;
inline constexpr std::string_view kAnyCommand = "*";

enum class DeliveryMode : std::uint8_t { kFanout = 1, kGroup, kHash };

struct Subscription {
  std::string id;
  std::string tenant, owner;  // who made it: tenant and subject
  std::string callback_url;
  std::string host;                      // host[:port] of it, what a span may show
  std::vector<std::string> event_types;  // commands; kAnyCommand means every one of the tenant
  DeliveryMode mode = DeliveryMode::kFanout;
  std::string group;
  std::int64_t min_interval_seconds = 0;  // between two calls; 0: none
  std::int64_t created_ns = 0, expires_ns = 0;
};

class SubscriptionTable {
 public:
  SubscriptionTable() = default;
  SubscriptionTable(const SubscriptionTable&) = delete;  // its lines point into it
  SubscriptionTable& operator=(const SubscriptionTable&) = delete;
  [[nodiscard]] bool empty() const { return by_id_.empty(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }  // about
  [[nodiscard]] const Subscription* find(const std::string& id) const;
  [[nodiscard]] std::size_t count(const std::string& tenant) const;
  // In order of their ids; those that are not over at `now_ns`. Valid until one is added or removed.
  [[nodiscard]] std::vector<const Subscription*> of_tenant(const std::string& tenant, std::int64_t now_ns) const;
  [[nodiscard]] std::vector<const Subscription*> of_queue(std::string_view tenant, std::string_view command,
                                                          std::int64_t now_ns) const;
  [[nodiscard]] std::optional<std::int64_t> first_end_ns() const;
  [[nodiscard]] const std::map<std::string, Subscription>& all() const { return by_id_; }

  void add(Subscription subscription);  // of a new id
  void renew(const std::string& id, std::int64_t expires_ns);
  void remove(const std::string& id);
  // Those that are over, the first ones to end first.
  [[nodiscard]] std::vector<std::string> over(std::int64_t now_ns, std::size_t limit) const;

 private:
  static std::vector<std::string> keys_of(const Subscription& subscription);
  static std::size_t bytes_of(const Subscription& subscription);

  struct ById {
    bool operator()(const Subscription* a, const Subscription* b) const { return a->id < b->id; }
  };
  using Line = std::set<const Subscription*, ById>;  // of those in by_id_

  std::map<std::string, Subscription> by_id_;
  std::set<std::pair<std::int64_t, std::string>> ends_;
  std::unordered_map<std::string, Line> by_queue_;  // by core::queue_key
  std::unordered_map<std::string, Line> by_tenant_;
  std::size_t bytes_ = 0;
};

}  // namespace codeq::core
