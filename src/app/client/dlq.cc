// `codeq dlq`: dead-lettered tasks, by filter.
#include <fmt/format.h>

#include "app/client/commands.h"
#include "app/client/template.h"
#include "app/client/terminal.h"
#include "app/exit_codes.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

int list(Context& context) {
  const auto& filter = context.arguments.dead_letters;
  std::string query;
  const auto ask_for = [&](const char* name, const std::string& value) {
    if (!value.empty()) query += fmt::format("{}{}={}", query.empty() ? '?' : '&', name, percent_encode(value));
  };
  ask_for("command", filter.command);
  ask_for("reason", filter.reason);
  ask_for("after", filter.after);
  ask_for("before", filter.before);
  ask_for("cursor", filter.cursor);
  if (filter.limit > 0) ask_for("limit", std::to_string(filter.limit));
  const auto answer =
      ask_broker(context, {.path = "/admin/dead-letters" + query, .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  const Members page(*answer);
  std::string out = fmt::format("{:<36}  {:<20}  {:>8}  {:<24}  {}\n", "ID", "DIED", "ATTEMPTS", "COMMAND", "REASON");
  for (const auto text : elements(page.raw("deadLetters"))) {
    const Members letter(text);
    out += fmt::format("{:<36}  {:<20}  {:>8}  {:<24}  {}\n", letter.text("id"), letter.text("diedAt").substr(0, 19),
                       letter.number("attempts"), letter.text("command"), letter.text("error"));
  }
  print(out);
  if (const auto next = page.text("cursor"); !next.empty()) print("more: --cursor " + next);
  return kExitOk;
}

std::string filter_body(const DeadLetterArguments& filter) {
  std::string body = fmt::format(R"({{"dryRun":{})", filter.dry_run);
  const auto member = [&body](const char* name, const std::string& text) {
    if (text.empty()) return;
    body += fmt::format(",\"{}\":", name);
    core::append_json_string(body, text);
  };
  member("command", filter.command);
  member("reason", filter.reason);
  member("after", filter.after);
  member("before", filter.before);
  if (!filter.ids.empty()) {
    body += R"(,"ids":[)";
    for (const auto& id : filter.ids) {
      if (body.back() != '[') body += ',';
      core::append_json_string(body, id);
    }
    body += ']';
  }
  if (filter.limit > 0) body += fmt::format(R"(,"limit":{})", filter.limit);
  if (filter.rate > 0) body += fmt::format(R"(,"ratePerSecond":{})", filter.rate);
  return body + "}";
}

int change(Context& context, const char* act, const char* count_name, const char* done) {
  const auto& filter = context.arguments.dead_letters;
  const auto answer = ask_broker(context, {.method = "POST",
                                           .path = fmt::format("/admin/dead-letters/{}", act),
                                           .body = filter_body(filter),
                                           .token = context.settings.producer_or_worker()});
  if (!answer) return kExitConfig;
  if (context.arguments.globals.json) {
    print(*answer);
    return kExitOk;
  }
  const Members counts(*answer);
  auto text = filter.dry_run ? fmt::format("Dead letters that match: {}", counts.number("matched"))
                             : fmt::format("Dead letters {}: {}", done, counts.number(count_name));
  if (counts.raw("more") == "true") text += " (there are more)";
  say_ok(text);
  return kExitOk;
}

}  // namespace

int dead_letters(Context& context) {
  const auto& arguments = context.arguments;
  if (arguments.command == ClientCommand::kDlqList) return list(context);
  if (arguments.command == ClientCommand::kDlqRedrive) return change(context, "redrive", "redriven", "redriven");
  if (!arguments.dead_letters.yes && !arguments.dead_letters.dry_run)
    return refuse("purge deletes for good: give --yes, or --dry-run to count");
  return change(context, "purge", "purged", "purged");
}

}  // namespace codeq::app::client
