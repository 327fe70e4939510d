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
  Notifier notifier({.under_way = {.per_host = 1, .total = 10}, .waiting = 8});
  for (const char* host : {"slow", "slow", "quick"})
    EXPECT_TRUE(notifier.offer({.tenant = "t", .subscription = "s", .url = "u", .host = host, .task = {}}, 0));
  auto started = notifier.start(0);
  ASSERT_EQ(started.size(), 2U);
  EXPECT_EQ(notifier.notice(started[1]).host, "quick");
  EXPECT_TRUE(notifier.offer({.tenant = "t", .subscription = "s", .url = "u", .host = "x", .task = {}}, 0));
  EXPECT_FALSE(notifier.offer({.tenant = "t", .subscription = "s", .url = "u", .host = "x", .task = {}}, 0));
  notifier.finished(started[0]);
  EXPECT_EQ(notifier.start(0).size(), 2U);
  EXPECT_FALSE(notifier.idle());
}

TEST(Notifier, OneTenantNeitherFillsTheRoomNorTakesEveryPlace) {
  Notifier notifier({.under_way = {.per_host = 2, .total = 8}, .waiting = 40});
  const auto offer = [&](const std::string& tenant, std::size_t count) {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (notifier.offer(
              {.tenant = tenant, .subscription = "s", .url = "u", .host = tenant + std::to_string(i), .task = {}}, 0))
        ++taken;
    return taken;
  };
  const auto tenants = [&](const std::vector<std::uint64_t>& ids) {
    std::string text;
    for (const auto id : ids) text += notifier.notice(id).tenant;
    return text;
  };
  EXPECT_EQ(offer("a", 100), 20U);  // half of the room, alone
  auto of_a = notifier.start(0);
  EXPECT_EQ(tenants(of_a), "aaaa");  // and half of the places
  EXPECT_TRUE(notifier.start(0).empty());
  EXPECT_EQ(offer("b", 100), 10U);  // a quarter for who comes later
  EXPECT_EQ(offer("c", 3), 3U);
  const auto others = notifier.start(0);
  EXPECT_EQ(tenants(others), "bbcc");
  EXPECT_EQ(offer("a", 1), 0U);
  // Now everything is under way that may be: a place that is left goes to who has least of them.
  notifier.finished(of_a[0]);
  EXPECT_EQ(tenants(notifier.start(0)), "");  // a has more than its quarter, b and c have theirs
  notifier.finished(of_a[1]);
  notifier.finished(others[2]);
  EXPECT_EQ(tenants(notifier.start(0)), "c");
  notifier.finished(of_a[2]);
  EXPECT_EQ(tenants(notifier.start(0)), "a");
}

TEST(Notifier, EverythingThatWasTakenIsCalledInTheEndAndNothingStays) {
  Notifier notifier({.under_way = {.per_host = 1, .total = 8}, .waiting = 400});
  std::size_t offered = 0, called = 0;
  for (int i = 0; i < 90; ++i)
    for (const char* tenant : {"a", "b", "c"})
      if (notifier.offer(
              {.tenant = tenant, .subscription = "s", .url = "u", .host = "h" + std::to_string(i % 12), .task = {}}, 0))
        ++offered;
  EXPECT_EQ(offered, 270U);
  for (auto ids = notifier.start(0); !ids.empty(); ids = notifier.start(0))
    for (const auto id : ids) {
      ++called;
      notifier.finished(id);
    }
  EXPECT_EQ(called, offered);
  EXPECT_TRUE(notifier.idle());
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
        ASSERT_TRUE(notifier.offer(
            {.tenant = "t" + std::to_string(i), .subscription = "s", .url = "u", .host = host, .task = {}}, 0));
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
