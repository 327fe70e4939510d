#include "observe/metrics.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <thread>

namespace codeq::observe {
namespace {

bool has_line(const std::string& page, const std::string& line) {
  return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

std::size_t count(const std::string& page, const std::string& text) {
  std::size_t found = 0;
  for (auto at = page.find(text); at != std::string::npos; at = page.find(text, at + 1)) ++found;
  return found;
}

// One of everything.
void fill(Metrics& metrics, Gauges& gauges) {
  metrics.task_created("GENERATE_MASTER");
  metrics.task_claimed("GENERATE_MASTER");
  metrics.task_completed("GENERATE_MASTER", Metrics::Finish::kCompleted, 0.7);
  metrics.task_completed("GENERATE_MASTER", Metrics::Finish::kFailed, 5000);
  metrics.lease_expired("GENERATE_MASTER");
  metrics.webhook_delivery(Metrics::Webhook::kTaskResult, "GENERATE_MASTER", Metrics::Delivery::kSuccess);
  metrics.webhook_delivery(Metrics::Webhook::kQueueReady, "GENERATE_MASTER", Metrics::Delivery::kFailure);
  metrics.rate_limit_hit("producer", "create_task");
  gauges.queues = {{.command = "GENERATE_MASTER", .ready = 3, .delayed = 2, .in_progress = 1, .dlq = 4}};
  gauges.subscriptions = {{"GENERATE_MASTER", 2}};
  gauges.spans = {.recorded = 10, .exported = 7, .dropped = 1};
  gauges.disk_syncs = 12;
  gauges.durability = "sync";
  gauges.tls = {{.listener = "http", .handshakes = 1, .not_after_s = 1'800'000'000}};
}

TEST(Metrics, TheTenFamiliesOfTheReferenceAppearWithTheirLabels) {
  Metrics metrics("1.2.3", "abc");
  Gauges gauges;
  fill(metrics, gauges);
  const std::string page = metrics.exposition(gauges);
  for (
      const char* line : {
          "codeq_task_created_total{command=\"GENERATE_MASTER\"} 1",
          "codeq_task_claimed_total{command=\"GENERATE_MASTER\"} 1",
          "codeq_task_completed_total{command=\"GENERATE_MASTER\",status=\"COMPLETED\"} 1",
          "codeq_task_completed_total{command=\"GENERATE_MASTER\",status=\"FAILED\"} 1",
          "codeq_lease_expired_total{command=\"GENERATE_MASTER\"} 1",
          "codeq_webhook_deliveries_total{kind=\"task_result\",command=\"GENERATE_MASTER\",outcome=\"success\"} 1",
          "codeq_webhook_deliveries_total{kind=\"queue_ready\",command=\"GENERATE_MASTER\",outcome=\"failure\"} 1",
          "codeq_rate_limit_hits_total{scope=\"producer\",operation=\"create_task\"} 1",
          "codeq_queue_depth{command=\"GENERATE_MASTER\",queue=\"ready\"} 3",
          "codeq_queue_depth{command=\"GENERATE_MASTER\",queue=\"delayed\"} 2",
          "codeq_queue_depth{command=\"GENERATE_MASTER\",queue=\"in_progress\"} 1",
          "codeq_queue_depth{command=\"GENERATE_MASTER\",queue=\"dlq\"} 4",
          "codeq_dlq_depth{command=\"GENERATE_MASTER\"} 4",
          "codeq_subscriptions_active{command=\"GENERATE_MASTER\"} 2",
          "codeq_task_processing_latency_seconds_bucket{command=\"GENERATE_MASTER\",status=\"COMPLETED\",le=\"0.5\"} 0",
          "codeq_task_processing_latency_seconds_bucket{command=\"GENERATE_MASTER\",status=\"COMPLETED\",le=\"1\"} 1",
          "codeq_task_processing_latency_seconds_bucket{command=\"GENERATE_MASTER\",status=\"COMPLETED\",le=\"3600\"} 1",
          "codeq_task_processing_latency_seconds_bucket{command=\"GENERATE_MASTER\",status=\"FAILED\",le=\"3600\"} 0",
          "codeq_task_processing_latency_seconds_bucket{command=\"GENERATE_MASTER\",status=\"FAILED\",le=\"+Inf\"} 1",
          "codeq_task_processing_latency_seconds_sum{command=\"GENERATE_MASTER\",status=\"COMPLETED\"} 0.7",
          "codeq_task_processing_latency_seconds_count{command=\"GENERATE_MASTER\",status=\"FAILED\"} 1",
          "codeq_build_info{version=\"1.2.3\",revision=\"abc\"} 1",
          "codeq_durability_info{mode=\"sync\"} 1",
          "codeq_disk_syncs_total 12",
          "codeq_spans_recorded_total 10",
          "codeq_spans_exported_total 7",
          "codeq_spans_dropped_total 1",
          "# TYPE codeq_task_processing_latency_seconds histogram",
      }) {
    EXPECT_TRUE(has_line(page, line)) << line << "\nis not in\n" << page;
  }
  EXPECT_NE(page.find("\nprocess_resident_memory_bytes "), std::string::npos);
}

TEST(Metrics, ALabelSetAppearsOnlyAfterItsFirstEvent) {
  Metrics metrics;
  EXPECT_EQ(metrics.exposition({}).find("codeq_task"), std::string::npos);
  metrics.task_created("A");
  const std::string page = metrics.exposition({});
  EXPECT_NE(page.find("codeq_task_created_total{command=\"A\"} 1"), std::string::npos);
  EXPECT_EQ(page.find("codeq_task_claimed_total"), std::string::npos);
  EXPECT_EQ(page.find("codeq_queue_depth"), std::string::npos);
}

TEST(Metrics, ABoundaryLatencyFallsIntoItsOwnBucketAndNonsenseIntoTheFirst) {
  Metrics metrics;
  metrics.task_completed("A", Metrics::Finish::kCompleted, 0.1);
  metrics.task_completed("A", Metrics::Finish::kCompleted, -5);
  metrics.task_completed("A", Metrics::Finish::kCompleted, std::nan(""));
  EXPECT_TRUE(
      has_line(metrics.exposition({}),
               "codeq_task_processing_latency_seconds_bucket{command=\"A\",status=\"COMPLETED\",le=\"0.1\"} 3"));
}

TEST(Metrics, CommandsPastTheCapAreCountedTogetherUnderOther) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) metrics.task_created("command-" + std::to_string(i));
  const std::string page = metrics.exposition({});
  EXPECT_EQ(count(page, "codeq_task_created_total{"), kCommandsMax + 1);
  EXPECT_TRUE(has_line(page, "codeq_task_created_total{command=\"other\"} 800"));
}

TEST(Metrics, ALabelIsEscapedAndTwoUnprintableCommandsDoNotMakeTwoSeriesOfOneName) {
  Metrics metrics;
  metrics.task_created("a\"b\\c");
  metrics.task_created("x\n");
  metrics.task_created("x\x01");
  metrics.task_created("x\xff");
  metrics.task_created("größe");
  const std::string page = metrics.exposition({});
  EXPECT_TRUE(has_line(page, "codeq_task_created_total{command=\"a\\\"b\\\\c\"} 1"));
  EXPECT_TRUE(has_line(page, "codeq_task_created_total{command=\"x?\"} 3"));
  EXPECT_TRUE(has_line(page, "codeq_task_created_total{command=\"größe\"} 1"));
}

TEST(Metrics, QueuesOfOneCommandInSeveralTenantsAreOneSeries) {
  Metrics metrics;
  Gauges gauges;
  gauges.queues = {{.command = "A", .ready = 3}, {.command = "A", .ready = 4, .dlq = 1}};
  EXPECT_TRUE(has_line(metrics.exposition(gauges), "codeq_queue_depth{command=\"A\",queue=\"ready\"} 7"));
}

TEST(Metrics, TlsIsThereOnlyWhereItIsSpoken) {
  Metrics metrics;
  EXPECT_EQ(metrics.exposition({}).find("codeq_tls"), std::string::npos);
  Gauges gauges;
  gauges.tls = {
      {.listener = "http", .handshakes = 3, .handshakes_failed = 1, .reloads = 2, .not_after_s = 1'800'000'000}};
  const std::string page = metrics.exposition(gauges);
  EXPECT_TRUE(has_line(page, "codeq_tls_handshakes_total{listener=\"http\",outcome=\"done\"} 3"));
  EXPECT_TRUE(has_line(page, "codeq_tls_handshakes_total{listener=\"http\",outcome=\"failed\"} 1"));
  EXPECT_TRUE(has_line(page, "codeq_tls_reloads_total{listener=\"http\",outcome=\"done\"} 2"));
  EXPECT_TRUE(has_line(page, "codeq_tls_certificate_expiry_timestamp_seconds{listener=\"http\"} 1800000000"));
}

TEST(Metrics, IncrementsOfManyThreadsAllCount) {
  Metrics metrics;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) metrics.task_claimed("A");
        static_cast<void>(metrics.exposition({}));
      });
    }
  }
  EXPECT_TRUE(has_line(metrics.exposition({}), "codeq_task_claimed_total{command=\"A\"} 4000"));
}

TEST(Metrics, PromtoolAcceptsThePage) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool (package prometheus) is not installed";
  Metrics metrics;
  Gauges gauges;
  fill(metrics, gauges);
  metrics.task_created("a\"b\\c");
  FILE* const promtool = popen("promtool check metrics 2>&1", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string page = metrics.exposition(gauges);
  ASSERT_EQ(std::fwrite(page.data(), 1, page.size(), promtool), page.size());
  EXPECT_EQ(pclose(promtool), 0);
}

}  // namespace
}  // namespace codeq::observe
