// The wait before the next delivery of a task that was nacked or whose lease ran out.
//
//   a = attempts before this failure is counted, b = base, m = max,   c = min(b * 2^a, m)     (whole seconds)
//
//   fixed              min(b, m)
//   linear             min(b * max(1, a), m)
//   exponential        c
//   exp_equal_jitter   h + uniform[0, h], h = floor(c / 2)
//   exp_full_jitter    uniform[0, c]
//
// A base of 0 or less counts as 1, a maximum of 0 or less as the base.
// Source   "equal" and "full" jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015
// Errors   none; integers only, and what would overflow stops at the maximum, whatever the attempt
// Time     `draw` comes from the log record, so that a replay gets the same answer
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace codeq::core {

enum class RetryKind : std::uint8_t { kFixed = 1, kLinear, kExponential, kExpEqualJitter, kExpFullJitter };

struct RetryPolicy {
  RetryKind kind = RetryKind::kExpFullJitter;
  std::int64_t base_seconds = 5;
  std::int64_t max_seconds = 900;
  bool operator==(const RetryPolicy&) const = default;
};

// `draw` is uniform over all 64-bit values; the policies without jitter ignore it.
std::int64_t retry_delay_seconds(const RetryPolicy& policy, std::uint32_t attempts, std::uint64_t draw);

// The names above, exactly; the configuration decides what an unknown one means.
std::optional<RetryKind> parse_retry_kind(std::string_view name);
std::string_view to_string(RetryKind kind);

}  // namespace codeq::core
