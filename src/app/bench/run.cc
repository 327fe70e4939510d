#include "app/bench/run.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <ostream>

#include "app/bench/answer.h"
#include "app/bench/report.h"

namespace codeq::app {
namespace {

constexpr std::int64_t kDrainNs = 5 * kNanosPerSecond;
constexpr std::int64_t kFillStallNs = 30 * kNanosPerSecond;  // a backlog that does not grow for so long will not

std::int64_t own_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * std::int64_t{1'000'000} + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

const char* name_of(Phase phase) {
  switch (phase) {
    case Phase::kFill: return "fill";
    case Phase::kWarmup: return "warm-up";
    case Phase::kMeasured: return "measured";
    case Phase::kDrain: return "drain";
  }
  return "";
}

// A line a second, in place on a terminal.
class Progress {
 public:
  Progress(bool wanted, const Tally& tally) : wanted_(wanted), in_place_(isatty(STDERR_FILENO) != 0), tally_(tally) {}
  ~Progress() {
    if (wanted_ && in_place_ && shown_) std::fputs("\r\x1b[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void look(std::int64_t now_ns) {
    if (!wanted_ || now_ns < next_ns_) return;
    if (next_ns_ != 0) {
      const auto seconds = static_cast<double>(now_ns - last_ns_) / 1e9;
      const auto rate = [&](std::uint64_t now, std::uint64_t then) {
        return static_cast<double>(now - then) / seconds;
      };
      std::fprintf(stderr, "%s%-8s %9.0f created/s %9.0f completed/s %9ld open  create p99 %.1f ms  %lu errors%s",
                   in_place_ ? "\r\x1b[K" : "", name_of(tally_.phase()), rate(tally_.created_total(), created_),
                   rate(tally_.completed_total(), completed_), static_cast<long>(tally_.outstanding()),
                   static_cast<double>(tally_.create.quantile(0.99)) / 1e6,
                   static_cast<unsigned long>(tally_.error_count()), in_place_ ? "" : "\n");
      std::fflush(stderr);
      shown_ = true;
    }
    created_ = tally_.created_total();
    completed_ = tally_.completed_total();
    last_ns_ = now_ns;
    next_ns_ = now_ns + kNanosPerSecond;
  }

 private:
  const bool wanted_, in_place_;
  const Tally& tally_;
  bool shown_ = false;
  std::int64_t last_ns_ = 0, next_ns_ = 0;
  std::uint64_t created_ = 0, completed_ = 0;
};

class Run {
 public:
  Run(const BenchOptions& options, BenchEngine& engine, Tally& tally)
      : options_(options), engine_(engine), tally_(tally), progress_(options.progress, tally) {}

  void all(BenchReport& report) {
    fill(report);
    if (options_.tasks == 0) phase(Phase::kWarmup, options_.warmup_seconds);
    // Beside the load: a pause of this thread would be one of the load's.
    auto page = std::async(std::launch::async, scrape_metrics, options_);
    report.before = snapshot_of(options_.server_pid);
    const auto own_before = own_cpu_us();
    const auto start_ns = clock_.steady_ns();
    phase(Phase::kMeasured, options_.seconds);
    const auto end_ns = clock_.steady_ns();
    report.seconds = static_cast<double>(end_ns - start_ns) / 1e9;
    report.client_cpu_us = own_cpu_us() - own_before;
    report.after = snapshot_of(options_.server_pid);
    auto page_after = std::async(std::launch::async, scrape_metrics, options_);
    tally_.enter(Phase::kDrain, end_ns);
    drain();
    const auto text = page.get();
    report.durability = info_label(text, "codeq_durability_info", "mode");
    report.sampling = info_label(text, "codeq_tracing_info", "sampling");
    report.before.syncs = syncs_of_page(text);
    report.after.syncs = syncs_of_page(page_after.get());
  }

 private:
  void fill(BenchReport& report) {
    if (options_.backlog == 0) return;
    const auto start_ns = clock_.steady_ns();
    auto grown_ns = start_ns;
    std::uint64_t seen = 0;
    for (auto now = start_ns; tally_.created_total() < options_.backlog && engine_.alive(); now = clock_.steady_ns()) {
      engine_.turn(now, now + kNanosPerSecond / 10);
      progress_.look(now);
      if (tally_.created_total() > seen) grown_ns = now;
      seen = tally_.created_total();
      if (now - grown_ns > kFillStallNs) break;
    }
    report.fill_seconds = static_cast<double>(clock_.steady_ns() - start_ns) / 1e9;
  }

  void phase(Phase phase, double seconds) {
    const auto start_ns = clock_.steady_ns();
    const auto end_ns = start_ns + static_cast<std::int64_t>(seconds * 1e9);
    tally_.enter(phase, start_ns);
    for (auto now = start_ns; now < end_ns && engine_.alive(); now = clock_.steady_ns()) {
      if (options_.tasks != 0 && tally_.completed_measured() >= options_.tasks) return;
      engine_.turn(now, end_ns);
      progress_.look(now);
    }
  }

  // What was created is settled, so that the broker is left as it was found; a backlog that takes longer is not.
  void drain() {
    const auto start_ns = clock_.steady_ns();
    const auto end_ns = start_ns + kDrainNs + tally_.delay_ns();
    for (auto now = start_ns; now < end_ns && !tally_.all_settled() && engine_.alive(); now = clock_.steady_ns()) {
      engine_.turn(now, end_ns);
      progress_.look(now);
    }
    if (const auto unsent = tally_.unsent(); unsent > 0) tally_.errors[{"create", "due and never sent"}] += unsent;
  }

  const BenchOptions& options_;
  BenchEngine& engine_;
  Tally& tally_;
  Progress progress_;
  SystemClock clock_;
};

}  // namespace

std::string scrape_metrics(const BenchOptions& options) {
  const auto address = BenchAddress::look_up(options.host, options.port);
  BenchConnection connection;
  const auto request = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
  if (!address || !connection.connect(*address) || !connection.send(request)) return "";
  SystemClock clock;
  const auto end_ns = clock.steady_ns() + 2 * kNanosPerSecond;
  Answer answer;
  while (clock.steady_ns() < end_ns) {
    pollfd one{connection.fd(), static_cast<short>(connection.wants_write() ? POLLIN | POLLOUT : POLLIN), 0};
    poll(&one, 1, 100);
    if (!connection.flush()) return "";
    const auto io = connection.receive(answer);
    if (io == BenchConnection::Io::kWaiting) continue;
    if (io == BenchConnection::Io::kBroken || answer.status != 200) return "";
    return std::string(answer.body);
  }
  return "";
}

int run_bench(const std::string& name, const BenchOptions& options, std::uint64_t outstanding, BenchEngine& engine,
              Tally& tally, std::ostream& out) {
  if (const auto connected = engine.connect(); !connected) {
    out << "codeq bench " << name << ": " << connected.error().message << '\n';
    return 2;
  }
  BenchReport report;
  report.bench = name;
  report.outstanding_max = outstanding;
  Run(options, engine, tally).all(report);
  out << (options.json ? report_json(options, tally, report) + '\n' : report_text(options, tally, report))
      << std::flush;
  return tally.completed_measured() > 0 && tally.errors.empty() ? 0 : 1;
}

}  // namespace codeq::app
