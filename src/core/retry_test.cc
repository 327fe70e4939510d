#include "core/retry.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "base/rng.h"

namespace codeq::core {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

std::int64_t delay(RetryKind kind, std::uint32_t attempts, std::uint64_t draw = 0, std::int64_t base = 5,
                   std::int64_t max = 900) {
  return retry_delay_seconds({.kind = kind, .base_seconds = base, .max_seconds = max}, attempts, draw);
}

TEST(Retry, FixedWaitsTheBaseUpToTheMaximum) {
  EXPECT_EQ(delay(RetryKind::kFixed, 1), 5);
  EXPECT_EQ(delay(RetryKind::kFixed, 100), 5);
  EXPECT_EQ(delay(RetryKind::kFixed, 1, 0, 1000, 900), 900);
}

TEST(Retry, LinearGrowsByTheBaseAndCountsAtLeastOneAttempt) {
  EXPECT_EQ(delay(RetryKind::kLinear, 0), 5);
  EXPECT_EQ(delay(RetryKind::kLinear, 1), 5);
  EXPECT_EQ(delay(RetryKind::kLinear, 3), 15);
  EXPECT_EQ(delay(RetryKind::kLinear, 180), 900);
  EXPECT_EQ(delay(RetryKind::kLinear, 181), 900);
}

TEST(Retry, ExponentialDoublesUntilTheMaximum) {
  EXPECT_EQ(delay(RetryKind::kExponential, 0), 5);
  EXPECT_EQ(delay(RetryKind::kExponential, 1), 10);
  EXPECT_EQ(delay(RetryKind::kExponential, 7), 640);
  EXPECT_EQ(delay(RetryKind::kExponential, 8), 900);
}

TEST(Retry, EqualJitterWaitsBetweenHalfAndWhole) {
  EXPECT_EQ(delay(RetryKind::kExpEqualJitter, 1, 0), 5);
  EXPECT_EQ(delay(RetryKind::kExpEqualJitter, 1, 5), 10);
  EXPECT_EQ(delay(RetryKind::kExpEqualJitter, 1, 6), 5);
  EXPECT_EQ(delay(RetryKind::kExpEqualJitter, 0, 0), 2);  // c = 5, h = 2
  EXPECT_EQ(delay(RetryKind::kExpEqualJitter, 0, 2), 4);
}

TEST(Retry, FullJitterWaitsAnythingFromNowToTheWhole) {
  bool seen[11] = {};
  SeededRng rng(3);
  for (int i = 0; i < 1000; ++i) {
    const auto seconds =
        delay(RetryKind::kExpFullJitter, 1, rng.next());  // the defaults: 0..10 s after the first failure
    ASSERT_GE(seconds, 0);
    ASSERT_LE(seconds, 10);
    seen[seconds] = true;
  }
  for (const bool each : seen) EXPECT_TRUE(each);
}

TEST(Retry, ABaseOrMaximumThatMakesNoSenseIsReplaced) {
  EXPECT_EQ(delay(RetryKind::kFixed, 1, 0, 0, 900), 1);
  EXPECT_EQ(delay(RetryKind::kExponential, 3, 0, -7, 900), 8);
  EXPECT_EQ(delay(RetryKind::kExponential, 3, 0, 7, 0), 7);
  EXPECT_EQ(delay(RetryKind::kExponential, 3, 0, std::numeric_limits<std::int64_t>::min(), -1), 1);
}

TEST(Retry, Q17TenThousandAttemptsOverflowNothing) {
  for (std::uint32_t attempts = 0; attempts <= 10'000; ++attempts) {
    for (const auto kind : {RetryKind::kFixed, RetryKind::kLinear, RetryKind::kExponential, RetryKind::kExpEqualJitter,
                            RetryKind::kExpFullJitter}) {
      for (const auto& [base, max] :
           {std::pair<std::int64_t, std::int64_t>{5, 900}, {1, kHuge}, {kHuge, kHuge}, {kHuge, 0}}) {
        for (const std::uint64_t draw : {std::uint64_t{0}, kTop, kTop / 2}) {
          const auto seconds = delay(kind, attempts, draw, base, max);
          ASSERT_GE(seconds, 0);
          ASSERT_LE(seconds, max > 0 ? max : base);
        }
      }
    }
  }
  EXPECT_EQ(delay(RetryKind::kExponential, std::numeric_limits<std::uint32_t>::max()), 900);
}

TEST(Retry, ExponentialNeverShrinksAndStaysExactBeforeTheCap) {
  for (std::uint32_t attempts = 0; attempts < 62; ++attempts) {
    EXPECT_EQ(delay(RetryKind::kExponential, attempts, 0, 1, kHuge), std::int64_t{1} << attempts);
  }
  EXPECT_EQ(delay(RetryKind::kExponential, 63, 0, 1, kHuge), kHuge);
}

TEST(Retry, PoliciesAreKnownByTheirNames) {
  for (const std::string_view name : {"fixed", "linear", "exponential", "exp_equal_jitter", "exp_full_jitter"}) {
    const auto kind = parse_retry_kind(name);
    ASSERT_TRUE(kind.has_value()) << name;
    EXPECT_EQ(to_string(*kind), name);
  }
  EXPECT_FALSE(parse_retry_kind("").has_value());
  EXPECT_FALSE(parse_retry_kind("Fixed").has_value());
}

}  // namespace
}  // namespace codeq::core
