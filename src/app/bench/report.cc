#include "app/bench/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>

namespace codeq::app {
namespace {

double per_cycle(std::int64_t us, std::uint64_t cycles) {
  return cycles == 0 ? 0 : static_cast<double>(us) / static_cast<double>(cycles);
}
double ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }
double us(std::int64_t ns) { return static_cast<double>(ns) / 1e3; }

std::string text_row(const char* name, const Histogram& h) {
  return fmt::format("  {:<18} {:>10.3f} {:>10.3f} {:>10.3f} {:>12}\n", name, ms(h.quantile(0.5)), ms(h.quantile(0.99)),
                     ms(h.max()), h.count());
}

std::string json_row(const char* name, const Histogram& h) {
  return fmt::format(R"("{}":{{"count":{},"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})", name, h.count(),
                     us(h.quantile(0.5)), us(h.quantile(0.99)), us(h.max()));
}

// Labels come from the server, the command from the command line.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else if (c == '"' || c == '\\')
      out.append({'\\', c});
    else
      out.push_back(c);
  }
  return out + '"';
}

}  // namespace

void BenchReport::clear() {
  seconds = 0;
  cycles = 0;
  for (auto* histogram : {&cycle, &create, &claim, &result}) histogram->clear();
  errors.clear();
  server_cpu_us.reset();
  client_cpu_us = 0;
}

std::string report_text(const BenchOptions& o, const BenchReport& r) {
  auto out =
      fmt::format("codeq bench http: {} producers, {} workers, batch {}, payload {} bytes, backlog {}, {:.1f} s\n",
                  o.producers, o.workers, o.batch, o.payload_bytes, o.backlog, r.seconds);
  out += fmt::format("durability {}, trace sampling {}\n\n", r.durability, r.sampling);
  out += fmt::format("{:.1f} full cycles/s ({} acknowledged results)\n\n", r.cycles_per_second(), r.cycles);
  out += fmt::format("  {:<18} {:>10} {:>10} {:>10} {:>12}\n", "milliseconds", "p50", "p99", "max", "count");
  out += text_row("create to result", r.cycle) + text_row("create", r.create) + text_row("claim, with wait", r.claim) +
         text_row("result", r.result);
  out += '\n';
  if (r.server_cpu_us)
    out += fmt::format("server CPU {:.1f} us per cycle, ", per_cycle(*r.server_cpu_us, r.cycles));
  else
    out += "server CPU unknown, ";
  out += fmt::format("this generator {:.1f} us per cycle\n", per_cycle(r.client_cpu_us, r.cycles));
  if (r.errors.empty()) out += "no errors\n";
  for (const auto& [what, count] : r.errors) out += fmt::format("errors: {} {}: {}\n", what.first, what.second, count);
  return out;
}

std::string report_json(const BenchOptions& o, const BenchReport& r) {
  auto out = fmt::format(
      R"({{"bench":"http","producers":{},"workers":{},"batch":{},"payload_bytes":{},"backlog":{},"seconds":{:.3f},"cycles":{},)"
      R"("cycles_per_second":{:.1f},"durability":{},"sampling":{},"latency_us":{{)",
      o.producers, o.workers, o.batch, o.payload_bytes, o.backlog, r.seconds, r.cycles, r.cycles_per_second(),
      json_string(r.durability), json_string(r.sampling));
  out += json_row("cycle", r.cycle) + ',' + json_row("create", r.create) + ',' + json_row("claim", r.claim) + ',' +
         json_row("result", r.result) + "},";
  out += r.server_cpu_us ? fmt::format(R"("server_cpu_us_per_cycle":{:.2f},)", per_cycle(*r.server_cpu_us, r.cycles))
                         : R"("server_cpu_us_per_cycle":null,)";
  out += fmt::format(R"("client_cpu_us_per_cycle":{:.2f},"errors":{{)", per_cycle(r.client_cpu_us, r.cycles));
  bool first = true;
  for (const auto& [what, count] : r.errors) {
    if (!first) out += ',';
    first = false;
    out += fmt::format("{}:{}", json_string(what.first + ' ' + what.second), count);
  }
  return out + "}}";
}

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
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return cpu_us_of_stat(text, sysconf(_SC_CLK_TCK));
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

}  // namespace codeq::app
