#include "app/client/outcome.h"

#include <fmt/format.h>

#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

Settlement by_rule(const Rules& rules, std::string reason) {
  Settlement out{
      .act = Settlement::Act::kAbandon, .result = {}, .reason = std::move(reason), .delay = rules.nack_delay};
  if (rules.on_error == OnError::kFail) out.act = Settlement::Act::kFail;
  if (rules.on_error == OnError::kNack) out.act = Settlement::Act::kNack;
  return out;
}

std::string with_line(std::string reason, const std::string& line) {
  return line.empty() ? reason : reason + ": " + line;
}

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

std::string result_of(std::string_view output) {
  const auto first = output.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "{}";
  const auto last = output.find_last_not_of(" \t\r\n");
  const auto text = output.substr(first, last - first + 1);
  // One level goes to the body around it.
  if (text.front() == '{' && core::valid_json(text, core::kJsonDepthMax - 1)) return std::string(text);
  std::string out = R"({"output":)";
  core::append_json_string(out, output.substr(0, output.find_last_not_of("\r\n") + 1));
  return out + "}";
}

Settlement settle_by(const HandlerEnd& end, const Rules& rules) {
  using Kind = HandlerEnd::Kind;
  switch (end.kind) {
    case Kind::kExited:
      if (end.code == 0 && end.output_over)
        return by_rule(rules, fmt::format("the handler wrote more than {} bytes", rules.output_bytes_max));
      if (end.code == 0) return {.act = Settlement::Act::kComplete, .result = result_of(end.output), .reason = {}};
      if (end.code == kExitTryLater)
        return {.act = Settlement::Act::kNack,
                .result = {},
                .reason = with_line(fmt::format("exit status {}", end.code), end.last_line),
                .delay = rules.nack_delay};
      return by_rule(rules, with_line(fmt::format("exit status {}", end.code), end.last_line));
    case Kind::kSignalled:
      return by_rule(rules, with_line(fmt::format("killed by signal {}", end.code), end.last_line));
    case Kind::kTimedOut:
      return by_rule(rules, with_line(fmt::format("timed out after {} s", seconds(rules.timeout)), end.last_line));
    case Kind::kStopped: return {.act = Settlement::Act::kAbandon, .result = {}, .reason = "the worker stops"};
    case Kind::kLeaseLost: break;
  }
  return {.act = Settlement::Act::kNothing, .result = {}, .reason = "the lease was lost"};
}

Settlement settle_refused(long status, const Rules& rules) {
  return by_rule(rules, fmt::format("the broker refused the result with status {}", status));
}

OwnerCall owner_call(const Settlement& settlement, std::string_view lease_token) {
  std::string body = "{";
  const auto member = [&body](std::string_view name, std::string_view text) {
    body += fmt::format("{}\"{}\":", body.size() > 1 ? "," : "", name);
    core::append_json_string(body, text);
  };
  std::string path = "/abandon";
  switch (settlement.act) {
    case Settlement::Act::kComplete:
      path = "/result";
      member("status", "COMPLETED");
      body += R"(,"result":)" + settlement.result;
      break;
    case Settlement::Act::kFail:
      path = "/result";
      member("status", "FAILED");
      member("error", settlement.reason);
      break;
    case Settlement::Act::kNack:
      path = "/nack";
      member("reason", settlement.reason);
      body += fmt::format(R"(,"delaySeconds":{})", settlement.delay);
      break;
    case Settlement::Act::kAbandon:
    case Settlement::Act::kNothing: break;
  }
  if (!lease_token.empty()) member("leaseToken", lease_token);
  return {path, body + "}"};
}

}  // namespace codeq::app::client
