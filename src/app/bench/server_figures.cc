#include "app/bench/server_figures.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>

namespace codeq::app {
namespace {

// The whole of a file of /proc; empty: not there, or not ours to read.
std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::optional<std::int64_t> cpu_us_of_stat(std::string_view stat, std::int64_t ticks_per_second) {
  const auto name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || ticks_per_second <= 0) return std::nullopt;
  stat.remove_prefix(name_end + 1);
  // Behind the name: state is field 3, utime 14, stime 15.
  std::int64_t ticks = 0;
  for (int field = 3; field <= 15; ++field) {
    if (!stat.starts_with(' ')) return std::nullopt;
    stat.remove_prefix(1);
    const auto word = stat.substr(0, stat.find_first_of(" \n"));
    if (field >= 14) {
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
      if (error != std::errc{} || end != word.data() + word.size() || value < 0 || value > (std::int64_t{1} << 42))
        return std::nullopt;
      ticks += value;
    }
    stat.remove_prefix(word.size());
  }
  return ticks * (1'000'000 / ticks_per_second);
}

std::optional<std::int64_t> process_cpu_us(int pid) {
  return cpu_us_of_stat(text_of(fmt::format("/proc/{}/stat", pid)), sysconf(_SC_CLK_TCK));
}

std::optional<MachineTimes> times_of_stat(std::string_view stat) {
  constexpr std::string_view kFirst = "cpu ";
  constexpr std::size_t kFields = 8;
  if (!stat.starts_with(kFirst)) return std::nullopt;
  stat.remove_prefix(kFirst.size());
  MachineTimes times;
  for (std::size_t field = 0; field < kFields; ++field) {
    while (stat.starts_with(' ')) stat.remove_prefix(1);
    std::uint64_t ticks = 0;
    const auto [end, error] = std::from_chars(stat.data(), stat.data() + stat.size(), ticks);
    if (error != std::errc{}) return std::nullopt;
    stat.remove_prefix(static_cast<std::size_t>(end - stat.data()));
    times.all_ticks += ticks;
    if (field == kFields - 1) times.stolen_ticks = ticks;
  }
  return times;
}

std::optional<MachineTimes> machine_times() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  return times_of_stat(line);
}

double stolen_percent(const MachineTimes& from, const MachineTimes& until) {
  const auto all = until.all_ticks - from.all_ticks;
  return all == 0 ? 0 : 100.0 * static_cast<double>(until.stolen_ticks - from.stolen_ticks) / static_cast<double>(all);
}

std::optional<std::uint64_t> number_of_line(std::string_view text, std::string_view name) {
  for (auto at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    auto rest = text.substr(at + name.size());
    if (!rest.starts_with(':')) continue;
    rest.remove_prefix(1);
    while (rest.starts_with(' ') || rest.starts_with('\t')) rest.remove_prefix(1);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{}) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::optional<double> sample_value(std::string_view page, std::string_view metric) {
  for (auto at = page.find(metric); at != std::string_view::npos; at = page.find(metric, at + 1)) {
    if (at != 0 && page[at - 1] != '\n') continue;
    auto rest = page.substr(at + metric.size());
    if (!rest.starts_with(' ')) continue;
    rest.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{}) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> syncs_of_page(std::string_view page) {
  const auto syncs = sample_value(page, "codeq_disk_syncs_total");
  if (!syncs || *syncs < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*syncs);
}

ServerSnapshot snapshot_of(std::optional<int> pid) {
  ServerSnapshot now;
  now.machine = machine_times();
  if (!pid) return now;
  now.cpu_us = process_cpu_us(*pid);
  const auto status = text_of(fmt::format("/proc/{}/status", *pid));
  now.resident_kib = number_of_line(status, "VmRSS");
  now.resident_peak_kib = number_of_line(status, "VmHWM");
  now.written_bytes = number_of_line(text_of(fmt::format("/proc/{}/io", *pid)), "write_bytes");
  return now;
}

}  // namespace codeq::app
