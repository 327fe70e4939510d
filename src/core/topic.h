// A topic: the policy of one queue of one tenant. Its name is the queue's command in lower case.
//
// Shape    a topic may be there before its queue and stay after it; State applies its policy (docs/topics.md)
// Errors   values are within the bounds below wherever they came in; decoding checks nothing but the bytes
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace codeq::core {

inline constexpr std::size_t kTopicsPerTenantMax = 10'000;

struct TopicPolicy {
  std::vector<std::uint8_t> priority_tiers;  // sorted; kept and told, decides nothing
  std::uint32_t max_attempts = 1;  // of tasks that bring no number of their own
  std::string dead_letter;  // the queue that gets a copy of what dies here; empty: none
  std::int64_t retention_seconds = 0;  // of tasks that end here; 0: the setting's
  std::uint32_t max_consumers = 0;  // workers that hold leases here at the same time; 0: any number
  bool operator==(const TopicPolicy&) const = default;
};

struct Topic {
  std::string tenant, name;
  TopicPolicy policy;
  std::int64_t version = 0;  // 1, and one more with every change of the policy
  std::int64_t created_ns = 0, updated_ns = 0;
};

}  // namespace codeq::core
