// `codeq queue`: how deep the queues are; pause and resume one.
#include <fmt/format.h>

#include <array>
#include <map>

#include "app/client/commands.h"
#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/exit_codes.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

std::string queue_path(const Context& context) { return "/admin/queues/" + percent_encode(context.arguments.name); }

int inspect(Context& context) {
  const auto answer =
      ask_broker(context, {.path = queue_path(context), .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  const Members stats(*answer);
  auto line = fmt::format("READY: {} | DELAYED: {} | IN_PROGRESS: {} | DLQ: {}", stats.number("ready"),
                          stats.number("delayed"), stats.number("inProgress"), stats.number("dlq"));
  if (stats.raw("paused") == "true") line += " | PAUSED";
  print(line);
  return kExitOk;
}

// The answer names a Redis-like key per queue and kind, "codeq:q:<command>:<tenant>:pending:<priority>"; one row per command.
int list(Context& context) {
  const auto answer = ask_broker(context, {.path = "/admin/queues", .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  constexpr std::array<std::string_view, 4> kKinds{":pending:", ":delayed", ":inprog", ":dlq"};
  std::map<std::string, std::array<std::int64_t, kKinds.size()>, std::less<>> rows;
  const Members counts(*answer);
  for (const auto& [key, value] : counts.all()) {
    std::string_view queue(key);
    constexpr std::string_view kPrefix = "codeq:q:";
    if (!queue.starts_with(kPrefix)) continue;
    queue.remove_prefix(kPrefix.size());
    for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
      const auto at = queue.rfind(kKinds[kind]);
      if (at == std::string_view::npos) continue;
      const auto name = queue.substr(0, at);
      rows[std::string(name.substr(0, name.rfind(':')))][kind] += core::json_int(value).value_or(0);
      break;
    }
  }
  std::string out = fmt::format("{:>10} {:>10} {:>11} {:>10}  {}\n", "READY", "DELAYED", "IN_PROGRESS", "DLQ", "QUEUE");
  for (const auto& [name, row] : rows)
    out += fmt::format("{:>10} {:>10} {:>11} {:>10}  {}\n", row[0], row[1], row[2], row[3], name);
  print(out);
  return kExitOk;
}

int pause_or_resume(Context& context, const char* act, const char* done) {
  const auto answer = ask_broker(context, {.method = "POST",
                                           .path = queue_path(context) + "/" + act,
                                           .body = "{}",
                                           .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json)
    print(answer->empty() ? "{}" : *answer);
  else
    say_ok(fmt::format("Queue {}: {}", done, context.arguments.name));
  return kExitOk;
}

}  // namespace

int queue(Context& context) {
  switch (context.arguments.command) {
    case ClientCommand::kQueueInspect: return inspect(context);
    case ClientCommand::kQueueList: return list(context);
    case ClientCommand::kQueuePause: return pause_or_resume(context, "pause", "paused");
    default: return pause_or_resume(context, "resume", "resumed");
  }
}

}  // namespace codeq::app::client
