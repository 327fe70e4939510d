#include "services/rate_limit.h"

#include <gtest/gtest.h>

#include <limits>

namespace codeq::services {
namespace {

struct Rates : testing::Test {
  void make(RateLimit producer, RateLimit webhook = {}) {
    RateLimits limits{};
    limits[static_cast<std::size_t>(RateBucket::kProducer)] = producer;
    limits[static_cast<std::size_t>(RateBucket::kWebhook)] = webhook;
    rates = make_rate_limiter(limits, clock);
  }
  std::int64_t take(std::string_view subject = "alice") { return rates->take(RateBucket::kProducer, subject); }
  void pass_ms(std::int64_t ms) { clock.advance_ns(ms * kNanosPerMilli); }

  ManualClock clock;
  std::unique_ptr<RateLimiter> rates;
};

TEST_F(Rates, ABucketStartsFullAndFillsAtItsRate) {
  make({.requests_per_minute = 60, .burst = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 1);
  pass_ms(999);
  EXPECT_EQ(take(), 1);
  pass_ms(1);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 1);
  pass_ms(60'000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(take(), 0);  // never more than the burst
  EXPECT_EQ(take(), 1);
}

TEST_F(Rates, TheWaitIsWhatIsMissingInWholeSeconds) {
  make({.requests_per_minute = 6, .burst = 1});
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 10);
  pass_ms(500);
  EXPECT_EQ(take(), 10);
  pass_ms(8'500);
  EXPECT_EQ(take(), 1);
}

TEST_F(Rates, SubjectsAndBucketsDoNotShare) {
  make({.requests_per_minute = 1, .burst = 1});
  EXPECT_EQ(take("alice"), 0);
  EXPECT_EQ(take("bob"), 0);
  EXPECT_EQ(take("alice"), 60);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rates->take(RateBucket::kAdmin, "alice"), 0);
}

TEST_F(Rates, ABucketIsActiveOnlyWithBothNumbers) {
  for (const RateLimit limit : {RateLimit{}, RateLimit{60, 0}, RateLimit{0, 60}, RateLimit{-1, 5}}) {
    make(limit);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(take(), 0);
  }
}

TEST_F(Rates, ExtremeNumbersAreNoTrouble) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  for (const RateLimit limit : {RateLimit{1, kMax}, RateLimit{kMax, kMax}, RateLimit{kMax, 1}}) {
    make(limit, limit);
    EXPECT_EQ(take(), 0);
    for (int i = 0; i < 10; ++i) EXPECT_GE(rates->reserve_ns(RateBucket::kWebhook, "x"), 0);
  }
}

TEST_F(Rates, AReservationIsATurnOfOnesOwn) {
  make({}, {.requests_per_minute = 60, .burst = 2});
  const auto turn = [&] { return rates->reserve_ns(RateBucket::kWebhook, "http://hook") / kNanosPerMilli; };
  EXPECT_EQ(turn(), 0);
  EXPECT_EQ(turn(), 0);
  EXPECT_EQ(turn(), 1000);
  EXPECT_EQ(turn(), 2000);
  pass_ms(500);
  EXPECT_EQ(turn(), 2500);
  EXPECT_EQ(rates->take(RateBucket::kWebhook, "http://hook"), 4);  // behind those who have their turn
}

TEST_F(Rates, WhoIsStillOwedSomethingIsNotForgottenByWaitingLong) {
  make({.requests_per_minute = 1, .burst = 100});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(take(), 0);
  pass_ms(11 * 60'000);
  EXPECT_EQ(take("bob"), 0);
  for (int i = 0; i < 11; ++i) EXPECT_EQ(take(), 0);
  EXPECT_NE(take(), 0);
}

TEST_F(Rates, MoreSubjectsThanTheBoundPushOutTheQuietestOne) {
  make({.requests_per_minute = 1, .burst = 1});
  EXPECT_EQ(take("first"), 0);
  for (std::size_t i = 0; i < RateLimiter::kSubjectsMax; ++i) EXPECT_EQ(take("s" + std::to_string(i)), 0);
  EXPECT_EQ(take("first"), 0);  // it had been forgotten
  EXPECT_NE(take("s" + std::to_string(RateLimiter::kSubjectsMax - 1)), 0);
}

}  // namespace
}  // namespace codeq::services
