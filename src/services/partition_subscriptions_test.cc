// Subscriptions through the broker's calls: who is called, when, with what, and that nobody waits for it.
#include "services/test_process.h"

namespace codeq::services {
namespace {

using Mode = core::DeliveryMode;

struct SubscriptionsTest : testing::Test {
  StepProcess p;
  SubscriptionsTest() { p.start(); }
  static std::string url(int n) { return "http://hooks.example/" + std::to_string(n); }
  std::vector<std::string> urls() {
    std::vector<std::string> found;
    for (const auto& job : p.sent()) found.push_back(job.url);
    std::sort(found.begin(), found.end());
    return found;
  }
  std::string metrics() { return p.metrics.exposition({}); }
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_F(SubscriptionsTest, ACreateCallsEverySubscriberOfItsTenantAndNoOtherOne_Q8) {
  ASSERT_TRUE(p.subscribe({.callback_url = url(1), .event_types = {"RENDER"}}).has_value());
  ASSERT_TRUE(p.subscribe({.callback_url = url(2), .event_types = {"other", "*"}}, "acme", "bob").has_value());
  ASSERT_TRUE(p.subscribe({.callback_url = url(3)}, "globex").has_value());
  p.create();
  EXPECT_EQ(urls(), (std::vector<std::string>{url(1), url(2)}));
  p.create({}, "globex");
  EXPECT_EQ(urls(), std::vector<std::string>{url(3)});
}

// Whoever subscribes between two creates that the partition takes together is told of the second one.
TEST_F(SubscriptionsTest, WhatBecomesReadyAfterASubscriptionCallsItHoweverCloseTheyCome) {
  const auto create = [this] {
    std::vector<CreateTask> asks(1);
    asks[0].command = "Render";
    asks[0].payload = "{}";
    p.partition->create(p.caller(), std::move(asks), [](auto made) { ASSERT_TRUE(made.has_value()); });
  };
  create();
  p.partition->subscribe(p.caller(), {.callback_url = url(1), .event_types = {"render"}},
                         [](auto made) { ASSERT_TRUE(made.has_value()); });
  create();
  p.settle();
  EXPECT_EQ(urls(), std::vector<std::string>{url(1)});
}

TEST_F(SubscriptionsTest, ACallTellsTheRealDepthUnderAnIdOfItsOwnInTheTraceOfWhatWokeTheQueue_G18) {
  const auto subscription = p.subscribe({.min_interval_seconds = 1});
  p.create({.command = "Render"});
  p.pass(1);
  const auto second = p.create({.command = "Render", .priority = 1});
  const auto jobs = p.sent();
  ASSERT_EQ(jobs.size(), 2U);
  const auto& body = jobs[1].body;
  EXPECT_TRUE(has(
      body, R"({"eventType":"Render","available":true,"queueDepth":2,"claimUrl":"/v1/codeq/tasks/claim","sentAt":")"))
      << body;
  EXPECT_TRUE(has(body, R"(Z","notificationId":")" + jobs[1].message_id + "\"}")) << body;
  EXPECT_NE(jobs[0].message_id, jobs[1].message_id);
  EXPECT_EQ(jobs[0].id, 0U);
  p.partition->stop();
  for (const auto& span : p.tracer.spans()) {
    if (span.name != "codeq.webhook.queue_ready" || span.context.trace_id != second.context.trace_id) continue;
    EXPECT_EQ(jobs[1].traceparent, core::format_traceparent(span.context));
    EXPECT_EQ(span.parent, second.context.span_id);
    EXPECT_EQ(span.kind, observe::SpanKind::kClient);
    EXPECT_EQ(span.scope, observe::Scope::kNotifier);
    EXPECT_EQ(span.attribute("codeq.subscription.id"), subscription->id);
    EXPECT_EQ(span.attribute("codeq.webhook.kind"), "queue_ready");
    EXPECT_EQ(span.attribute("codeq.webhook.host"), "hooks.example:8080");
    EXPECT_EQ(span.attribute("server.address"), "hooks.example");
    EXPECT_EQ(span.attribute("http.response.status_code"), "200");
    return;
  }
  ADD_FAILURE() << "no span";
}

TEST_F(SubscriptionsTest, WorkThatBecomesDueOrComesBackCallsToo_G18) {
  p.subscribe({.min_interval_seconds = 1}).value();
  p.create({.delay_ms = 10'000});
  EXPECT_TRUE(p.sent().empty());
  p.pass(10);
  EXPECT_EQ(p.sent().size(), 1U) << "due";
  p.pass(2);
  auto task = p.claim().at(0);
  ASSERT_TRUE(p.abandon(task).has_value());
  EXPECT_EQ(p.sent().size(), 1U) << "abandoned";
  p.pass(2);
  task = p.claim().at(0);
  ASSERT_TRUE(p.nack(task).has_value());
  EXPECT_TRUE(p.sent().empty());
  p.pass(2);
  EXPECT_EQ(p.sent().size(), 1U) << "nacked";
  p.claim();
  p.pass(30);
  EXPECT_TRUE(p.sent().empty());
  p.pass(5);
  EXPECT_EQ(p.sent().size(), 1U) << "expired";
}

TEST_F(SubscriptionsTest, ACreateIsAnsweredBeforeAnySubscriberHasAnswered_Q10_G18) {
  for (int i = 0; i < 100; ++i) p.subscribe({.callback_url = url(i)}).value();
  p.create();  // answered, although nobody answers the calls
  EXPECT_EQ(p.sender.jobs.size(), 8U) << "one host: a few at a time";
  EXPECT_EQ(p.claim().size(), 1U);
}

TEST_F(SubscriptionsTest, AGroupTakesTurnsAndPassesOverAMemberWhoseIntervalIsNotOver_Q13_G18) {
  for (int i = 0; i < 3; ++i)
    p.subscribe({.callback_url = url(i), .mode = Mode::kGroup, .group = "g", .min_interval_seconds = 60}).value();
  std::set<std::string> called;
  for (int i = 0; i < 3; ++i) {
    p.create();
    const auto now = urls();
    ASSERT_EQ(now.size(), 1U) << i;
    called.insert(now.begin(), now.end());
  }
  EXPECT_EQ(called.size(), 3U) << "each in its turn";
  p.create();
  EXPECT_TRUE(p.sent().empty()) << "all three are within their interval";
  p.pass(60);
  p.create();
  EXPECT_EQ(p.sent().size(), 1U);
}

TEST_F(SubscriptionsTest, HashTakesTheMemberOfTheMinute_Q13_G18) {
  for (int i = 0; i < 2; ++i)
    p.subscribe({.callback_url = url(i), .ttl_seconds = 3600, .mode = Mode::kHash, .min_interval_seconds = 1}).value();
  std::set<std::string> called;
  for (int minute = 0; minute < 4; ++minute) {
    p.create();
    const auto first = urls();
    p.pass(1);
    p.create();
    const auto again = urls();
    ASSERT_EQ(first.size(), 1U);
    ASSERT_EQ(again.size(), 1U);
    called.insert(first.begin(), first.end());
    p.pass(60);
  }
  EXPECT_EQ(called.size(), 2U);
}

TEST_F(SubscriptionsTest, TheIntervalOfTheSettingsHoldsWhereNoneIsNamed) {
  p.subscribe({}).value();
  p.create();
  p.pass(4);
  p.create();
  EXPECT_EQ(p.sent().size(), 1U);
  p.pass(1);
  p.create();
  EXPECT_EQ(p.sent().size(), 1U);
}

TEST_F(SubscriptionsTest, WhatAParkedClaimTookCallsNobody) {
  p.subscribe({}).value();
  std::optional<std::vector<TaskSnapshot>> parked;
  p.partition->claim(p.caller(), {.commands = {"render"}, .count = 1, .lease_seconds = 30, .wait_ms = 60'000},
                     [&](auto result) { parked = std::move(*result); });
  p.create();
  EXPECT_TRUE(parked.has_value());
  EXPECT_TRUE(p.sent().empty());
}

TEST_F(SubscriptionsTest, AFailedCallIsCountedAndNotRepeated) {
  p.subscribe({}).value();
  p.create({.command = "Render"});
  ASSERT_EQ(p.sender.jobs.size(), 1U);
  p.sender.jobs[0].finished({.http_status = 0, .error = "refused-address"});
  p.sender.jobs.clear();
  p.pass(600);
  EXPECT_TRUE(p.sender.jobs.empty());
  EXPECT_TRUE(
      has(metrics(), R"(codeq_webhook_deliveries_total{kind="queue_ready",command="Render",outcome="failure"} 1)"))
      << metrics();
}

TEST_F(SubscriptionsTest, MoreCallsThanTheBoundAreDroppedAndCounted) {
  const auto host = [](int n) { return "http://hooks-" + std::to_string(n) + ".example/"; };
  for (int i = 0; i < 900; ++i) p.subscribe({.callback_url = host(i), .event_types = {"a", "b"}}).value();
  p.create({.command = "a"});
  p.pass(5);
  p.create({.command = "b"});
  EXPECT_TRUE(has(metrics(), R"(codeq_webhook_deliveries_total{kind="queue_ready",command="b",outcome="dropped"} 776)"))
      << metrics();
  // Another tenant is called all the same, and at once.
  const auto before = p.sender.jobs.size();
  EXPECT_EQ(before, 64U);
  p.subscribe({.callback_url = "http://other.example/", .event_types = {"a"}}, "globex").value();
  p.create({.command = "a"}, "globex");
  ASSERT_EQ(p.sender.jobs.size(), before + 1);
  EXPECT_EQ(p.sender.jobs.back().job.url, "http://other.example/");
  std::size_t sent = 0;
  while (!p.sender.jobs.empty()) sent += p.sent().size();
  EXPECT_EQ(sent, 1024U + 1);
}

TEST_F(SubscriptionsTest, SubscriptionsEndWithTheirTimeAndSurviveAKill_Q8) {
  const auto kept = p.subscribe({.ttl_seconds = 100}).value();
  const auto gone = p.subscribe({.callback_url = url(1), .ttl_seconds = 10}).value();
  p.crash_and_start();
  const auto list = [&](std::string tenant) {
    return p
        .ask<std::vector<core::Subscription>>(
            [&](auto done) { p.partition->list_subscriptions(p.caller(std::move(tenant)), std::move(done)); })
        .value();
  };
  EXPECT_EQ(list("acme").size(), 2U);
  EXPECT_TRUE(list("globex").empty());
  const auto renew = [&](const std::string& id, std::string tenant, std::string subject) {
    return p.ask<core::Subscription>([&](auto done) {
      p.partition->renew_subscription(p.caller(std::move(tenant), std::move(subject)), id, 50, std::move(done));
    });
  };
  p.pass(10);
  EXPECT_FALSE(renew(gone.id, "acme", "alice").has_value()) << "over at its end instant";
  EXPECT_EQ(list("acme").size(), 1U);
  EXPECT_FALSE(renew(kept.id, "globex", "alice").has_value());
  EXPECT_FALSE(renew(kept.id, "acme", "bob").has_value());
  const auto renewed = renew(kept.id, "acme", "alice");
  ASSERT_TRUE(renewed.has_value());
  EXPECT_EQ(renewed->expires_ns - p.partition->now_ns(), 50 * kNanosPerSecond);
  p.create();
  EXPECT_EQ(p.sent().size(), 1U);
  p.pass(200);
  EXPECT_TRUE(p.partition->state().subscriptions().empty());
  p.settle();
  int rows = 0;
  ASSERT_TRUE(p.store
                  .scan(core::Table::kMeta, core::kSubscriptionRows, core::kSubscriptionRowsEnd,
                        [&](auto, auto) { return ++rows > 0; })
                  .has_value());
  EXPECT_EQ(rows, 0) << "nothing stays in the store";
}

TEST_F(SubscriptionsTest, OnlyTheOwnerEndsASubscription_Q8) {
  const auto made = p.subscribe({}).value();
  const auto end = [&](std::string tenant, std::string subject) {
    return p
        .ask<void>([&](auto done) {
          p.partition->unsubscribe(p.caller(std::move(tenant), std::move(subject)), made.id, std::move(done));
        })
        .has_value();
  };
  EXPECT_FALSE(end("acme", "bob"));
  EXPECT_FALSE(end("globex", "alice"));
  EXPECT_TRUE(end("acme", "alice"));
  EXPECT_FALSE(end("acme", "alice"));
  p.create();
  EXPECT_TRUE(p.sent().empty());
}

TEST_F(SubscriptionsTest, ACallThatStillWaitsForItsTurnIsNotMadeOnceItsSubscriptionIsGone) {
  std::map<std::string, core::Subscription> waiting;
  for (int i = 0; i < 11; ++i) waiting[url(i)] = p.subscribe({.callback_url = url(i)}).value();
  p.create();
  ASSERT_EQ(p.sender.jobs.size(), 8U) << "one host: a few at a time";
  for (const auto& job : p.sender.jobs) waiting.erase(job.job.url);
  ASSERT_EQ(waiting.size(), 3U);
  const auto removed = waiting.begin()->second, over = std::next(waiting.begin())->second;
  ASSERT_TRUE(p.ask<void>([&](auto done) {
                 p.partition->unsubscribe(p.caller("acme", "alice"), removed.id, std::move(done));
               }).has_value());
  ASSERT_TRUE(p.ask<core::Subscription>([&](auto done) {
                 p.partition->renew_subscription(p.caller("acme", "alice"), over.id, 10, std::move(done));
               }).has_value());
  p.pass(11);
  p.sent();  // the first eight are answered: it is the others' turn
  EXPECT_EQ(urls(), std::vector<std::string>{waiting.rbegin()->first});
}

TEST_F(SubscriptionsTest, WhatASubscriptionMustBe) {
  const auto refused = [&](Subscribe ask) {
    const auto result = p.subscribe(std::move(ask));
    return result ? std::string("taken") : result.error().message;
  };
  EXPECT_EQ(refused({.callback_url = "ftp://x"}), "invalid callback url");
  EXPECT_EQ(refused({.callback_url = "http://user@h/"}), "invalid callback url");
  EXPECT_EQ(refused({.callback_url = "http://h/" + std::string(3000, 'x')}), "invalid callback url");
  EXPECT_EQ(refused({.mode = Mode::kGroup}), "groupId is required");
  EXPECT_EQ(refused({.event_types = {""}}), "invalid eventTypes");
  EXPECT_EQ(refused({.event_types = std::vector<std::string>(101, "a")}),
            "eventTypes: at most 100 of at most 256 bytes, 4096 bytes together");
  EXPECT_EQ(p.subscribe({.ttl_seconds = INT64_MAX})->expires_ns - p.partition->now_ns(), 86'400 * kNanosPerSecond);
  EXPECT_EQ(p.subscribe({.ttl_seconds = -1})->expires_ns - p.partition->now_ns(), 300 * kNanosPerSecond);
  for (int i = 2; i < 1000; ++i) ASSERT_TRUE(p.subscribe({}).has_value());
  EXPECT_EQ(refused({}), "too many subscriptions");
  EXPECT_TRUE(p.subscribe({}, "globex").has_value());
}

TEST(Subscriptions, ARateLimitDropsCallsAndCountsThem) {
  StepProcess p;
  p.may_notify = [](std::string_view url) { return url != "http://hooks.example/limited"; };
  p.start();
  p.subscribe({.callback_url = "http://hooks.example/limited"}).value();
  p.subscribe({.callback_url = "http://hooks.example/free"}).value();
  p.create({.command = "Render"});
  const auto jobs = p.sent();
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].url, "http://hooks.example/free");
  const auto page = p.metrics.exposition({});
  EXPECT_TRUE(has(page, R"(codeq_rate_limit_hits_total{scope="webhook",operation="queue_ready"} 1)")) << page;
  EXPECT_TRUE(has(page, R"(kind="queue_ready",command="Render",outcome="dropped"} 1)")) << page;
}

TEST_F(SubscriptionsTest, TheGaugeCountsThemByCommandOverAllTenants) {
  p.subscribe({.event_types = {"a", "b"}}).value();
  p.subscribe({.event_types = {"a"}}, "globex").value();
  const auto gauges = p.ask<observe::Gauges>([&](auto done) { p.partition->gauges(std::move(done)); }).value();
  EXPECT_EQ(gauges.subscriptions, (std::vector<std::pair<std::string, std::uint64_t>>{{"a", 2}, {"b", 1}}));
}

}  // namespace
}  // namespace codeq::services
