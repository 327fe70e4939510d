// The broker's HTTP calls, and the JSON of its answers as text, number and member.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/client/http.h"
#include "app/client/settings.h"

namespace codeq::app::client {

// The members of a JSON object, found in one pass. Values borrow the text.
class Members {
 public:
  // Not an object: no members.
  explicit Members(std::string_view object);
  [[nodiscard]] std::string_view raw(std::string_view name) const;  // empty: not there
  [[nodiscard]] std::string text(std::string_view name) const;      // empty: not there, or no string
  [[nodiscard]] std::int64_t number(std::string_view name) const;   // 0: likewise
  [[nodiscard]] const std::vector<std::pair<std::string, std::string_view>>& all() const { return members_; }

 private:
  std::vector<std::pair<std::string, std::string_view>> members_;
};

// The elements of a JSON array; none where it is no array.
std::vector<std::string_view> elements(std::string_view array);

// What goes along so that a call is in somebody's trace; empty: nothing.
struct TraceHeaders {
  std::string traceparent, tracestate, baggage;
};
// Of the process that called us: TRACEPARENT, TRACESTATE, BAGGAGE, as OpenTelemetry's environment carriers name them. What is
// not valid does not count.
TraceHeaders trace_of_environment(const GetEnv& getenv);

class Api {
 public:
  Api(const Settings& settings, HttpClient& http) : settings_(settings), http_(http) {}

  struct Call {
    std::string method = "GET";
    std::string path;  // after /v1/codeq
    std::optional<std::string> body = {};
    const std::string& token;
    const TraceHeaders* trace = nullptr;
    std::chrono::milliseconds timeout{30'000};
  };
  [[nodiscard]] Result<HttpResponse> send(const Call& call, std::stop_token stop = {});

 private:
  const Settings& settings_;
  HttpClient& http_;
};

// "error (404): {...}", the text that scripts of the reference look for.
std::string refusal(const HttpResponse& response);

}  // namespace codeq::app::client
