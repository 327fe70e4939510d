// Calls that wait for rows of the store, and whose caller goes away meanwhile; and what else has to read before it can tell.
#include "services/test_process.h"

namespace codeq::services {
namespace {

using Claimed = Result<std::vector<TaskSnapshot>>;

// Nothing stays in memory, and nothing is read until the test says so.
struct ReadingTest : testing::Test {
  StepProcess p;
  ReadingTest() { p.start(); }

  void settle_without_reader() {
    while (p.partition->step() || p.partition->step_committer() || p.partition->step_image()) {}
  }
  CallId claim(std::string subject, std::optional<Claimed>& answer) {
    return p.partition->claim(p.caller("acme", std::move(subject)),
                              {.commands = {"render"}, .count = 1, .lease_seconds = 30, .wait_ms = 60'000},
                              [&answer](Claimed result) { answer = std::move(result); });
  }
};

TEST_F(ReadingTest, AClaimThatIsAbandonedWhileItsTaskIsReadLeasesNothing) {
  p.create();
  std::optional<Claimed> answer;
  const auto call = claim("alice", answer);
  settle_without_reader();
  ASSERT_FALSE(answer.has_value()) << "it waits for the rows";
  p.partition->abandon_call(call);
  p.settle();
  ASSERT_TRUE(answer.has_value()) << "whoever counts parked calls counts it out";
  EXPECT_TRUE(answer->value().empty());
  EXPECT_TRUE(p.partition->state().leases().empty());
  const auto claimed = p.claim("bob");
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].attempts, 1U) << "an attempt was counted that nobody saw";
}

TEST_F(ReadingTest, AClaimThatIsAbandonedWhileItsTaskIsReadIsNotParkedWhereAnotherOneTookIt) {
  p.create();
  std::optional<Claimed> first, gone;
  claim("alice", first);
  const auto call = claim("bob", gone);
  settle_without_reader();
  p.partition->abandon_call(call);
  p.settle();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->value().size(), 1U);
  ASSERT_TRUE(gone.has_value());
  EXPECT_TRUE(gone->value().empty());
  p.create();
  EXPECT_EQ(p.partition->state().leases().size(), 1U) << "the next task waits for somebody who is there";
  EXPECT_EQ(p.claim("carol").size(), 1U);
}

TEST_F(ReadingTest, AClaimThatStaysIsServedWhenItsTaskHasBeenRead) {
  p.create();
  std::optional<Claimed> first, second;
  claim("alice", first);
  claim("bob", second);
  settle_without_reader();
  ASSERT_FALSE(first.has_value() || second.has_value());
  p.settle();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->value().size(), 1U);
  EXPECT_FALSE(second.has_value()) << "it is parked";
  p.create();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->value().size(), 1U);
}

TEST_F(ReadingTest, AResultWaitThatIsAbandonedWhileItsTaskIsReadIsAnsweredAndNotParked) {
  const auto task = p.create();
  std::optional<Result<TaskAndResult>> answer;
  const auto call = p.partition->get_result(p.caller(), task.info->id_text, 60'000,
                                            [&answer](Result<TaskAndResult> result) { answer = std::move(result); });
  settle_without_reader();
  ASSERT_FALSE(answer.has_value()) << "it waits for the rows";
  p.partition->abandon_call(call);
  p.settle();
  ASSERT_TRUE(answer.has_value()) << "it would take a place for a minute";
  ASSERT_FALSE(answer->has_value());
  EXPECT_EQ(answer->error().code, Code::kResultNotFound);
}

TEST_F(ReadingTest, AResumedQueueCallsItsSubscribersThoughItsFirstTaskHasToBeRead) {
  const auto pause = [&](bool paused) {
    return p.ask<QueueStats>(
        [&](auto done) { p.partition->pause(p.caller(), "RENDER", paused, std::move(done)); });
  };
  p.subscribe({}).value();
  ASSERT_TRUE(pause(true).has_value());
  const auto task = p.create();
  p.create();
  EXPECT_TRUE(p.sent().empty()) << "nobody can claim there";
  ASSERT_EQ(p.partition->state().tasks_in_memory(), 0U);
  ASSERT_TRUE(pause(false).has_value());
  const auto jobs = p.sent();
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_NE(jobs[0].body.find(R"("queueDepth":2)"), std::string::npos) << jobs[0].body;
  EXPECT_EQ(jobs[0].traceparent.substr(3, 32), core::format_traceparent(task.info->trace.span).substr(3, 32))
      << "the trace of the task that is first in line";
}

