#include "app/bench/report.h"

#include <fmt/format.h>

#include <utility>

namespace codeq::app {
namespace {

double ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }
double us(std::int64_t ns) { return static_cast<double>(ns) / 1e3; }

// What a counter grew by, per `per`; nothing where either reading is missing.
template <class Number>
std::optional<double> growth(const std::optional<Number>& from, const std::optional<Number>& until, double per) {
  if (!from || !until || *until < *from || per <= 0) return std::nullopt;
  return static_cast<double>(*until - *from) / per;
}

struct Figures {
  double per_second;
  double tasks;  // completed in the measured part
  std::optional<double> server_cpu_us, written_bytes, syncs_per_second, rss_mib, rss_peak_mib, stolen;
  double client_cpu_us;
};

Figures figures_of(const Tally& tally, const BenchReport& r) {
  const auto tasks = static_cast<double>(tally.completed_measured());
  const auto mib = [](const std::optional<std::uint64_t>& kib) -> std::optional<double> {
    if (!kib) return std::nullopt;
    return static_cast<double>(*kib) / 1024;
  };
  Figures f{.per_second = r.seconds > 0 ? tasks / r.seconds : 0,
            .tasks = tasks,
            .server_cpu_us = growth(r.before.cpu_us, r.after.cpu_us, tasks),
            .written_bytes = growth(r.before.written_bytes, r.after.written_bytes, tasks),
            .syncs_per_second = growth(r.before.syncs, r.after.syncs, r.seconds),
            .rss_mib = mib(r.after.resident_kib),
            .rss_peak_mib = mib(r.after.resident_peak_kib),
            .stolen = {},
            .client_cpu_us = tasks > 0 ? static_cast<double>(r.client_cpu_us) / tasks : 0};
  if (r.before.machine && r.after.machine) f.stolen = stolen_percent(*r.before.machine, *r.after.machine);
  return f;
}

std::string text_row(const char* name, const Histogram& h) {
  return fmt::format("  {:<24}{:>10.3f}{:>10.3f}{:>10.3f}{:>10.3f}{:>10.3f}{:>12}\n", name, ms(h.quantile(0.5)),
                     ms(h.quantile(0.9)), ms(h.quantile(0.99)), ms(h.quantile(0.999)), ms(h.max()), h.count());
}

std::string json_row(const char* name, const Histogram& h) {
  return fmt::format(R"("{}":{{"count":{},"p50":{:.1f},"p90":{:.1f},"p99":{:.1f},"p99.9":{:.1f},"max":{:.1f}}})", name,
                     h.count(), us(h.quantile(0.5)), us(h.quantile(0.9)), us(h.quantile(0.99)), us(h.quantile(0.999)),
                     us(h.max()));
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

std::string json_number(const char* name, const std::optional<double>& value, int digits) {
  return value ? fmt::format(R"("{}":{:.{}f},)", name, *value, digits) : fmt::format(R"("{}":null,)", name);
}

std::string or_unknown(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "unknown";
}

// What makes this load another one than the plain loop, in words; empty for none of it.
std::string scenario_text(const BenchOptions& o) {
  std::string out;
  const auto add = [&out](std::string part) { out += (out.empty() ? "" : ", ") + std::move(part); };
  if (o.backlog > 0) add(fmt::format("backlog {}", o.backlog));
  if (o.queues > 1) add(fmt::format("{} queues", o.queues));
  if (tenant_count(o) > 1) add(fmt::format("{} tenants", tenant_count(o)));
  if (o.priorities > 1) add(fmt::format("{} priorities", o.priorities));
  if (o.delay_ms > 0) add(fmt::format("delayed by {} ms", o.delay_ms));
  if (o.idle_polls > 0) add(fmt::format("{} idle polls", o.idle_polls));
  return out;
}

}  // namespace

std::string report_text(const BenchOptions& o, const Tally& tally, const BenchReport& r) {
  const auto f = figures_of(tally, r);
  const bool http = r.bench == "http";
  auto out = fmt::format("codeq bench {}: {} producers, {} workers, batch {}, payload {} bytes, ", r.bench, o.producers,
                         o.workers, o.batch, o.payload_bytes);
  out += tally.open_loop() ? fmt::format("open loop of {:g} tasks/s", o.rate)
                           : fmt::format("closed loop of {} tasks", r.outstanding_max);
  out += fmt::format(", {:.1f} s\n", r.seconds);
  if (const auto scenario = scenario_text(o); !scenario.empty()) out += scenario + '\n';
  out += fmt::format("durability {}, trace sampling {}\n\n", r.durability, r.sampling);
  if (r.fill_seconds)
    out += fmt::format("{:.1f} creates/s while the backlog was filled\n",
                       *r.fill_seconds > 0 ? static_cast<double>(o.backlog) / *r.fill_seconds : 0);
  out +=
      fmt::format("{:.1f} tasks completed/s ({} acknowledged results)\n\n", f.per_second, tally.completed_measured());
  out += fmt::format("  {:<24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}\n", "milliseconds", "p50", "p90", "p99", "p99.9",
                     "max", "count");
  out += text_row("create", tally.create) + text_row("create to handed over", tally.handover) +
         text_row("create to completed", tally.completion);
  if (http) out += text_row("claim, with its wait", tally.claim_request) + text_row("result", tally.result_request);
  if (tally.open_loop()) out += text_row("creates left late by", tally.late);
  out += fmt::format("\nserver CPU {} us per task, memory {} MiB (at most {}), {} bytes written per task, {} syncs/s\n",
                     or_unknown(f.server_cpu_us, 1), or_unknown(f.rss_mib, 1), or_unknown(f.rss_peak_mib, 1),
                     or_unknown(f.written_bytes, 0), or_unknown(f.syncs_per_second, 0));
  out += fmt::format("this generator {:.1f} us per task; the host took {} % of the machine's time\n", f.client_cpu_us,
                     or_unknown(f.stolen, 1));
  out += fmt::format("all in all {} created, {} completed, {} refused, {} left open\n", tally.created_total(),
                     tally.completed_total(), tally.refused_total(), tally.open_total());
  if (tally.errors.empty()) out += "no errors\n";
  for (const auto& [what, count] : tally.errors)
    out += fmt::format("errors: {} {}: {}\n", what.first, what.second, count);
  return out;
}

std::string report_json(const BenchOptions& o, const Tally& tally, const BenchReport& r) {
  const auto f = figures_of(tally, r);
  auto out = fmt::format(
      R"({{"bench":"{}","durability":{},"sampling":{},"producers":{},"workers":{},"batch":{},"payload_bytes":{},)"
      R"("loop":"{}","rate":{:g},"outstanding":{},"backlog":{},"queues":{},"tenants":{},"priorities":{},"delay_ms":{},)"
      R"("idle_polls":{},)",
      r.bench, json_string(r.durability), json_string(r.sampling), o.producers, o.workers, o.batch, o.payload_bytes,
      tally.open_loop() ? "open" : "closed", o.rate, r.outstanding_max, o.backlog, o.queues, tenant_count(o),
      o.priorities, o.delay_ms, o.idle_polls);
  if (r.bench == "grpc") out += fmt::format(R"("window":{},)", o.window);
  out += fmt::format(R"("seconds":{:.3f},"completed":{},"completed_per_second":{:.1f},)", r.seconds,
                     tally.completed_measured(), f.per_second);
  if (r.fill_seconds && *r.fill_seconds > 0)
    out += fmt::format(R"("fill_per_second":{:.1f},)", static_cast<double>(o.backlog) / *r.fill_seconds);
  out += fmt::format(R"("created_total":{},"completed_total":{},"refused_total":{},"open_total":{},"latency_us":{{)",
                     tally.created_total(), tally.completed_total(), tally.refused_total(), tally.open_total());
  out += json_row("create", tally.create) + ',' + json_row("handed_over", tally.handover) + ',' +
         json_row("completed", tally.completion) + ',' + json_row("left_late", tally.late);
  if (r.bench == "http")
    out +=
        ',' + json_row("claim_request", tally.claim_request) + ',' + json_row("result_request", tally.result_request);
  out += "}," + json_number("server_cpu_us_per_task", f.server_cpu_us, 2) +
         json_number("server_rss_mib", f.rss_mib, 1) + json_number("server_rss_peak_mib", f.rss_peak_mib, 1) +
         json_number("server_written_bytes_per_task", f.written_bytes, 0) +
         json_number("server_syncs_per_second", f.syncs_per_second, 0) + json_number("cpu_stolen_percent", f.stolen, 1);
  out += fmt::format(R"("client_cpu_us_per_task":{:.2f},"errors":{{)", f.client_cpu_us);
  bool first = true;
  for (const auto& [what, count] : tally.errors) {
    if (!first) out += ',';
    first = false;
    out += fmt::format("{}:{}", json_string(what.first + ' ' + what.second), count);
  }
  return out + "}}";
}

}  // namespace codeq::app
