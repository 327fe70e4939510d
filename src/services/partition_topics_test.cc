// Topics through the broker's calls: durable, per tenant, and applied, with tasks in memory and without.
#include "services/test_process.h"

namespace codeq::services {
namespace {

struct TopicsTest : testing::Test {
  StepProcess p;
  TopicsTest() { p.start(); }
  Result<core::Topic> get(std::string name, std::string tenant = "acme") {
    return p.ask<core::Topic>(
        [&](auto done) { p.partition->get_topic(p.caller(std::move(tenant)), std::move(name), std::move(done)); });
  }
  std::optional<std::vector<TaskSnapshot>> parked;
  void park(std::optional<std::vector<TaskSnapshot>>& into, std::string subject, std::vector<std::string> commands) {
    p.partition->claim(p.caller("acme", std::move(subject)),
                       {.commands = std::move(commands), .count = 1, .lease_seconds = 30, .wait_ms = 60'000},
                       [&into](auto result) { into = std::move(*result); });
    p.settle();
  }
};

TEST_F(TopicsTest, ATopicSurvivesAKillAndIsItsTenantsAlone_G19) {
  ASSERT_TRUE(p.put_topic("render", {.priority_tiers = {1, 2}, .dead_letter = "morgue"})->created);
  EXPECT_FALSE(p.put_topic("render", {.priority_tiers = {1, 2}, .dead_letter = "morgue"})->created);
  EXPECT_EQ(p.put_topic("render", {.priority_tiers = {3}, .dead_letter = "morgue"})->topic.version, 2);
  for (int restarts = 0; restarts < 2; ++restarts) {
    const auto topic = get("render");
    ASSERT_TRUE(topic.has_value());
    EXPECT_EQ(topic->version, 2);
    EXPECT_EQ(topic->policy.priority_tiers, std::vector<std::uint8_t>{3});
    const auto foreign = get("render", "globex");
    ASSERT_FALSE(foreign.has_value());
    EXPECT_EQ(foreign.error().message, R"(queue topic "globex.render" not found)");
    p.crash_and_start();
  }
  for (int i = 0; i < 2; ++i)  // also where there is none
    EXPECT_TRUE(
        p.ask<void>([&](auto done) { p.partition->delete_topic(p.caller(), "render", std::move(done)); }).has_value());
  p.crash_and_start();
  EXPECT_FALSE(get("render").has_value());
}

TEST_F(TopicsTest, WhatDiesReappearsInTheDeadLetterTopicInOneTraceAcrossAKill_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_attempts = 1, .dead_letter = "morgue"}).has_value());
  p.create({.payload = R"({"keep":[1,2]})", .webhook = "http://hooks.example/x"});
  const auto dead = p.claim().at(0);
  EXPECT_EQ(dead.info->max_attempts, 1U);  // the topic's: the task brought none
  EXPECT_TRUE(p.nack(dead)->dead);
  EXPECT_EQ(p.sent().size(), 1U);  // the dead task's own webhook
  p.crash_and_start();
  const auto copy = p.claim("bob", "morgue");
  ASSERT_EQ(copy.size(), 1U);
  EXPECT_EQ(*copy[0].payload, R"({"keep":[1,2]})");
  EXPECT_EQ(copy[0].context.trace_id, dead.context.trace_id);
  EXPECT_TRUE(p.nack(copy[0], "bob")->dead);  // a topic of its own it has none: as many attempts as the one that died
  p.pass(30);
  EXPECT_TRUE(p.claim("bob", "").empty());  // nothing came of the copy's death
  EXPECT_TRUE(p.sent().empty());
  p.partition->stop();
  int creates = 0;
  for (const auto& span : p.tracer.spans()) {
    EXPECT_EQ(span.context.trace_id, dead.context.trace_id) << span.name;
    if (span.name == "codeq.task.create") ++creates;
  }
  EXPECT_EQ(creates, 2);
}

TEST_F(TopicsTest, ALimitOnConsumersServesTheNextWhenOneLeaves_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 1}).has_value());
  for (int i = 0; i < 4; ++i) p.create();
  const auto held = p.claim("alice").at(0);
  EXPECT_TRUE(p.claim("bob").empty());
  EXPECT_TRUE(p.claim("bob", "").empty());
  std::optional<std::vector<TaskSnapshot>> bob, carol, alice;
  park(bob, "bob", {"render"});
  park(carol, "carol", {});
  EXPECT_FALSE(bob || carol);
  EXPECT_EQ(p.claim("alice").size(), 1U);  // the holder itself goes on
  p.create();
  EXPECT_FALSE(bob || carol);
  p.crash_and_start();  // the limit and its holders too
  EXPECT_TRUE(p.claim("bob").empty());
  park(bob, "bob", {"render"});
  park(carol, "carol", {});
  park(alice, "alice", {"else"});
  p.pass(30);  // both of alice's leases are over; their tasks wait for their back-off
  ASSERT_TRUE(bob.has_value() && bob->size() == 1);
  EXPECT_FALSE(carol.has_value());
  ASSERT_TRUE(p.abandon(bob->at(0), "bob").has_value());
  ASSERT_TRUE(carol.has_value());
  EXPECT_FALSE(alice.has_value());
  (void)held;
}

TEST_F(TopicsTest, AWaitingHolderIsServedBehindWaitingStrangers_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 1}).has_value());
  p.create();
  ASSERT_EQ(p.claim("alice").size(), 1U);
  std::optional<std::vector<TaskSnapshot>> bob, alice;
  park(bob, "bob", {"render"});
  park(alice, "alice", {"render"});
  p.create();
  EXPECT_FALSE(bob.has_value());
  ASSERT_TRUE(alice.has_value());
}

