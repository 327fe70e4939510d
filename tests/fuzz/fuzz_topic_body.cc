// fuzz-room: codeq_transport
// Bodies of topics and subscriptions from anywhere: what is taken keeps every rule that the broker relies on.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transport/http/decode_topics.h"

using namespace codeq::transport::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (auto topic = decode_topic_body(body, 64); topic && !check_topic("name", *topic)) {
    const auto policy = policy_of(*std::move(topic));
    const auto& tiers = policy.priority_tiers;
    if (tiers.empty() || tiers.size() > 10 || !std::is_sorted(tiers.begin(), tiers.end()) || tiers.back() > 10)
      std::abort();
    if (policy.max_attempts < 1 || policy.max_attempts > 100 || policy.max_consumers > 10'000) std::abort();
    if (!valid_topic_name(policy.dead_letter) || policy.dead_letter == "name") std::abort();
  }
  if (const auto ask = decode_subscribe(body, 64); ask && ask->callback_url.empty()) std::abort();
  (void)decode_ttl_seconds(body, 64);
  (void)valid_topic_name(body);
  return 0;
}
