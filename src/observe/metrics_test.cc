#include "observe/metrics.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <thread>
#include <vector>

#include "observe/test_page.h"

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

constexpr std::int64_t kNow = 1'700'000'000'000'000'000;
const core::SpanContext kTrace = [] {
  core::SpanContext context;
  context.trace_id.bytes.fill(0xaa);
  context.span_id.bytes.fill(0xbb);
  return context;
}();

// One of everything.
void fill(Metrics& metrics, Gauges& gauges) {
  auto& figures = metrics.of_command("GENERATE_MASTER");
  figures.created.add_alone();
  figures.claimed.add_alone();
  figures.finished(Finish::kCompleted, 700'000'000, &kTrace, kNow);
  figures.finished(Finish::kFailed, 5'000'000'000'000, nullptr, kNow);
  figures.lease_expired.add_alone();
  figures.webhook(Webhook::kTaskResult, Delivery::kSuccess);
  figures.webhook(Webhook::kQueueReady, Delivery::kFailure);
  figures.wait.add_alone(3'000'000, &kTrace, kNow);
  figures.run.add_alone(697'000'000, nullptr, kNow);
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
          "codeq_task_wait_seconds_bucket{command=\"GENERATE_MASTER\",le=\"0.0025\"} 0",
          "codeq_task_wait_seconds_bucket{command=\"GENERATE_MASTER\",le=\"0.005\"} 1",
          "codeq_task_run_seconds_sum{command=\"GENERATE_MASTER\"} 0.697",
          "codeq_task_end_to_end_seconds_bucket{command=\"GENERATE_MASTER\",status=\"COMPLETED\",le=\"0.5\"} 0",
          "codeq_task_end_to_end_seconds_bucket{command=\"GENERATE_MASTER\",status=\"COMPLETED\",le=\"1\"} 1",
          "# TYPE codeq_task_processing_latency_seconds histogram",
      }) {
    EXPECT_TRUE(has_line(page, line)) << line << "\nis not in\n" << page;
  }
  EXPECT_NE(page.find("\nprocess_resident_memory_bytes "), std::string::npos);
}

TEST(Metrics, ALabelSetAppearsOnlyAfterItsFirstEvent) {
  Metrics metrics;
  EXPECT_EQ(metrics.exposition({}).find("codeq_task"), std::string::npos);
  metrics.of_command("A").created.add_alone();
  const std::string page = metrics.exposition({});
  EXPECT_NE(page.find("codeq_task_created_total{command=\"A\"} 1"), std::string::npos);
  EXPECT_EQ(page.find("codeq_task_claimed_total"), std::string::npos);
  EXPECT_EQ(page.find("codeq_queue_depth"), std::string::npos);
}

TEST(Metrics, ABoundaryLatencyFallsIntoItsOwnBucketAndNonsenseIntoTheFirst) {
  Metrics metrics;
  metrics.of_command("A").finished(Finish::kCompleted, 100'000'000, nullptr, 0);
  metrics.of_command("A").finished(Finish::kCompleted, -5, nullptr, 0);
  EXPECT_TRUE(
      has_line(metrics.exposition({}),
               "codeq_task_processing_latency_seconds_bucket{command=\"A\",status=\"COMPLETED\",le=\"0.1\"} 2"));
}

TEST(Metrics, CommandsPastTheCapAreCountedTogetherUnderOther) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) metrics.of_command("command-" + std::to_string(i)).created.add_alone();
  const std::string page = metrics.exposition({});
  EXPECT_EQ(count(page, "codeq_task_created_total{"), kCommandsMax + 1);
  EXPECT_TRUE(has_line(page, "codeq_task_created_total{command=\"other\"} 800"));
}

TEST(Metrics, ALabelIsEscapedAndTwoUnprintableCommandsDoNotMakeTwoSeriesOfOneName) {
  Metrics metrics;
  metrics.of_command("a\"b\\c").created.add_alone();
  metrics.of_command("x\n").created.add_alone();
  metrics.of_command("x\x01").created.add_alone();
  metrics.of_command("x\xff").created.add_alone();
  metrics.of_command("größe").created.add_alone();
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

TEST(Metrics, APageCanBeReadWhileOthersCount) {
  Metrics metrics;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        auto& figures = metrics.of_command(std::string(1, static_cast<char>('A' + t)));
        for (int i = 0; i < 1000; ++i) {
          figures.claimed.add_alone();
          figures.wait.add_alone(i, &kTrace, kNow);
          metrics.rate_limit_hit("worker", "claim");
        }
        static_cast<void>(metrics.exposition({}, MetricsFormat::kOpenMetrics));
      });
    }
  }
  const auto page = metrics.exposition({});
  EXPECT_TRUE(has_line(page, "codeq_task_claimed_total{command=\"A\"} 1000"));
  EXPECT_TRUE(has_line(page, "codeq_task_wait_seconds_count{command=\"D\"} 1000"));
  EXPECT_TRUE(has_line(page, "codeq_rate_limit_hits_total{scope=\"worker\",operation=\"claim\"} 4000"));
}

TEST(Metrics, BothFormatsArePagesAsTheirSpecificationsHaveThem) {
  Metrics metrics;
  Gauges gauges;
  fill(metrics, gauges);
  metrics.of_command("a\"b\\c\xff\n{}").created.add_alone();
  for (const auto format : {MetricsFormat::kText, MetricsFormat::kOpenMetrics})
    EXPECT_EQ(faults_of(metrics.exposition(gauges, format), format), "");
}

TEST(Metrics, AnExemplarIsTheLastTraceOfItsBucketAndOnlyInOpenMetrics) {
  Metrics metrics;
  auto& wait = metrics.of_command("A").wait;
  wait.add_alone(1, &kTrace, kNow);
  auto second = kTrace;
  second.trace_id.bytes.fill(0xcc);
  wait.add_alone(900'000, &second, kNow);
  wait.add_alone(900'000, nullptr, kNow);  // its trace is not kept
  const auto page = metrics.exposition({}, MetricsFormat::kOpenMetrics);
  EXPECT_NE(
      page.find(
          "le=\"0.001\"} 3 # {trace_id=\"cccccccccccccccccccccccccccccccc\",span_id=\"bbbbbbbbbbbbbbbb\"} 0.0009 1700000000.000\n"),
      std::string::npos)
      << page;
  EXPECT_EQ(count(page, " # {"), 1U);
  EXPECT_EQ(count(metrics.exposition({}), " # {"), 0U);
}

TEST(Metrics, PromtoolAcceptsThePage) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool (package prometheus) is not installed";
  Metrics metrics;
  Gauges gauges;
  fill(metrics, gauges);
  metrics.of_command("a\"b\\c").created.add_alone();
  FILE* const promtool = popen("promtool check metrics 2>&1", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string page = metrics.exposition(gauges);
  ASSERT_EQ(std::fwrite(page.data(), 1, page.size(), promtool), page.size());
  EXPECT_EQ(pclose(promtool), 0);
}

}  // namespace
}  // namespace codeq::observe
