#include "services/notifier.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace codeq::services {
namespace {

core::Subscription member(std::string id, core::DeliveryMode mode, std::string group = "") {
  core::Subscription one;
  one.id = std::move(id);
  one.mode = mode;
  one.group = std::move(group);
  one.min_interval_seconds = 10;
  return one;
}

TEST(Notifier, EveryGroupHasItsOwnTurnInEveryQueue) {
  using enum core::DeliveryMode;
  const auto a = member("a", kGroup, "g"), b = member("b", kGroup, "g"), c = member("c", kGroup, "h"),
             f = member("f", kFanout);
  Notifier notifier({});
  std::int64_t now = 0;
  const auto ids = [&](const std::string& queue) {
    std::string text;
    for (const auto* one : notifier.choose(queue, {&a, &b, &c, &f}, now)) text += one->id;
    now += 10 * kNanosPerSecond;
    return text;
  };
  EXPECT_EQ(ids("q"), "fac");
  EXPECT_EQ(ids("q"), "fbc");
  EXPECT_EQ(ids("r"), "fac");
  EXPECT_EQ(ids("q"), "fac");
}

TEST(Notifier, AForgottenSubscriptionLeavesNoInterval) {
  const auto f = member("f", core::DeliveryMode::kFanout);
  Notifier notifier({});
  EXPECT_EQ(notifier.choose("q", {&f}, 0).size(), 1U);
  EXPECT_TRUE(notifier.choose("q", {&f}, 10 * kNanosPerSecond - 1).empty());
  notifier.forget("f");
  EXPECT_EQ(notifier.choose("q", {&f}, 1).size(), 1U);
}

TEST(Notifier, ASlowHostHoldsUpItselfAlone) {
  Notifier notifier({.under_way = {.per_host = 1, .total = 10}, .waiting = 4});
  for (const char* host : {"slow", "slow", "quick"})
    EXPECT_TRUE(notifier.offer({.subscription = "s", .url = "u", .host = host, .task = {}}, 0));
  auto started = notifier.start(0);
  ASSERT_EQ(started.size(), 2U);
  EXPECT_EQ(notifier.notice(started[1]).host, "quick");
  EXPECT_TRUE(notifier.offer({.subscription = "s", .url = "u", .host = "x", .task = {}}, 0));
  EXPECT_FALSE(notifier.offer({.subscription = "s", .url = "u", .host = "x", .task = {}}, 0));
  notifier.finished(started[0]);
  EXPECT_EQ(notifier.start(0).size(), 2U);
  EXPECT_FALSE(notifier.idle());
}

}  // namespace
}  // namespace codeq::services
