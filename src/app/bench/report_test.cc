#include "app/bench/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace codeq::app {
namespace {

TEST(CpuOfStat, AddsUserAndSystemTimeBehindANameThatHoldsAnything) {
  EXPECT_EQ(cpu_us_of_stat("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20\n", 100), 1'750'000);
  EXPECT_EQ(cpu_us_of_stat("12 (x) S 1 2 3 4 5 6 7 8 9 10 150 25", 100), 1'750'000);
}

TEST(CpuOfStat, SaysNothingWhereTheFieldsAreMissingOrNoNumbers) {
  for (const auto* text : {"", "12", "12 (x)", "12 (x) S 1 2 3", "12 (x) S 1 2 3 4 5 6 7 8 9 10 a 25 0",
                           "12 (x) S 1 2 3 4 5 6 7 8 9 10 -1 25 0"}) {
    EXPECT_EQ(cpu_us_of_stat(text, 100), std::nullopt) << text;
  }
}

TEST(MachineTimes, AreTheEightFieldsOfTheFirstLine) {
  const auto times = times_of_stat("cpu  10 20 30 40 50 60 70 20 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
  ASSERT_TRUE(times.has_value());
  EXPECT_EQ(times->all_ticks, 300U);
  EXPECT_EQ(times->stolen_ticks, 20U);
  EXPECT_DOUBLE_EQ(stolen_percent({.all_ticks = 200, .stolen_ticks = 15}, *times), 5.0);
  EXPECT_DOUBLE_EQ(stolen_percent(*times, *times), 0.0);
  for (const auto* text : {"", "cpu", "cpu  1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3 4 5 6 x 8"})
    EXPECT_FALSE(times_of_stat(text).has_value()) << text;
  EXPECT_TRUE(machine_times().has_value());
}

TEST(ProcessCpu, IsThereForUsAndNotForNobody) {
  EXPECT_TRUE(process_cpu_us(getpid()).has_value());
  EXPECT_FALSE(process_cpu_us(-1).has_value());
}

BenchReport sample() {
  BenchReport report;
  report.seconds = 2;
  report.cycles = 1000;
  for (auto* histogram : {&report.cycle, &report.create, &report.claim, &report.result}) histogram->record(1'500'000);
  report.errors[{"create", "503"}] = 3;
  report.server_cpu_us = 90'000;
  report.client_cpu_us = 20'000;
  report.durability = "sync";
  report.sampling = "1";
  return report;
}

TEST(BenchReport, SaysInWordsWhatWasMeasuredAndUnderWhichPromise) {
  BenchOptions options;
  options.producer_token = "canary-token";
  const auto text = report_text(options, sample());
  for (const auto* part : {"500.0 full cycles/s (1000 acknowledged results)", "durability sync, trace sampling 1",
                           "server CPU 90.0 us per cycle", "1.500", "errors: create 503: 3"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("canary"), std::string::npos);
}

TEST(BenchReport, IsOneLineOfJsonForMachines) {
  auto report = sample();
  report.durability = "a\"b\n";
  const auto json = report_json({}, report);
  EXPECT_EQ(
      json,
      R"({"bench":"http","producers":8,"workers":8,"batch":1,"payload_bytes":300,"backlog":256,"seconds":2.000,"cycles":1000,)"
      R"("cycles_per_second":500.0,"durability":"a\"b\u000a","sampling":"1","latency_us":{)"
      R"("cycle":{"count":1,"p50":1500.0,"p99":1500.0,"max":1500.0},"create":{"count":1,"p50":1500.0,"p99":1500.0,"max":1500.0},)"
      R"("claim":{"count":1,"p50":1500.0,"p99":1500.0,"max":1500.0},"result":{"count":1,"p50":1500.0,"p99":1500.0,"max":1500.0}},)"
      R"("server_cpu_us_per_cycle":90.00,"client_cpu_us_per_cycle":20.00,"errors":{"create 503":3}})");
}

}  // namespace
}  // namespace codeq::app
