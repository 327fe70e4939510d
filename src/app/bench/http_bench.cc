#include "app/bench/http_bench.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "app/bench/connection.h"
#include "app/bench/report.h"
#include "app/bench/requests.h"
#include "base/clock.h"
#include "base/rng.h"

namespace codeq::app {
namespace {

constexpr std::int64_t kAfterErrorNs = 100 * kNanosPerMilli;   // before an erring connection tries again
constexpr std::int64_t kAfterNothingNs = 5 * kNanosPerMilli;  // before the next claim where the server does not wait
constexpr std::int64_t kDrainNs = 5 * kNanosPerSecond;

enum class Doing : std::uint8_t { kNothing, kCreate, kClaim, kResult };

const char* name_of(Doing doing) {
  switch (doing) {
    case Doing::kNothing: return "connect";
    case Doing::kCreate: return "create";
    case Doing::kClaim: return "claim";
    case Doing::kResult: return "result";
  }
  return "";
}

struct Client {
  BenchConnection connection;
  bool producer = false;
  Doing doing = Doing::kNothing;
  bool watched_for_write = false;
  std::int64_t sent_ns = 0;
  std::int64_t resume_ns = 0;  // not before
  std::vector<HeldTask> held;  // claimed, and not settled
};

std::int64_t own_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * std::int64_t{1'000'000} + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

std::string random_run() {
  SystemRng rng;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
  std::string run;
  for (auto bits = rng.next(); run.size() < 12; bits >>= 5) run.push_back(kLetters[bits & 31]);
  return run;
}

class HttpBench {
 public:
  HttpBench(const BenchOptions& options, const BenchAddress& address)
      : options_(options),
        address_(address),
        run_(random_run()),
        requests_(options, run_),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~HttpBench() { close(epoll_); }
  HttpBench(const HttpBench&) = delete;
  HttpBench& operator=(const HttpBench&) = delete;

  bool connect_all() {
    for (std::uint32_t i = 0; i < options_.producers + options_.workers; ++i) {
      clients_.push_back(std::make_unique<Client>());
      clients_.back()->producer = i < options_.producers;
      if (!reconnect(*clients_.back())) return false;
    }
    read_server_state();
    return true;
  }

  const BenchReport& run() {
    const auto seconds = [](double s) { return static_cast<std::int64_t>(s * 1e9); };
    if (options_.cycles == 0 && options_.warmup_seconds > 0) {
      turn_until(clock_.steady_ns() + seconds(options_.warmup_seconds));
      report_.clear();
    }
    const auto start_ns = clock_.steady_ns();
    const auto own_before = own_cpu_us();
    const auto server_before = options_.server_pid ? process_cpu_us(*options_.server_pid) : std::nullopt;
    turn_until(start_ns + seconds(options_.seconds));
    report_.seconds = static_cast<double>(clock_.steady_ns() - start_ns) / 1e9;
    report_.client_cpu_us = own_cpu_us() - own_before;
    const auto server_after = options_.server_pid ? process_cpu_us(*options_.server_pid) : std::nullopt;
    if (server_before && server_after) report_.server_cpu_us = *server_after - *server_before;
    drain();
    return report_;
  }

 private:
  [[nodiscard]] bool enough() const { return options_.cycles != 0 && report_.cycles >= options_.cycles; }

  void turn_until(std::int64_t end_ns) {
    std::int64_t line_ns = clock_.steady_ns() + kNanosPerSecond;
    std::uint64_t line_cycles = report_.cycles;
    for (auto now = clock_.steady_ns(); now < end_ns && !enough(); now = clock_.steady_ns()) {
      turn(now, end_ns);
      if (now < line_ns) continue;
      line_ns += kNanosPerSecond;
      std::uint64_t errors = 0;
      for (const auto& [what, count] : report_.errors) errors += count;
      if (options_.progress) {
        std::fprintf(stderr, "%8lu cycles/s  %6ld waiting or under way  %lu errors\n",
                     static_cast<unsigned long>(report_.cycles - line_cycles), static_cast<long>(outstanding_),
                     static_cast<unsigned long>(errors));
      }
      line_cycles = report_.cycles;
    }
  }

  // What was created is settled, so that the broker is left as it was found; nothing of it is counted.
  void drain() {
    draining_ = true;
    const auto end_ns = clock_.steady_ns() + kDrainNs;
    const auto creating = [&] {
      return std::ranges::any_of(clients_, [](const auto& client) { return client->doing == Doing::kCreate; });
    };
    for (auto now = clock_.steady_ns(); now < end_ns && (outstanding_ > 0 || creating()); now = clock_.steady_ns())
      turn(now, end_ns);
  }

