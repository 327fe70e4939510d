// What a bench run found, and how it is printed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "app/bench/histogram.h"
#include "app/bench/http_bench.h"

namespace codeq::app {

struct BenchReport {
  double seconds = 0;
  std::uint64_t cycles = 0;                  // acknowledged results
  Histogram cycle, create, claim, result;    // nanoseconds
  std::map<std::pair<std::string, std::string>, std::uint64_t> errors;  // (request, status or "connection")
  std::optional<std::int64_t> server_cpu_us;
  std::int64_t client_cpu_us = 0;
  std::string durability = "unknown";
  std::string sampling = "unknown";

  void clear();                              // the end of the warm-up
  [[nodiscard]] double cycles_per_second() const { return seconds > 0 ? static_cast<double>(cycles) / seconds : 0; }
};

std::string report_text(const BenchOptions& options, const BenchReport& report);
std::string report_json(const BenchOptions& options, const BenchReport& report);  // one line, no newline

// User and system time of a process so far, all its threads. nullopt: no such process.
std::optional<std::int64_t> process_cpu_us(int pid);
// The same from the text of /proc/<pid>/stat (proc(5)); the name in it may hold anything, parentheses too.
std::optional<std::int64_t> cpu_us_of_stat(std::string_view stat, std::int64_t ticks_per_second);

// The machine's CPU time so far, and what of it its host gave to other machines (proc(5): the first line of /proc/stat,
// all eight fields and `steal` of them). CPU figures taken while much was stolen are too high: a thread is charged for
// the time in which it only seemed to run.
struct MachineTimes {
  std::uint64_t all_ticks = 0, stolen_ticks = 0;
};
std::optional<MachineTimes> times_of_stat(std::string_view stat);
std::optional<MachineTimes> machine_times();
double stolen_percent(const MachineTimes& from, const MachineTimes& until);

}  // namespace codeq::app
