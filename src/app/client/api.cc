#include "app/client/api.h"

#include <fmt/format.h>

#include "core/json_scan.h"
#include "core/trace_context.h"

namespace codeq::app::client {

Members::Members(std::string_view object) {
  const auto error = core::scan_object(
      object,
      [this](const core::JsonMember& member) {
        members_.emplace_back(core::json_unescape(member.key_raw).value_or(""), member.value);
      },
      core::kJsonDepthLimit);
  if (error) members_.clear();
}

std::string_view Members::raw(std::string_view name) const {
  std::string_view found;  // the last of equal names counts
  for (const auto& [key, value] : members_)
    if (key == name) found = value;
  return found;
}

std::string Members::text(std::string_view name) const { return core::json_unescape(raw(name)).value_or(""); }

std::int64_t Members::number(std::string_view name) const { return core::json_int(raw(name)).value_or(0); }

std::vector<std::string_view> elements(std::string_view array) {
  std::vector<std::string_view> out;
  const auto error = core::scan_array(
      array, [&](const core::JsonMember& element) { out.push_back(element.value); }, core::kJsonDepthLimit);
  if (error) out.clear();
  return out;
}

TraceHeaders trace_of_environment(const GetEnv& getenv) {
  const auto variable = [&](const char* name) -> std::string {
    const char* value = getenv(name);
    return value == nullptr ? "" : value;
  };
  TraceHeaders out;
  const auto traceparent = variable("TRACEPARENT");
  if (!core::parse_traceparent(traceparent)) return out;
  out.traceparent = traceparent;
  if (const auto state = variable("TRACESTATE"); !state.empty() && core::valid_tracestate(state))
    out.tracestate = state;
  if (const auto baggage = variable("BAGGAGE"); !baggage.empty() && core::valid_baggage(baggage)) out.baggage = baggage;
  return out;
}

Result<HttpResponse> Api::send(const Call& call, std::stop_token stop) {
  HttpRequest request{.method = call.method,
                      .url = settings_.base_url + "/v1/codeq" + call.path,
                      .headers = {},
                      .body = call.body,
                      .timeout = call.timeout};
  if (!call.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + call.token);
  if (call.body) request.headers.emplace_back("Content-Type", "application/json");
  if (settings_.admin) request.headers.emplace_back("X-Role", "ADMIN");
  if (call.trace != nullptr) {
    const auto& [traceparent, tracestate, baggage] = *call.trace;
    if (!traceparent.empty()) request.headers.emplace_back("traceparent", traceparent);
    if (!tracestate.empty()) request.headers.emplace_back("tracestate", tracestate);
    if (!baggage.empty()) request.headers.emplace_back("baggage", baggage);
  }
  return http_.send(request, std::move(stop));
}

std::string refusal(const HttpResponse& response) {
  return fmt::format("error ({}): {}", response.status, response.body);
}

}  // namespace codeq::app::client
