#include "core/retry.h"

#include <algorithm>
#include <array>

namespace codeq::core {
namespace {

constexpr std::array kKinds{RetryKind::kFixed, RetryKind::kLinear, RetryKind::kExponential, RetryKind::kExpEqualJitter,
                            RetryKind::kExpFullJitter};

// min(base * 2^doublings, max) for base, max >= 1. Comparing before shifting keeps every step in range.
std::int64_t capped_power(std::int64_t base, std::uint32_t doublings, std::int64_t max) {
  if (doublings >= 63 || base > (max >> doublings)) return max;
  return base << doublings;
}

std::int64_t capped_product(std::int64_t base, std::int64_t factor, std::int64_t max) {
  return base > max / factor ? max : base * factor;
}

// Uniform over [0, last]. The bias of the remainder is below last / 2^64, far below what anyone could see in a delay.
std::int64_t uniform(std::uint64_t draw, std::int64_t last) {
  return static_cast<std::int64_t>(draw % (static_cast<std::uint64_t>(last) + 1));
}

}  // namespace

std::int64_t retry_delay_seconds(const RetryPolicy& policy, std::uint32_t attempts, std::uint64_t draw) {
  const auto base = policy.base_seconds > 0 ? policy.base_seconds : 1;
  const auto max = policy.max_seconds > 0 ? policy.max_seconds : base;
  const auto ceiling = capped_power(base, attempts, max);
  switch (policy.kind) {
    case RetryKind::kFixed: return std::min(base, max);
    case RetryKind::kLinear: return capped_product(base, std::max<std::int64_t>(1, attempts), max);
    case RetryKind::kExponential: return ceiling;
    case RetryKind::kExpEqualJitter: return ceiling / 2 + uniform(draw, ceiling / 2);
    case RetryKind::kExpFullJitter: break;
  }
  return uniform(draw, ceiling);
}

std::optional<RetryKind> parse_retry_kind(std::string_view name) {
  for (const auto kind : kKinds) {
    if (name == to_string(kind)) return kind;
  }
  return std::nullopt;
}

std::string_view to_string(RetryKind kind) {
  switch (kind) {
    case RetryKind::kFixed: return "fixed";
    case RetryKind::kLinear: return "linear";
    case RetryKind::kExponential: return "exponential";
    case RetryKind::kExpEqualJitter: return "exp_equal_jitter";
    case RetryKind::kExpFullJitter: break;
  }
  return "exp_full_jitter";
}

}  // namespace codeq::core
