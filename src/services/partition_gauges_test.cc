// Ages, counts and durations that the page shows, by a clock that is driven by hand.
#include <gtest/gtest.h>

#include "services/test_process.h"

namespace codeq::services {
namespace {

class GaugesTest : public ::testing::Test {
 protected:
  void SetUp() override { p.start(); }
  observe::Gauges gauges() {
    return p.ask<observe::Gauges>([&](auto done) { p.partition->gauges(std::move(done)); }).value();
  }
  bool shows(const std::string& line) {
    return ("\n" + p.metrics.exposition({})).find("\n" + line + "\n") != std::string::npos;
  }
  Result<ResultSnapshot> complete(const TaskSnapshot& task, const std::string& subject = "alice") {
    std::vector<SubmitResult> items(1);
    items[0].task_id = task.info->id_text;
    items[0].status = "COMPLETED";
    items[0].may_lack_result = true;
    auto done = p.ask<std::vector<Result<ResultSnapshot>>>(
        [&](auto reply) { p.partition->submit(p.caller("acme", subject), std::move(items), std::move(reply)); });
    return std::move(done.value().at(0));
  }

  StepProcess p;
};

TEST_F(GaugesTest, TheOldestOfThePrioritiesCountsAlsoWhereItIsOnlyInTheStore) {
  p.create({.command = "Render", .priority = 1});
  p.pass(40);
  p.create({.command = "render", .priority = 9});
  p.pass(2);
  auto now = gauges();
  ASSERT_EQ(now.queues.size(), 1U);
  EXPECT_EQ(now.queues[0].command, "Render");
  EXPECT_EQ(now.queues[0].ready, 2U);
  EXPECT_EQ(now.queues[0].oldest_ns, 42 * kNanosPerSecond);
  p.crash_and_start();
  EXPECT_GE(gauges().queues.at(0).oldest_ns, 42 * kNanosPerSecond);
}

TEST_F(GaugesTest, LeasesAndParkedClaimsAreThoseOfNow) {
  p.create();
  ASSERT_EQ(p.claim().size(), 1U);
  EXPECT_EQ(gauges().leases, 1U);
  EXPECT_EQ(gauges().queues.at(0).oldest_ns, -1);
  bool answered = false;
  p.partition->claim(p.caller(), {.commands = {"render"}, .count = 1, .lease_seconds = 30, .wait_ms = 5'000},
                     [&](const auto&) { answered = true; });
  EXPECT_EQ(gauges().parked_claims, 1U);
  p.pass(6);
  EXPECT_TRUE(answered);
  EXPECT_EQ(gauges().parked_claims, 0U);
  p.pass(30);
  EXPECT_EQ(gauges().leases, 0U) << "it expired";
}

TEST_F(GaugesTest, WaitsRunsAndWholeLivesAreMeasuredFromOneStepToTheNext) {
  p.create({.command = "A"});
  p.pass(3);
  const auto first = p.claim("alice", "a").at(0);
  p.pass(1);
  ASSERT_TRUE(p.abandon(first).has_value());
  p.pass(2);
  const auto second = p.claim("alice", "a").at(0);
  p.pass(7);
  ASSERT_TRUE(complete(second).has_value());
  EXPECT_TRUE(shows(R"(codeq_task_wait_seconds_count{command="A"} 2)"));
  EXPECT_TRUE(shows(R"(codeq_task_wait_seconds_sum{command="A"} 5)"));
  EXPECT_TRUE(shows(R"(codeq_task_run_seconds_sum{command="A"} 7)"));
  EXPECT_TRUE(shows(R"(codeq_task_end_to_end_seconds_sum{command="A",status="COMPLETED"} 13)"));
  const auto page = p.metrics.exposition({}, observe::MetricsFormat::kOpenMetrics);
  EXPECT_NE(page.find("trace_id=\"" + core::to_hex(first.info->trace.span.trace_id)), std::string::npos) << page;
}

TEST_F(GaugesTest, AResultThatIsNotTakenIsCountedWithItsReason) {
  p.create();
  const auto task = p.claim().at(0);
  EXPECT_FALSE(complete(task, "bob").has_value());
  EXPECT_TRUE(shows(R"(codeq_results_rejected_total{reason="not_owner"} 1)"));
  ASSERT_TRUE(complete(task).has_value());
  EXPECT_FALSE(complete(task).has_value());
  EXPECT_TRUE(shows(R"(codeq_results_rejected_total{reason="finished"} 1)"));
  p.create();
  const auto late = p.claim().at(0);
  p.pass(31);
  EXPECT_FALSE(complete(late).has_value());
  EXPECT_TRUE(shows(R"(codeq_results_rejected_total{reason="expired"} 1)"));
  EXPECT_FALSE(complete(TaskSnapshot{.info = std::make_shared<core::TaskInfo>()}).has_value());
  EXPECT_TRUE(shows(R"(codeq_results_rejected_total{reason="unknown"} 1)"));
}

TEST_F(GaugesTest, TheOutboxShowsWhatIsStillToBeDelivered) {
  p.create({.command = "A", .webhook = "http://hooks.example/a"});
  ASSERT_TRUE(complete(p.claim("alice", "a").at(0)).has_value());
  p.pass(9);
  EXPECT_EQ(gauges().outbox, 1U);
  EXPECT_EQ(gauges().outbox_oldest_ns / kNanosPerSecond, 9);
  ASSERT_EQ(p.sent().size(), 1U);
  EXPECT_EQ(gauges().outbox, 0U);
  EXPECT_EQ(gauges().outbox_oldest_ns, 0);
  EXPECT_TRUE(shows(R"(codeq_webhook_attempts_total{kind="task_result",outcome="success"} 1)"));
}

}  // namespace
}  // namespace codeq::services
