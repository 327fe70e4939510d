#include "services/notifier.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

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

// Random offers, starts and ends against the rules themselves.
TEST(Notifier, EveryCallStartsOnceAsSoonAsItsHostAndTheWholeHaveAPlace) {
  constexpr std::size_t kPerHost = 3, kTotal = 7, kHosts = 5;
  std::mt19937 random(20261127);
  for (int round = 0; round < 50; ++round) {
    Notifier notifier({.under_way = {.per_host = kPerHost, .total = kTotal}, .waiting = 1000});
    std::map<std::string, std::size_t> offered, started;  // by host, all that ever were
    std::map<std::string, std::size_t> running;
    std::vector<std::uint64_t> under_way;
    std::set<std::uint64_t> seen;
    const auto start = [&] {
      for (const auto id : notifier.start(0)) {
        ASSERT_TRUE(seen.insert(id).second) << "started twice";
        const auto& host = notifier.notice(id).host;
        ++started[host];
        ASSERT_LE(++running[host], kPerHost);
        under_way.push_back(id);
      }
      ASSERT_LE(under_way.size(), kTotal);
      if (under_way.size() == kTotal) return;
      for (const auto& [host, count] : offered)
        if (running[host] < kPerHost) ASSERT_EQ(started[host], count) << host << " waits beside a free place";
    };
    const auto end_one = [&] {
      const auto at = under_way.begin() + static_cast<std::ptrdiff_t>(random() % under_way.size());
      --running[notifier.notice(*at).host];
      notifier.finished(*at);
      under_way.erase(at);
    };
    for (int i = 0; i < 200; ++i) {
      if (random() % 2 == 0) {
        const auto host = std::to_string(random() % kHosts);
        ASSERT_TRUE(notifier.offer({.subscription = "s", .url = "u", .host = host, .task = {}}, 0));
        ++offered[host];
      } else if (!under_way.empty()) {
        end_one();
      }
      if (random() % 3 != 0) ASSERT_NO_FATAL_FAILURE(start());
    }
    ASSERT_NO_FATAL_FAILURE(start());
    while (!under_way.empty()) {
      end_one();
      ASSERT_NO_FATAL_FAILURE(start());
    }
    EXPECT_EQ(started, offered) << "none was forgotten";
    EXPECT_TRUE(notifier.idle());
  }
}

}  // namespace
}  // namespace codeq::services
