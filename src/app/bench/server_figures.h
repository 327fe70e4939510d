// What the operating system and the broker's own page of metrics say about a process: before a run, after it, and the
// difference.
//
// Source   proc(5): /proc/PID/stat, /proc/PID/status, /proc/PID/io, /proc/stat
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace codeq::app {

// User and system time of a process so far, all its threads. nullopt: no such process.
std::optional<std::int64_t> process_cpu_us(int pid);
// The same from the text of /proc/<pid>/stat; the name in it may hold anything, parentheses too.
std::optional<std::int64_t> cpu_us_of_stat(std::string_view stat, std::int64_t ticks_per_second);

// The number of the line "NAME: 123 kB" (or without a unit) of a text such as /proc/<pid>/status or /proc/<pid>/io.
std::optional<std::uint64_t> number_of_line(std::string_view text, std::string_view name);

// The machine's CPU time so far, and what of it its host gave to other machines (the first line of /proc/stat, all eight
// fields and `steal` of them). CPU figures taken while much was stolen are too high: a thread is charged for the time in
// which it only seemed to run.
struct MachineTimes {
  std::uint64_t all_ticks = 0, stolen_ticks = 0;
};
std::optional<MachineTimes> times_of_stat(std::string_view stat);
std::optional<MachineTimes> machine_times();
double stolen_percent(const MachineTimes& from, const MachineTimes& until);

// The value of a sample without labels, such as codeq_disk_syncs_total 12, in a page of metrics.
std::optional<double> sample_value(std::string_view page, std::string_view metric);

struct ServerSnapshot {
  std::optional<std::int64_t> cpu_us;
  std::optional<std::uint64_t> resident_kib, resident_peak_kib;
  std::optional<std::uint64_t> written_bytes;  // that it caused to be written to a disk
  std::optional<std::uint64_t> syncs;  // fdatasync and fsync, by its own count
  std::optional<MachineTimes> machine;
};
ServerSnapshot snapshot_of(std::optional<int> pid);  // all but the syncs
std::optional<std::uint64_t> syncs_of_page(std::string_view page);  // of its metrics

}  // namespace codeq::app
