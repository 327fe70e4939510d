// `codeq worker start`: claims tasks and settles each at once in the same way; for trying a broker out.
#include <fmt/format.h>

#include <atomic>
#include <thread>
#include <vector>

#include "app/client/commands.h"
#include "app/client/signal_fd.h"
#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/client/wait.h"
#include "app/exit_codes.h"
#include "base/clock.h"
#include "core/json_scan.h"
#include "core/rfc3339.h"

namespace codeq::app::client {
namespace {

std::string now_text() {
  std::string text;
  core::append_rfc3339_seconds(text, SystemClock().wall_ns());
  return text;
}

struct Loop {
  Context& context;
  std::atomic<std::int64_t> warned_ns{-4'000'000'000};

  // At most one line every three seconds, over all loops.
  void warn(const std::string& text) {
    const auto now = SystemClock().steady_ns();
    auto last = warned_ns.load();
    if (now - last < 3 * kNanosPerSecond || !warned_ns.compare_exchange_strong(last, now)) return;
    say_warning(text);
  }

  void settle(Api& api, const Members& task, const TraceHeaders& trace) {
    const auto& arguments = context.arguments.worker_start;
    if (arguments.ack == "none") return;
    std::string token;
    if (const auto text = task.text("leaseToken"); !text.empty()) {
      token = R"("leaseToken":)";
      core::append_json_string(token, text);
    }
    const auto comma = token.empty() ? "" : ",";
    std::string path = "/abandon";
    std::optional<std::string> body;
    if (arguments.ack == "complete") {
      path = "/result";
      body = fmt::format(R"({{"status":"COMPLETED","result":{{"handledBy":"codeq","ts":"{}"}}{}{}}})", now_text(),
                         comma, token);
    } else if (arguments.ack == "nack") {
      path = "/nack";
      body = fmt::format(R"({{"delaySeconds":{},"reason":"codeq"{}{}}})", arguments.nack_delay, comma, token);
    } else if (!token.empty()) {
      body = "{" + token + "}";
    }
    const auto id = task.text("id");
    const auto answer = api.send({.method = "POST",
                                  .path = "/tasks/" + percent_encode(id) + path,
                                  .body = body,
                                  .token = context.settings.worker_or_producer(),
                                  .trace = &trace});
    if (!answer) return warn(answer.error().message);
    if (answer->status != 200) warn(fmt::format("{} of {}: {}", arguments.ack, id, refusal(*answer)));
  }

  void run(std::stop_token stop) {
    const auto& arguments = context.arguments.worker_start;
    const auto& settings = context.settings;
    HttpClient http({settings.ca_file, settings.client_cert, settings.client_key});
    Api api(settings, http);
    std::string body = R"({"commands":[)";
    for (const auto& event : arguments.events) {
      if (body.back() != '[') body += ',';
      core::append_json_string(body, event);
    }
    body += fmt::format(R"(],"leaseSeconds":{},"waitSeconds":{}}})", arguments.lease_seconds, arguments.wait_seconds);
    while (!stop.stop_requested()) {
      const auto answer =
          api.send({.method = "POST",
                    .path = "/tasks/claim",
                    .body = body,
                    .token = settings.worker_or_producer(),
                    .timeout = std::chrono::seconds(30 + std::min<std::int64_t>(arguments.wait_seconds, 30))},
                   stop);
      // A task that came with the signal is settled like any other.
      if (stop.stop_requested() && (!answer || answer->status != 200)) return;
      if (!answer || (answer->status != 200 && answer->status != 204)) {
        warn(answer ? refusal(*answer) : answer.error().message);
        sleep_for(std::chrono::seconds(1), stop);
        continue;
      }
      if (answer->status == 204) continue;
      const Members task(answer->body);
      if (context.arguments.globals.json)
        print(answer->body);
      else
        say_ok(fmt::format("Task claimed: {} ({})", task.text("id"), task.text("command")));
      const TraceHeaders trace{task.text("traceParent"), task.text("traceState"), {}};
      settle(api, task, trace);
    }
  }
};

}  // namespace

int worker_start(Context& context) {
  const SignalFd signals;  // before any thread
  Loop loop{.context = context};
  std::vector<std::jthread> threads;
  for (int i = 0; i < context.arguments.worker_start.concurrency; ++i)
    threads.emplace_back([&loop](std::stop_token stop) { loop.run(std::move(stop)); });
  signals.wait();
  for (auto& thread : threads) thread.request_stop();
  return kExitOk;
}

}  // namespace codeq::app::client
