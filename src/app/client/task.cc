// `codeq task`: create, look at, wait for, list, cancel, and draw the trace of a task.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "app/client/commands.h"
#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/exit_codes.h"
#include "app/waterfall.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

void member(std::string& out, std::string_view name, std::string_view text) {
  if (text.empty()) return;
  out += out.size() > 1 ? "," : "";
  core::append_json_string(out, name);
  out += ':';
  core::append_json_string(out, text);
}

Result<std::string> payload_of(const CreateArguments& arguments) {
  if (arguments.payload && arguments.payload_file)
    return fail(Code::kInvalidArgument, "--payload and --payload-file exclude each other");
  std::string text = arguments.payload.value_or("");
  if (arguments.payload_file) {
    std::ifstream file;
    if (*arguments.payload_file != "-") {
      file.open(*arguments.payload_file, std::ios::binary);
      if (!file) return fail(Code::kIo, "cannot read " + *arguments.payload_file);
    }
    std::istream& in = *arguments.payload_file == "-" ? std::cin : file;
    text.assign(std::istreambuf_iterator<char>(in), {});
  } else if (!arguments.payload) {
    return fail(Code::kInvalidArgument, "--payload is required");
  }
  if (const auto wrong = core::validate(text, core::kJsonDepthLimit))
    return fail(Code::kInvalidArgument,
                fmt::format("invalid payload: not JSON at byte {}: {}", wrong->offset, wrong->reason));
  return text;
}

int create(Context& context) {
  const auto& arguments = context.arguments.create;
  auto payload = payload_of(arguments);
  if (!payload) return refuse(payload.error().message);
  std::string body = "{";
  member(body, "command", arguments.event);
  body += body.size() > 1 ? "," : "";
  body += R"("payload":)" + *payload;  // as it was given, byte for byte
  if (arguments.priority != 0) body += fmt::format(R"(,"priority":{})", arguments.priority);
  member(body, "webhook", arguments.webhook);
  if (arguments.max_attempts) body += fmt::format(R"(,"maxAttempts":{})", *arguments.max_attempts);
  member(body, "idempotencyKey", arguments.idempotency_key);
  member(body, "runAt", arguments.run_at);
  if (arguments.delay_seconds) body += fmt::format(R"(,"delaySeconds":{})", *arguments.delay_seconds);
  body += '}';
  const auto answer = ask_broker(
      context, {.method = "POST", .path = "/tasks", .body = body, .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json)
    print(*answer);
  else
    say_ok("Task created: " + Members(*answer).text("id"));
  return kExitOk;
}

std::string task_path(const Context& context) { return "/tasks/" + percent_encode(context.arguments.name); }

int show(Context& context, const std::string& path, std::chrono::seconds wait = {}) {
  const auto answer = ask_broker(
      context,
      {.path = path, .token = context.settings.producer_or_worker(), .timeout = std::chrono::seconds(30) + wait});
  if (!answer) return kExitConfig;
  print(*answer);
  return kExitOk;
}

int list(Context& context) {
  const auto& arguments = context.arguments.list;
  std::string query = fmt::format("?limit={}", arguments.limit);
  const auto ask_for = [&](const char* name, const std::string& value) {
    if (!value.empty()) query += fmt::format("&{}={}", name, percent_encode(value));
  };
  ask_for("command", arguments.command);
  ask_for("state", arguments.state);
  ask_for("traceId", arguments.trace_id);
  ask_for("worker", arguments.worker);
  ask_for("createdAfter", arguments.since);
  ask_for("createdBefore", arguments.until);
  ask_for("cursor", arguments.cursor);
  const auto answer = ask_broker(context, {.path = "/tasks" + query, .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  const Members page(*answer);
  std::string out =
      fmt::format("{:<36}  {:<11}  {:>8}  {:<20}  {}\n", "ID", "STATUS", "ATTEMPTS", "CREATED", "COMMAND");
  for (const auto text : elements(page.raw("tasks"))) {
    const Members task(text);
    out += fmt::format("{:<36}  {:<11}  {:>8}  {:<20}  {}\n", task.text("id"), task.text("status"),
                       task.number("attempts"), task.text("createdAt").substr(0, 19), task.text("command"));
  }
  print(out);
  if (const auto next = page.text("cursor"); !next.empty()) print("more: --cursor " + next);
  return kExitOk;
}

int cancel(Context& context) {
  std::string body = "{";
  member(body, "reason", context.arguments.reason);
  const auto answer = ask_broker(context, {.method = "POST",
                                           .path = task_path(context) + "/cancel",
                                           .body = body + "}",
                                           .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json)
    print(*answer);
  else
    say_ok("Task cancelled: " + context.arguments.name);
  return kExitOk;
}

std::string attribute_text(std::string_view raw) { return core::json_unescape(raw).value_or(std::string(raw)); }

int trace(Context& context) {
  const auto answer =
      ask_broker(context, {.path = task_path(context) + "/trace", .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  const Members timeline(*answer);
  std::vector<WaterfallSpan> spans;
  for (const auto text : elements(timeline.raw("spans"))) {
    const Members span(text);
    WaterfallSpan out{.trace_id = timeline.text("traceId"),
                      .span_id = span.text("spanId"),
                      .parent_span_id = span.text("parentSpanId"),
                      .service = {},
                      .name = span.text("name"),
                      .start_ns = core::json_int(span.text("startUnixNano")).value_or(0),
                      .end_ns = core::json_int(span.text("endUnixNano")).value_or(0),
                      .error = span.text("status") == "ERROR",
                      .attributes = {}};
    const Members attributes(span.raw("attributes"));
    for (const auto& [key, value] : attributes.all()) out.attributes[key] = attribute_text(value);
    spans.push_back(std::move(out));
  }
  const auto summary = summarize(spans);
  std::string out = draw_waterfall(std::move(spans), {.width = terminal_width()});
  out += fmt::format("\n{} attempts, running {:.1f} ms", summary.attempts, static_cast<double>(summary.run_ns) / 1e6);
  for (const auto& [cause, ns] : summary.ns_by_cause)
    out += fmt::format("; {} {:.1f} ms", cause, static_cast<double>(ns) / 1e6);
  if (const auto dropped = timeline.number("eventsDropped"); dropped > 0)
    out += fmt::format("; {} events not kept", dropped);
  print(out);
  return kExitOk;
}

}  // namespace

int task(Context& context) {
  switch (context.arguments.command) {
    case ClientCommand::kTaskCreate: return create(context);
    case ClientCommand::kTaskGet: return show(context, task_path(context));
    case ClientCommand::kTaskResult: {
      const auto wait = context.arguments.wait_seconds;
      const auto query = wait > 0 ? fmt::format("?waitSeconds={}", wait) : "";
      return show(context, task_path(context) + "/result" + query,
                  std::chrono::seconds(std::min<std::int64_t>(wait, 60)));
    }
    case ClientCommand::kTaskList: return list(context);
    case ClientCommand::kTaskCancel: return cancel(context);
    default: return trace(context);
  }
}

}  // namespace codeq::app::client
