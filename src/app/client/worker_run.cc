// `codeq worker run`: a traced worker whose work is done by a program of any language.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <set>
#include <thread>

#include "app/client/commands.h"
#include "app/client/lease.h"
#include "app/client/outcome.h"
#include "app/client/signal_fd.h"
#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/client/wait.h"
#include "app/exit_codes.h"
#include "base/clock.h"
#include "base/rng.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::int64_t kGiveBackNs = 5 * kNanosPerSecond;  // for giving tasks back once there is no time left
constexpr milliseconds kCallTimeout{30'000};

nanoseconds of_seconds(double seconds) { return nanoseconds(static_cast<std::int64_t>(seconds * 1e9)); }

// 250 ms, doubling, at most ten seconds, less up to a half of it, so that slots do not come back all at once; or what the broker
// asked for.
class Backoff {
 public:
  nanoseconds next(const Result<HttpResponse>& answer) {
    const auto wait = next_;
    next_ = std::min(next_ * 2, nanoseconds(std::chrono::seconds(10)));
    if (answer && answer->retry_after) return std::min<nanoseconds>(*answer->retry_after, std::chrono::seconds(30));
    const auto half = static_cast<std::uint64_t>(wait.count() / 2);
    return wait - nanoseconds(static_cast<std::int64_t>(rng_.next() % (half + 1)));
  }
  void reset() { next_ = milliseconds(250); }

 private:
  SystemRng rng_;
  nanoseconds next_ = milliseconds(250);
};

enum class Settled : std::uint8_t { kDone, kLost, kRefused, kGaveUp };

class Worker {
 public:
  explicit Worker(Context& context)
      : context_(context),
        arguments_(context.arguments.worker_run),
        settings_(context.settings),
        ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    rules_.on_error = arguments_.on_error == "fail"      ? OnError::kFail
                      : arguments_.on_error == "abandon" ? OnError::kAbandon
                                                         : OnError::kNack;
    rules_.nack_delay = arguments_.nack_delay;
    rules_.output_bytes_max = static_cast<std::size_t>(arguments_.output_bytes_max);
    rules_.timeout = of_seconds(arguments_.timeout_seconds);
  }

  int run() {
    const SignalFd signals;  // before any thread
    slots_left_.store(arguments_.concurrency);
    if (!context_.arguments.globals.json)
      say_ok(fmt::format("Waiting for tasks: {} ({} at a time)", fmt::join(arguments_.commands, ", "),
                         arguments_.concurrency));
    std::list<std::jthread> slots;
    for (int i = 0; i < arguments_.concurrency; ++i)
      slots.emplace_back([this] {
        slot();
        if (slots_left_.fetch_sub(1) == 1) {
          const std::uint64_t one = 1;
          [[maybe_unused]] const auto written = ::write(ended_.get(), &one, sizeof one);
        }
      });
    if (wait(signals, -1) == Woken::kSignal) stop(signals);
    slots.clear();  // joins
    return status_.load();
  }

 private:
  enum class Woken : std::uint8_t { kEnded, kSignal, kTime };

  Woken wait(const SignalFd& signals, std::int64_t until_ns) {
    while (true) {
      std::array<pollfd, 2> fds{pollfd{.fd = ended_.get(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = signals.get(), .events = POLLIN, .revents = 0}};
      int wait_ms = -1;
      if (until_ns >= 0)
        wait_ms = static_cast<int>(std::clamp<std::int64_t>(
            (until_ns - clock_.steady_ns() + kNanosPerMilli - 1) / kNanosPerMilli, 0, 3'600'000));
      ::poll(fds.data(), fds.size(), wait_ms);
      if (fds[0].revents != 0) return Woken::kEnded;
      if (fds[1].revents != 0 && signals.take()) return Woken::kSignal;
      if (until_ns >= 0 && clock_.steady_ns() >= until_ns) return Woken::kTime;
    }
  }

  // No more claims; handlers have their time; then SIGTERM, SIGKILL, and the tasks are given back. A second signal: at once.
  void stop(const SignalFd& signals) {
    claiming_.request_stop();
    say_warning("stopping; a second signal ends the handlers at once");
    auto woken = wait(signals, clock_.steady_ns() + of_seconds(arguments_.drain_seconds).count());
    if (woken == Woken::kTime) {
      end_handlers(StopReason::kDrained);
      woken = wait(signals, -1);
    }
    if (woken == Woken::kSignal) end_handlers(StopReason::kKill);
  }

  void end_handlers(StopReason reason) {
    const std::scoped_lock lock(mutex_);
    ending_ = reason;
    hurry_.request_stop();
    for (auto* handler : running_) handler->ask(reason);
  }

  // One of `concurrency` threads: claims, runs, settles, one task at a time.
  void slot() {
    HttpClient http(tls()), heartbeats(tls());
    Backoff backoff;
    while (!claiming_.stop_requested() && reserve()) {
      const auto task = claim(http, backoff);
      if (!task) {
        release();
        continue;
      }
      work(*task, http, heartbeats);
    }
  }

  [[nodiscard]] Tls tls() const { return {settings_.ca_file, settings_.client_cert, settings_.client_key}; }

  bool reserve() {
    if (arguments_.tasks_max == 0) return true;
    if (begun_.fetch_add(1) < arguments_.tasks_max) return true;
    begun_.fetch_sub(1);
    return false;
  }
  void release() {
    if (arguments_.tasks_max != 0) begun_.fetch_sub(1);
  }

  std::optional<ClaimedTask> claim(HttpClient& http, Backoff& backoff) {
    std::string body = R"({"commands":[)";
    for (const auto& command : arguments_.commands) {
      if (body.back() != '[') body += ',';
      core::append_json_string(body, command);
    }
    body += fmt::format(R"(],"leaseSeconds":{},"waitSeconds":{}}})", arguments_.lease_seconds, arguments_.wait_seconds);
    const auto stop = claiming_.get_token();
    const auto sent = clock_.steady_ns();
    const auto answer =
        Api(settings_, http)
            .send({.method = "POST",
                   .path = "/tasks/claim",
                   .body = body,
                   .token = settings_.worker_or_producer(),
                   .timeout = kCallTimeout + std::chrono::seconds(std::min<std::int64_t>(arguments_.wait_seconds, 30))},
                  stop);
    if (!answer && stop.stop_requested()) return std::nullopt;
    if (answer && (answer->status == 200 || answer->status == 204)) {
      welcome_.store(true);
      reach_.found();
      backoff.reset();
      if (answer->status == 204) {
        // One that did not wait, by our own wish or because the broker stops, is not repeated at full speed.
        if (clock_.steady_ns() - sent < 200 * kNanosPerMilli) sleep_for(milliseconds(500), stop);
        return std::nullopt;
      }
      auto task = claimed_task(answer->body);
      if (task) return *std::move(task);
      reach_.lost(task.error().message);
    } else if (answer && answer->status >= 400 && answer->status < 500 && answer->status != 429 && !welcome_.load()) {
      // Refused before anything ever worked: the command line is wrong, and waiting does not mend it.
      if (status_.exchange(kExitConfig) == kExitOk) say_error(refusal(*answer));
      claiming_.request_stop();
      return std::nullopt;
    } else {
      reach_.lost(answer ? "claim: " + refusal(*answer) : answer.error().message);
    }
    sleep_for(backoff.next(answer), stop);
    return std::nullopt;
  }

  void work(const ClaimedTask& task, HttpClient& http, HttpClient& heartbeats) {
    const auto begin = clock_.steady_ns();
    Lease lease(begin + arguments_.lease_seconds * kNanosPerSecond);
    HandlerStop stop;
    {
      const std::scoped_lock lock(mutex_);
      running_.insert(&stop);
      if (ending_ != StopReason::kNone) stop.ask(ending_);
    }
    Settlement settlement{.act = Settlement::Act::kAbandon, .result = {}, .reason = "the worker stops"};
    std::optional<HandlerEnd> end;
    {
      const LeaseKeeper keeper({settings_, heartbeats, clock_, reach_}, task, arguments_.lease_seconds, lease, stop);
      if (!claiming_.stop_requested()) {
        auto ran = run_handler(job_of(task), stop, clock_);
        if (ran) {
          settlement = settle_by(*ran, rules_);
          end = *std::move(ran);
        } else {
          // Not the task's fault: it goes back, and we wait before the next one meets the same.
          say_error(ran.error().message);
          settlement.reason = ran.error().message;
        }
      }
      if (lease.lost()) settlement = {.act = Settlement::Act::kNothing, .result = {}, .reason = "the lease was lost"};
      deliver(task, lease, settlement, http);
    }
    {
      const std::scoped_lock lock(mutex_);
      running_.erase(&stop);
    }
    tell(task, settlement, end, clock_.steady_ns() - begin);
    if (!end && !claiming_.stop_requested()) sleep_for(std::chrono::seconds(1), claiming_.get_token());
  }

  [[nodiscard]] HandlerJob job_of(const ClaimedTask& task) const {
    return {.words = arguments_.handler,
            .variables = {{"TRACEPARENT", task.trace.traceparent},
                          {"TRACESTATE", task.trace.tracestate},
                          {"BAGGAGE", task.trace.baggage},
                          {"CODEQ_TASK_ID", task.id},
                          {"CODEQ_COMMAND", task.command},
                          {"CODEQ_ATTEMPT", std::to_string(task.attempt)},
                          {"CODEQ_BASE_URL", settings_.base_url}},
            .input = task.payload,
            .label = task.id,
            .timeout = of_seconds(arguments_.timeout_seconds),
            .kill_after = of_seconds(arguments_.kill_after_seconds),
            .output_bytes_max = static_cast<std::size_t>(arguments_.output_bytes_max)};
  }

  // Tells the broker, and changes the settlement into what came of it.
  void deliver(const ClaimedTask& task, const Lease& lease, Settlement& settlement, HttpClient& http) {
    if (settlement.act == Settlement::Act::kNothing) return;
    long status = 0;
    auto settled = settle(task, lease, settlement, http, status);
    if (settled == Settled::kRefused && settlement.act == Settlement::Act::kComplete) {
      settlement = settle_refused(status, rules_);
      settled = settle(task, lease, settlement, http, status);
    }
    if (settled == Settled::kDone) return;
    settlement.act = Settlement::Act::kNothing;
    settlement.reason = settled == Settled::kLost      ? "the lease was lost"
                        : settled == Settled::kRefused ? fmt::format("the broker refused with status {}", status)
                                                       : "the broker could not be told before the lease was over";
  }

  Settled settle(const ClaimedTask& task, const Lease& lease, const Settlement& settlement, HttpClient& http,
                 long& status) {
    const auto call = owner_call(settlement, task.lease_token);
    const TraceHeaders trace{task.trace.traceparent, task.trace.tracestate, {}};
    Api api(settings_, http);
    Backoff backoff;
    bool unclear = false;  // an earlier try may have been heard
    const auto hurry = hurry_.get_token();
    std::int64_t give_up_ns = 0;
    while (true) {
      if (hurry.stop_requested() && give_up_ns == 0) give_up_ns = clock_.steady_ns() + kGiveBackNs;
      const auto until = give_up_ns == 0 ? lease.end_ns() : std::min(lease.end_ns(), give_up_ns);
      const auto left = nanoseconds(until - clock_.steady_ns());
      if (lease.lost()) return unclear && has_ended(task, settlement, http) ? Settled::kDone : Settled::kLost;
      if (left.count() <= 0) return Settled::kGaveUp;
      const auto answer = api.send(
          {.method = "POST",
           .path = "/tasks/" + percent_encode(task.id) + call.path,
           .body = call.body,
           .token = settings_.worker_or_producer(),
           .trace = &trace,
           .timeout = std::clamp(std::chrono::duration_cast<milliseconds>(left), milliseconds(100), kCallTimeout)},
          give_up_ns == 0 ? hurry : std::stop_token{});
      if (answer && answer->status < 300) {
        reach_.found();
        return Settled::kDone;
      }
      if (answer && says_lost(answer->status)) {
        // An answer that was lost on its way may have been a yes.
        return unclear && has_ended(task, settlement, http) ? Settled::kDone : Settled::kLost;
      }
      if (answer && (answer->status == 400 || answer->status == 413 || answer->status == 422)) {
        status = answer->status;
        return Settled::kRefused;
      }
      unclear = unclear || !answer || answer->status >= 500;
      if (!answer && hurry.stop_requested() && give_up_ns == 0) continue;
      reach_.lost(answer ? "task " + task.id + ": " + refusal(*answer) : answer.error().message);
      sleep_for(std::min(backoff.next(answer), left), give_up_ns == 0 ? hurry : std::stop_token{});
    }
  }

  bool has_ended(const ClaimedTask& task, const Settlement& settlement, HttpClient& http) {
    // What was put back may be anywhere by now.
    if (settlement.act != Settlement::Act::kComplete && settlement.act != Settlement::Act::kFail) return true;
    const auto answer = Api(settings_, http)
                            .send({.path = "/tasks/" + percent_encode(task.id),
                                   .token = settings_.worker_or_producer(),
                                   .timeout = std::chrono::seconds(5)});
    if (!answer || answer->status != 200) return false;
    const Members now(answer->body);
    return now.text("status") == (settlement.act == Settlement::Act::kComplete ? "COMPLETED" : "FAILED") &&
           now.number("attempts") == task.attempt;
  }

  void tell(const ClaimedTask& task, const Settlement& settlement, const std::optional<HandlerEnd>& end,
            std::int64_t took_ns) {
    using Act = Settlement::Act;
    const char* words[] = {"completed", "failed", "nacked", "abandoned", "lost"};
    const char* word = words[static_cast<std::size_t>(settlement.act)];
    if (context_.arguments.globals.json) {
      std::string line = R"({"taskId":)";
      core::append_json_string(line, task.id);
      line += R"(,"command":)";
      core::append_json_string(line, task.command);
      line +=
          fmt::format(R"(,"attempt":{},"outcome":"{}","durationMs":{})", task.attempt, word, took_ns / kNanosPerMilli);
      if (end) line += fmt::format(R"(,"{}":{})", end->signalled ? "signal" : "exitStatus", end->code);
      if (settlement.act != Act::kComplete) {
        line += R"(,"reason":)";
        core::append_json_string(line, settlement.reason);
      }
      return print(line + "}");
    }
    const auto text = fmt::format("Task {}: {} ({}, attempt {}, {} ms)", word, task.id, task.command, task.attempt,
                                  took_ns / kNanosPerMilli);
    if (settlement.act == Act::kComplete) return say_ok(text);
    say_warning(text + ": " + settlement.reason);
  }

  Context& context_;
  const WorkerRunArguments& arguments_;
  const Settings& settings_;
  SystemClock clock_;
  Rules rules_;
  Reach reach_;
  Fd ended_;  // readable once every slot has ended
  std::atomic<int> slots_left_{0};
  std::atomic<std::int64_t> begun_{0};
  std::atomic<bool> welcome_{false};  // a claim was answered once
  std::atomic<int> status_{kExitOk};
  std::stop_source claiming_;  // stopped: no more claims
  std::stop_source hurry_;  // stopped: tasks are given back, for a few seconds at most
  std::mutex mutex_;
  std::set<HandlerStop*> running_;  // under mutex_
  StopReason ending_ = StopReason::kNone;  // under mutex_
};

}  // namespace

int worker_run(Context& context) {
  const auto& arguments = context.arguments.worker_run;
  if (!can_run(arguments.handler.front())) return refuse(fmt::format("cannot run {}", arguments.handler.front()));
  // A handler's pipes must not become the worker's own 0, 1 or 2.
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    break;
  }
  return Worker(context).run();
}

}  // namespace codeq::app::client
