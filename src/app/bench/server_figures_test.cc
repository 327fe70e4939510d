#include "app/bench/server_figures.h"

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

TEST(NumberOfLine, FindsTheLineOfThatNameAndNoOther) {
  const std::string status = "Name:\tVmRSS: 7\nVmHWM:\t   9120 kB\nVmRSS:\t   8000 kB\nRssAnon:\t 5 kB\n";
  EXPECT_EQ(number_of_line(status, "VmRSS"), 8000U);
  EXPECT_EQ(number_of_line(status, "VmHWM"), 9120U);
  EXPECT_EQ(number_of_line("rchar: 1\ncancelled_write_bytes: 5\nwrite_bytes: 4096\n", "write_bytes"), 4096U);
  for (const auto* text : {"", "VmRSS", "VmRSS:", "VmRSS: x", "xVmRSS: 5", "VmRSSx: 5"})
    EXPECT_FALSE(number_of_line(text, "VmRSS").has_value()) << text;
}

TEST(SampleValue, FindsTheSampleWithoutLabels) {
  const std::string page =
      "# HELP codeq_disk_syncs_total x\ncodeq_disk_syncs_total_other 1\n"
      "codeq_disk_syncs_total{a=\"b\"} 2\ncodeq_disk_syncs_total 31\n";
  EXPECT_EQ(sample_value(page, "codeq_disk_syncs_total"), 31);
  EXPECT_EQ(syncs_of_page(page), 31U);
  for (const auto* text : {"", "codeq_disk_syncs_total", "codeq_disk_syncs_total ", "codeq_disk_syncs_total x"})
    EXPECT_FALSE(syncs_of_page(text).has_value()) << text;
}

TEST(SnapshotOf, HasOurOwnFiguresAndNoneOfNobody) {
  const auto ours = snapshot_of(getpid());
  EXPECT_TRUE(ours.cpu_us && ours.resident_kib && ours.resident_peak_kib && ours.written_bytes && ours.machine);
  EXPECT_LE(*ours.resident_kib, *ours.resident_peak_kib);
  EXPECT_FALSE(snapshot_of(std::nullopt).resident_kib.has_value());
}

}  // namespace
}  // namespace codeq::app
