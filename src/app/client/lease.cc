#include "app/client/lease.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/client/wait.h"
#include "core/json_scan.h"

namespace codeq::app::client {

Result<ClaimedTask> claimed_task(std::string_view answer) {
  const Members task(answer);
  ClaimedTask out{.id = task.text("id"),
                  .command = task.text("command"),
                  .payload = task.text("payload"),
                  .lease_token = task.text("leaseToken"),
                  .attempt = std::max<std::int64_t>(task.number("attempts"), 1),
                  .trace = {task.text("traceParent"), task.text("traceState"), task.text("baggage")}};
  if (out.id.empty()) return fail(Code::kInvalidBody, "the answer to a claim is no task");
  return out;
}

void Reach::lost(const std::string& why) {
  if (!away_.exchange(true)) say_warning(why + "; trying again");
}

void Reach::found() {
  if (away_.exchange(false)) say_warning("the broker answers again");
}

LeaseKeeper::LeaseKeeper(Deps deps, const ClaimedTask& task, std::int64_t lease_seconds, Lease& lease,
                         HandlerStop& stop)
    : deps_(deps), task_(task), lease_seconds_(lease_seconds), lease_(lease), handler_(stop) {
  thread_ = std::jthread([this](std::stop_token token) { run(std::move(token)); });
}

void LeaseKeeper::run(std::stop_token stop) {
  using namespace std::chrono;
  const nanoseconds length = seconds(lease_seconds_);
  const TraceHeaders trace{task_.trace.traceparent, task_.trace.tracestate, {}};
  std::string body = fmt::format(R"({{"extendSeconds":{})", lease_seconds_);
  if (!task_.lease_token.empty()) {
    body += R"(,"leaseToken":)";
    core::append_json_string(body, task_.lease_token);
  }
  body += '}';
  Api api(deps_.settings, deps_.http);
  auto wait = length / 3;
  while (true) {
    sleep_for(wait, stop);
    if (stop.stop_requested()) return;
    const auto sent = deps_.clock.steady_ns();
    const auto left = nanoseconds(lease_.end_ns() - sent);
    if (left.count() <= 0) {
      lease_.lose();
      handler_.ask(StopReason::kLeaseLost);
      return;
    }
    const auto answer =
        api.send({.method = "POST",
                  .path = "/tasks/" + percent_encode(task_.id) + "/heartbeat",
                  .body = body,
                  .token = deps_.settings.worker_or_producer(),
                  .trace = &trace,
                  .timeout = std::clamp(duration_cast<milliseconds>(left), milliseconds(1), milliseconds(10'000))},
                 stop);
    if (stop.stop_requested()) return;
    if (answer && answer->status == 200) {
      deps_.reach.found();
      lease_.extend_to(std::max(lease_.end_ns(), sent + length.count()));
      wait = length / 3;
    } else if (answer && says_lost(answer->status)) {
      lease_.lose();
      handler_.ask(StopReason::kLeaseLost);
      return;
    } else {
      deps_.reach.lost(answer ? "heartbeat: " + refusal(*answer) : answer.error().message);
      const auto rest = nanoseconds(std::max<std::int64_t>(lease_.end_ns() - deps_.clock.steady_ns(), 0));
      wait = std::min({nanoseconds(seconds(1)), length / 10, rest});
    }
  }
}

}  // namespace codeq::app::client