  void turn(std::int64_t now, std::int64_t end_ns) {
    bool idle = false;
    for (auto& client : clients_) {
      if (client->doing == Doing::kNothing) go_on(*client, now);
      idle = idle || client->doing == Doing::kNothing;
    }
    const auto wait_ms = std::clamp<std::int64_t>((end_ns - now) / kNanosPerMilli, 1,
                                                  !idle               ? 100
                                                  : options_.rate > 0 ? 1
                                                                      : 5);
    epoll_event events[256];
    const int count = epoll_wait(epoll_, events, 256, static_cast<int>(wait_ms));
    for (int i = 0; i < count; ++i) on_event(*static_cast<Client*>(events[i].data.ptr), events[i].events);
  }

  void on_event(Client& client, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0 && !client.connection.flush()) return broken(client);
    watch_write(client);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    Answer answer;
    switch (client.connection.receive(answer)) {
      case BenchConnection::Io::kWaiting: return;
      case BenchConnection::Io::kBroken: return broken(client);
      case BenchConnection::Io::kAnswer: break;
    }
    if (client.doing == Doing::kNothing) return broken(client);  // an answer to nothing
    const auto now = clock_.steady_ns();
    on_answer(client, answer, now);
    client.doing = Doing::kNothing;
    if (answer.close) reconnect(client);
    go_on(client, now);
  }

  void on_answer(Client& client, const Answer& answer, std::int64_t now) {
    const auto took = now - client.sent_ns;
    const bool batch = options_.batch > 1;
    switch (client.doing) {
      case Doing::kNothing: return;
      case Doing::kCreate: {
        if (answer.status != (batch ? 200 : 202)) {
          outstanding_ -= options_.batch;
          return error(client, std::to_string(answer.status), now);
        }
        note(report_.create, took);
        if (!batch) return;
        const auto refused = static_cast<std::int64_t>(options_.batch) -
                             static_cast<std::int64_t>(occurrences(answer.body, R"("task":{)"));
        if (refused <= 0) return;
        outstanding_ -= refused;
        return error(client, "item", now);
      }
      case Doing::kClaim: {
        if (answer.status == 204) {
          if (took < kAfterNothingNs) client.resume_ns = now + kAfterNothingNs;
          return;
        }
        if (answer.status != 200) return error(client, std::to_string(answer.status), now);
        found_.clear();
        find_claimed(answer.body, found_);
        if (found_.empty()) return error(client, "unreadable", now);
        for (const auto& task : found_)
          client.held.push_back({std::string(task.id), task.created_ns, task.run == run_});
        return note(report_.claim, took);
      }
      case Doing::kResult: {
        const auto held = std::exchange(client.held, {});
        const auto ours = std::ranges::count_if(held, &HeldTask::ours);
        outstanding_ -= ours;
        if (answer.status != 200) return error(client, std::to_string(answer.status), now);
        note(report_.result, took);
        // Every record of a result has a completedAt, and an error of a batch has not.
        const auto kept = batch ? occurrences(answer.body, R"("completedAt":)") : 1;
        if (kept < held.size()) error(client, "item", now);
        if (draining_) return;
        report_.cycles += std::min<std::uint64_t>(kept, static_cast<std::uint64_t>(ours));
        if (kept != held.size()) return;
        for (const auto& task : held) {
          if (task.ours) report_.cycle.record(now - task.created_ns);
        }
        return;
      }
    }
  }

  // Starts what this connection does next, if it may.
  void go_on(Client& client, std::int64_t now) {
    if (client.doing != Doing::kNothing || now < client.resume_ns) return;
    if (!client.connection.open() && !reconnect(client)) return error(client, "connection", now);
    if (!client.held.empty()) return start(client, Doing::kResult, requests_.result(client.held), now);
    if (!client.producer) return start(client, Doing::kClaim, requests_.claim(), now);
    if (draining_ || outstanding_ + options_.batch > std::max(options_.backlog, options_.batch)) return;
    if (options_.rate > 0) {
      if (now < next_create_ns_) return;
      // What the broker did not let us send in time is not made up for by a burst.
      next_create_ns_ = std::max(next_create_ns_, now - kNanosPerSecond / 10) +
                        static_cast<std::int64_t>(options_.batch * 1e9 / options_.rate);
    }
    outstanding_ += options_.batch;
    start(client, Doing::kCreate, requests_.create(now), now);
  }

  void start(Client& client, Doing doing, std::string_view request, std::int64_t now) {
    client.doing = doing;
    client.sent_ns = now;
    if (!client.connection.send(request)) return broken(client);
    watch_write(client);
  }

  void broken(Client& client) {
    if (client.doing == Doing::kCreate)
      outstanding_ -= options_.batch;  // it may have been created; then it is found as a task of ours
    outstanding_ -= std::ranges::count_if(client.held, &HeldTask::ours);
    outstanding_ = std::max<std::int64_t>(outstanding_, 0);
    client.held.clear();
    error(client, "connection", clock_.steady_ns());
    client.doing = Doing::kNothing;
    client.connection.close();  // which takes it out of the epoll set too
  }

