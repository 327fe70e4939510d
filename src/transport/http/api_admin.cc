// Lists, cancellation, queues and dead letters: from the request to the broker, and from its answer to the response.
#include <algorithm>
#include <utility>

#include "core/json_scan.h"
#include "core/rows.h"
#include "core/utf8.h"
#include "transport/http/api.h"
#include "transport/http/decode_admin.h"
#include "transport/http/respond.h"

namespace codeq::transport::http {

namespace {

void append_count(std::string& out, std::string_view name, std::uint64_t number) {
  if (out.back() != '{') out += ',';
  core::append_json_string(out, name);
  out += ':';
  append_number(out, static_cast<std::int64_t>(number));
}

void append_next(std::string& out, std::string_view cursor) {
  if (!cursor.empty()) out += R"(,"cursor":")" + cursor_text(cursor) + '"';
  out += '}';
}

bool is_text(std::string_view bytes) {
  for (const char *at = bytes.data(), *end = at + bytes.size(); at != end;) {
    const auto length = core::utf8_length(at, end);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const auto start = text.find_first_not_of(kSpace);
  return start == std::string_view::npos ? std::string_view()
                                         : text.substr(start, text.find_last_not_of(kSpace) - start + 1);
}

}  // namespace

// ------------------------------------------------------------------------------------------------ in

void Api::list_tasks(const Shared& exchange, std::string_view query) {
  auto filter = decode_task_query(query);
  if (!filter) return respond_error(*exchange, filter.error());
  exchange->waiting_for_broker = true;
  deps_.broker.list_tasks(exchange->caller, *std::move(filter), reply_to<services::TaskPage>(exchange));
}

void Api::cancel(const Shared& exchange, const Request& request) {
  auto reason = decode_cancel(request.body, depth_max_);
  if (!reason) return respond_error(*exchange, reason.error());
  exchange->waiting_for_broker = true;
  deps_.broker.cancel(exchange->caller, exchange->id, *std::move(reason), reply_to<services::TaskSnapshot>(exchange));
}

void Api::admin_queue(const Shared& exchange) {
  exchange->id = trim(exchange->id);
  if (exchange->id.empty()) return respond_error(*exchange, {Code::kInvalidCommand, "command is required"});
  // The name comes back in JSON, so it has to be text; a queue of any other name cannot exist.
  if (!is_text(exchange->id)) return respond_error(*exchange, {Code::kInvalidCommand, "invalid command"});
  exchange->waiting_for_broker = true;
  auto reply = reply_to<services::QueueStats>(exchange);
  if (exchange->route->id == RouteId::kAdminQueue)
    return deps_.broker.queue_stats(exchange->caller, exchange->id, std::move(reply));
  deps_.broker.pause(exchange->caller, exchange->id, exchange->route->id == RouteId::kPauseQueue, std::move(reply));
}

void Api::list_dead_letters(const Shared& exchange, std::string_view query) {
  auto asked = decode_dead_letter_query(query);
  if (!asked) return respond_error(*exchange, asked.error());
  exchange->waiting_for_broker = true;
  deps_.broker.list_dead_letters(exchange->caller, std::move(asked->filter), std::move(asked->from),
                                 reply_to<services::DeadLetterPage>(exchange));
}

void Api::redrive_or_purge(const Shared& exchange, const Request& request) {
  const bool redrive = exchange->route->id == RouteId::kRedrive;
  auto body = decode_dead_work(request.body, redrive, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  exchange->dry_run = body->dry_run;
  exchange->waiting_for_broker = true;
  auto reply = reply_to<services::DeadLetterOutcome>(exchange);
  if (redrive)
    deps_.broker.redrive(exchange->caller, std::move(body->filter), body->dry_run, body->rate_per_second,
                         std::move(reply));
  else
    deps_.broker.purge(exchange->caller, std::move(body->filter), body->dry_run, std::move(reply));
}

// ------------------------------------------------------------------------------------------------ out

void Api::answer_admin(Exchange& exchange, const services::TaskPage& page) const {
  std::string body = R"({"tasks":[)";
  for (const auto& task : page.tasks) {
    if (body.back() != '[') body += ',';
    append_task(body, task, zone_, false);
  }
  body += ']';
  append_next(body, page.next == 0 ? std::string() : core::key_of(page.next));
  respond_json(exchange, 200, std::move(body));
}

void Api::answer_admin(Exchange& exchange, const services::DeadLetterPage& page) const {
  std::string body = R"({"deadLetters":[)";
  for (const auto& letter : page.letters) {
    if (body.back() != '[') body += ',';
    append_task(body, letter.task, zone_, false);
    body.back() = ',';  // one more member
    body += R"("diedAt":)";
    append_time(body, letter.died_ns, zone_);
    body += '}';
  }
  body += ']';
  append_next(body, page.next);
  respond_json(exchange, 200, std::move(body));
}

void Api::answer_admin(Exchange& exchange, const services::DeadLetterOutcome& outcome) {
  std::string body = "{";
  append_count(body, "matched", outcome.matched);
  append_count(body, exchange.route->id == RouteId::kRedrive ? "redriven" : "purged", outcome.changed);
  body += exchange.dry_run ? R"(,"dryRun":true)" : R"(,"dryRun":false)";
  body += outcome.more ? R"(,"more":true})" : R"(,"more":false})";
  respond_json(exchange, 200, std::move(body));
}

void Api::answer_admin(Exchange& exchange, const services::QueueStats& stats) {
  std::string body = R"({"command":)";
  core::append_json_string(body, exchange.id);
  append_count(body, "ready", stats.ready);
  append_count(body, "delayed", stats.delayed);
  append_count(body, "inProgress", stats.in_progress);
  append_count(body, "dlq", stats.dead);
  body += stats.paused ? R"(,"paused":true})" : R"(,"paused":false})";
  respond_json(exchange, 200, std::move(body));
}

// Keys as the reference's embedded store names its queues; those without tasks are left out.
void Api::answer_admin(Exchange& exchange, const std::vector<services::TenantQueue>& queues) {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (const auto& queue : queues) {
    const auto prefix =
        "codeq:q:" + queue.command + ":" + (exchange.caller.tenant.empty() ? "" : exchange.caller.tenant + ":");
    const auto add = [&](const std::string& name, std::uint64_t count) {
      if (count > 0) counts.emplace_back(prefix + name, count);
    };
    for (std::size_t priority = 0; priority < queue.ready.size(); ++priority)
      add("pending:" + std::to_string(priority), queue.ready[priority]);
    add("inprog", queue.counts.in_progress);
    add("delayed", queue.counts.delayed);
    add("dlq", queue.counts.dead);
  }
  std::sort(counts.begin(), counts.end());
  std::string body = "{";
  for (const auto& [key, count] : counts) append_count(body, key, count);
  body += '}';
  respond_json(exchange, 200, std::move(body));
}

}  // namespace codeq::transport::http
