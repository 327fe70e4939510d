#include "app/bench/report.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

BenchReport sample() {
  BenchReport report;
  report.bench = "http";
  report.outstanding_max = 256;
  report.seconds = 2;
  report.before = {.cpu_us = 10'000,
                   .resident_kib = 1024,
                   .resident_peak_kib = 1024,
                   .written_bytes = 4096,
                   .syncs = 100,
                   .machine = MachineTimes{1000, 10}};
  report.after = {.cpu_us = 10'900,
                  .resident_kib = 2048,
                  .resident_peak_kib = 3072,
                  .written_bytes = 24'096,
                  .syncs = 300,
                  .machine = MachineTimes{2000, 60}};
  report.client_cpu_us = 200;
  report.durability = "sync";
  report.sampling = "1";
  return report;
}

// Ten tasks, each completed 1.5 ms after it was due, and one that is open.
void fill(Tally& tally) {
  tally.enter(Phase::kWarmup, 0);
  tally.enter(Phase::kMeasured, kSecond);
  for (int i = 0; i < 10; ++i) {
    const auto due = *tally.next_create(kSecond);
    tally.created(due, due + 500'000);
    tally.handed(due, due + 1'000'000);
    tally.completed(due, due + 1'500'000);
  }
  tally.created(*tally.next_create(kSecond), kSecond + 500'000);
  tally.error("create", "503", 3);
}

TEST(BenchReport, SaysInWordsWhatWasMeasuredAndUnderWhichPromise) {
  BenchOptions options;
  options.producer_token = "canary-token";
  options.queues = 7;
  Tally tally(options, 256);
  fill(tally);
  const auto text = report_text(options, tally, sample());
  for (const auto* part :
       {"5.0 tasks completed/s (10 acknowledged results)", "durability sync, trace sampling 1",
        "closed loop of 256 tasks",
        "server CPU 90.0 us per task, memory 2.0 MiB (at most 3.0), 2000 bytes written per task, 100 syncs/s",
        "this generator 20.0 us per task; the host took 5.0 %", "11 created, 10 completed, 0 refused, 1 left open",
        "7 queues", "errors: create 503: 3"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("canary"), std::string::npos);
}

TEST(BenchReport, IsOneLineOfJsonForMachines) {
  const BenchOptions options;
  Tally tally(options, 256);
  fill(tally);
  auto report = sample();
  report.durability = "a\"b\n";
  report.after.syncs.reset();
  const auto json = report_json(options, tally, report);
  constexpr auto kNone = R"({"count":0,"p50":0.0,"p90":0.0,"p99":0.0,"p99.9":0.0,"max":0.0})";
  const auto row = [](int count, const char* us) {
    const auto value = std::string(us);
    return "{\"count\":" + std::to_string(count) + ",\"p50\":" + value + ",\"p90\":" + value + ",\"p99\":" + value +
           ",\"p99.9\":" + value + ",\"max\":" + value + "}";
  };
  EXPECT_EQ(
      json,
      std::string(
          R"({"bench":"http","durability":"a\"b\u000a","sampling":"1","producers":8,"workers":8,"batch":1,"payload_bytes":300,)"
          R"("loop":"closed","rate":0,"outstanding":256,"backlog":0,"queues":1,"tenants":1,"priorities":1,"delay_ms":0,)"
          R"("idle_polls":0,"seconds":2.000,"completed":10,"completed_per_second":5.0,)"
          R"("created_total":11,"completed_total":10,"refused_total":0,"open_total":1,"latency_us":{)") +
          "\"create\":" + row(11, "500.0") + ",\"handed_over\":" + row(10, "1000.0") +
          ",\"completed\":" + row(10, "1500.0") + ",\"left_late\":" + kNone + ",\"claim_request\":" + kNone +
          ",\"result_request\":" + kNone +
          R"(},"server_cpu_us_per_task":90.00,"server_rss_mib":2.0,"server_rss_peak_mib":3.0,)"
          R"("server_written_bytes_per_task":2000,"server_syncs_per_second":null,"cpu_stolen_percent":5.0,)"
          R"("client_cpu_us_per_task":20.00,"errors":{"create 503":3}})");
}

}  // namespace
}  // namespace codeq::app