  void error(Client& client, std::string what, std::int64_t now) {
    if (!draining_) ++report_.errors[{name_of(client.doing), std::move(what)}];
    client.resume_ns = now + kAfterErrorNs;
  }

  void note(Histogram& histogram, std::int64_t ns) const {
    if (!draining_) histogram.record(ns);
  }

  bool reconnect(Client& client) {
    if (!client.connection.connect(address_)) return false;
    client.watched_for_write = false;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &client}};
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, client.connection.fd(), &event) == 0;
  }

  void watch_write(Client& client) {
    if (!client.connection.open() || client.connection.wants_write() == client.watched_for_write) return;
    client.watched_for_write = !client.watched_for_write;
    epoll_event event{.events = client.watched_for_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.ptr = &client}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, client.connection.fd(), &event);
  }

  // The server's own word on what it promises while it is measured.
  void read_server_state() {
    BenchConnection connection;
    if (!connection.connect(address_) || !connection.send(requests_.metrics())) return;
    const auto end_ns = clock_.steady_ns() + 2 * kNanosPerSecond;
    Answer answer;
    while (clock_.steady_ns() < end_ns) {
      pollfd one{connection.fd(), static_cast<short>(connection.wants_write() ? POLLIN | POLLOUT : POLLIN), 0};
      poll(&one, 1, 100);
      if (!connection.flush()) return;
      const auto io = connection.receive(answer);
      if (io == BenchConnection::Io::kWaiting) continue;
      if (io == BenchConnection::Io::kBroken || answer.status != 200) return;
      report_.durability = info_label(answer.body, "codeq_durability_info", "mode");
      report_.sampling = info_label(answer.body, "codeq_tracing_info", "sampling");
      return;
    }
  }

  const BenchOptions& options_;
  const BenchAddress& address_;
  SystemClock clock_;
  std::string run_;
  BenchRequests requests_;
  int epoll_;
  BenchReport report_;
  std::int64_t next_create_ns_ = 0;
  std::int64_t outstanding_ = 0;  // of ours: created or being created, and not settled
  bool draining_ = false;
  std::vector<ClaimedTask> found_;
  std::vector<std::unique_ptr<Client>> clients_;
};

Result<void> check(const BenchOptions& o) {
  const auto refuse = [](const char* why) { return fail(Code::kInvalidArgument, why); };
  const auto token_ok = [](const std::string& token) {
    return std::ranges::all_of(token, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  };
  if (o.producers == 0 || o.workers == 0 || o.producers > 10'000 || o.workers > 10'000)
    return refuse("1 to 10000 producers and workers");
  if (o.batch == 0 || o.batch > 100) return refuse("a batch is 1 to 100 tasks");
  if (!(o.seconds > 0 && o.seconds <= 1e6) || !(o.warmup_seconds >= 0 && o.warmup_seconds <= 1e6))
    return refuse("the duration is out of range");
  if (!(o.rate == 0 || (o.rate >= 0.001 && o.rate <= 1e9))) return refuse("the rate is out of range");
  if (o.payload_bytes > (1U << 20)) return refuse("a payload is at most 1 MiB");
  if (o.command.empty() || !std::ranges::all_of(o.command, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
      })) {
    return refuse("a command of letters, digits, '_', '-' and '.'");
  }
  if (!token_ok(o.producer_token) || !token_ok(o.worker_token))
    return refuse("a token holds characters that no header may");
  return {};
}

}  // namespace

Result<void> set_bench_url(std::string_view url, BenchOptions& options) {
  const auto refuse = [] { return fail(Code::kInvalidArgument, "the url of a bench is http://HOST:PORT"); };
  if (url.starts_with("http://")) url.remove_prefix(7);
  if (url.ends_with('/')) url.remove_suffix(1);
  const auto colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return refuse();
  auto host = url.substr(0, colon);
  const auto digits = url.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return refuse();
  if (host.size() > 2 && host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!std::ranges::all_of(
          host, [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':' || c == '_'; }))
    return refuse();
  options.host = host;
  options.port = port;
  return {};
}

int run_http_bench(const BenchOptions& options, std::ostream& out) {
  if (const auto ok = check(options); !ok) {
    out << "codeq bench http: " << ok.error().message << '\n';
    return 2;
  }
  const auto address = BenchAddress::look_up(options.host, options.port);
  if (!address) {
    out << "codeq bench http: " << address.error().message << '\n';
    return 2;
  }
  HttpBench bench(options, *address);
  if (!bench.connect_all()) {
    out << "codeq bench http: cannot connect to " << options.host << ':' << options.port << '\n';
    return 2;
  }
  const auto& report = bench.run();
  out << (options.json ? report_json(options, report) + '\n' : report_text(options, report)) << std::flush;
  return report.cycles > 0 && report.errors.empty() ? 0 : 1;
}

}  // namespace codeq::app