TEST_F(ReadingTest, AResumeOfAnEmptyQueueCallsNobody) {
  p.subscribe({}).value();
  for (const bool paused : {true, false})
    ASSERT_TRUE(p.ask<QueueStats>([&](auto done) {
                   p.partition->pause(p.caller(), "RENDER", paused, std::move(done));
                 }).has_value());
  EXPECT_TRUE(p.sent().empty());
}

// --- the end: what is under way is waited for, and has its span

struct StopTest : testing::Test {
  StepProcess p;
  StopTest() { p.start(); }
  bool nothing_under_way() { return p.partition->wait_deliveries(std::chrono::milliseconds(0)); }
  std::size_t spans(std::string_view name) {
    const auto all = p.tracer.spans();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& s) { return s.name == name; }));
  }
  void drain() {
    p.partition->begin_drain();
    p.settle();
  }
};

TEST_F(StopTest, AStopWaitsForACallToASubscriberAndItsSpanIsThere) {
  p.subscribe({}).value();
  p.create();
  ASSERT_EQ(p.sender.jobs.size(), 1U);
  drain();
  EXPECT_FALSE(nothing_under_way());
  p.sent();  // answered while we stop
  EXPECT_TRUE(nothing_under_way());
  p.partition->stop();
  EXPECT_EQ(spans("codeq.webhook.queue_ready"), 1U);
}

TEST_F(StopTest, AStopWaitsForAResultWebhookAndItsSpanIsThere) {
  p.create({.webhook = "http://hooks.example/r"});
  const auto task = p.claim().at(0);
  ASSERT_TRUE(p.ask<std::vector<Result<ResultSnapshot>>>([&](auto done) {
                 std::vector<SubmitResult> items(1);
                 items[0].task_id = task.info->id_text;
                 items[0].status = "COMPLETED";
                 items[0].result_json = "{}";
                 p.partition->submit(p.caller(), std::move(items), std::move(done));
               }).has_value());
  ASSERT_EQ(p.sender.jobs.size(), 1U);
  drain();
  EXPECT_FALSE(nothing_under_way());
  p.sent();
  EXPECT_TRUE(nothing_under_way());
  p.partition->stop();
  EXPECT_EQ(spans("codeq.webhook.task_result"), 1U);
}

TEST_F(StopTest, CallsThatWaitForTheirTurnAreNotMadeDuringAStopAndHoldItUpNoLongerThanThoseUnderWay) {
  for (int i = 0; i < 12; ++i) p.subscribe({.callback_url = "http://hooks.example/" + std::to_string(i)}).value();
  p.create();
  ASSERT_EQ(p.sender.jobs.size(), 8U) << "one host: a few at a time";
  drain();
  EXPECT_EQ(p.sent().size(), 8U);
  EXPECT_TRUE(p.sender.jobs.empty());
  EXPECT_TRUE(nothing_under_way());
  p.partition->stop();
  EXPECT_EQ(spans("codeq.webhook.queue_ready"), 8U);
}

// --- calls that have nothing to tell any more make room at once

TEST(Notices, OnesWithoutNewsMakeRoomForTheNextInTheSameTurn) {
  StepProcess p;
  p.options.ready_bytes_max = 1 << 20;
  p.start();
  // Of one host: eight calls about `a` are under way, eight wait; those about `b` wait behind them.
  for (int i = 0; i < 16; ++i) p.subscribe({.callback_url = "http://one.example/a", .event_types = {"a"}}).value();
  for (int i = 0; i < 8; ++i) p.subscribe({.callback_url = "http://one.example/b", .event_types = {"b"}}).value();
  p.create({.command = "a"});
  ASSERT_EQ(p.sender.jobs.size(), 8U);
  p.create({.command = "b"});
  ASSERT_EQ(p.claim("alice", "a").size(), 1U);  // nothing is left to be told about `a`
  ASSERT_EQ(p.sender.jobs.size(), 8U);
  for (auto& kept : std::exchange(p.sender.jobs, {})) {
    EXPECT_EQ(kept.job.url, "http://one.example/a");
    kept.finished({.http_status = 200, .error = ""});
  }
  p.partition->step();  // one round: after it the broker sleeps until something else happens
  ASSERT_EQ(p.sender.jobs.size(), 8U) << "none of them was forgotten";
  for (const auto& kept : p.sender.jobs) EXPECT_EQ(kept.job.url, "http://one.example/b");
}

}  // namespace
}  // namespace codeq::services