TEST_F(TopicsTest, WaitingClaimsOfHoldersAreServedInOrderOfArrivalWhateverTheyAskFor_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 2}).has_value());
  for (int i = 0; i < 2; ++i) p.create();
  ASSERT_EQ(p.claim("alice").size() + p.claim("bob").size(), 2U);
  std::string served;
  const auto wait = [&](std::string subject, std::vector<std::string> commands, char mark) {
    p.partition->claim(p.caller("acme", std::move(subject)),
                       {.commands = std::move(commands), .count = 1, .lease_seconds = 30, .wait_ms = 60'000},
                       [&served, mark](auto result) { served += result->empty() ? '-' : mark; });
    p.settle();
  };
  wait("carol", {"render"}, 'x');
  wait("bob", {}, '1');
  wait("dave", {}, 'x');
  wait("alice", {"else", "render"}, '2');
  wait("alice", {}, '3');
  wait("bob", {"render"}, '4');
  std::vector<CreateTask> asks;
  for (int i = 0; i < 6; ++i) asks.push_back({.command = "Render", .payload = "1"});
  p.ask<std::vector<Result<TaskSnapshot>>>(
       [&](auto done) { p.partition->create(p.caller(), std::move(asks), std::move(done)); })
      .value();
  EXPECT_EQ(served, "1234");  // and two tasks are left for whoever comes in when a holder leaves
}

TEST_F(TopicsTest, AClaimForNothingWaitsForNothing) {
  std::optional<std::vector<TaskSnapshot>> none;
  p.partition->claim(p.caller(), {.commands = {"render"}, .count = 0, .lease_seconds = 30, .wait_ms = 60'000},
                     [&](auto result) { none = std::move(*result); });
  p.settle();
  ASSERT_TRUE(none.has_value());
  EXPECT_TRUE(none->empty());
}

TEST_F(TopicsTest, RaisingOrLiftingTheLimitServesWhoWaits_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 1}).has_value());
  for (int i = 0; i < 4; ++i) p.create();
  ASSERT_EQ(p.claim("alice").size(), 1U);
  std::optional<std::vector<TaskSnapshot>> bob, carol;
  park(bob, "bob", {"render"});
  park(carol, "carol", {"render"});
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 2}).has_value());
  EXPECT_TRUE(bob.has_value() && !carol.has_value());
  p.ask<void>([&](auto done) { p.partition->delete_topic(p.caller(), "render", std::move(done)); }).value();
  EXPECT_TRUE(carol.has_value());
}

TEST_F(TopicsTest, ALimitThatComesLaterCountsLeasesThatAreNotInMemory_G19) {
  for (int i = 0; i < 3; ++i) p.create();
  const auto held = p.claim("alice").at(0);
  p.crash_and_start();  // the lease is a row now
  ASSERT_TRUE(p.put_topic("render", {.max_consumers = 1}).has_value());
  EXPECT_TRUE(p.claim("bob").empty());
  ASSERT_TRUE(p.abandon(held).has_value());
  EXPECT_EQ(p.claim("bob").size(), 1U);
  p.crash_and_start();
  EXPECT_TRUE(p.claim("alice").empty());
}

TEST_F(TopicsTest, ALimitThatComesLaterCountsAnyNumberOfLeasesAndReadsNoTask_G19) {
  constexpr int kLeases = 300;
  for (int i = 0; i < kLeases + 2; ++i) p.create();
  for (int i = 0; i < kLeases; ++i) ASSERT_EQ(p.claim("worker-" + std::to_string(i % 3)).size(), 1U);
  p.crash_and_start();
  bool put = false;
  p.partition->put_topic(p.caller(), "render", {.max_consumers = 3}, [&](auto result) { put = result.has_value(); });
  while (p.partition->step() || p.partition->step_committer()) {}  // nothing of the store is read
  EXPECT_TRUE(put);
  EXPECT_TRUE(p.claim("dave").empty());
  EXPECT_EQ(p.claim("worker-1").size(), 1U);
  EXPECT_EQ(p.partition->state().queue_bytes(), 9 + 64 * (kLeases + 1) + 3 * 128 + 1024 + 512);
}

TEST_F(TopicsTest, NothingOfADeadTaskAndItsCopyStaysBehind_Q19) {
  ASSERT_TRUE(p.put_topic("render", {.max_attempts = 1, .dead_letter = "morgue", .retention_seconds = 10}).has_value());
  p.create({.idempotency_key = "k"});
  EXPECT_TRUE(p.nack(p.claim().at(0))->dead);
  EXPECT_TRUE(p.nack(p.claim("bob", "morgue").at(0), "bob")->dead);
  p.pass(24 * 3600 + 1);
  p.pass(1);
  for (std::size_t table = 0; table < core::kTables; ++table) {
    if (static_cast<core::Table>(table) == core::Table::kMeta) continue;
    int rows = 0;
    ASSERT_TRUE(
        p.store.scan(static_cast<core::Table>(table), {}, {}, [&](auto, auto) { return ++rows > 0; }).has_value());
    EXPECT_EQ(rows, 0) << "table " << table;
  }
}

TEST_F(TopicsTest, TheTopicsRetentionIsWhatTheSweepFollows_G19) {
  ASSERT_TRUE(p.put_topic("render", {.max_attempts = 1, .dead_letter = "morgue", .retention_seconds = 10}).has_value());
  const auto task = p.create();
  EXPECT_TRUE(p.nack(p.claim().at(0))->dead);
  const auto get = [&] {
    return p.ask<TaskSnapshot>(
        [&](auto done) { p.partition->get_task(p.caller(), task.info->id_text, std::move(done)); });
  };
  p.pass(9);
  EXPECT_TRUE(get().has_value());
  p.pass(2);
  EXPECT_FALSE(get().has_value());
}

}  // namespace
}  // namespace codeq::services
