// How the tracer is set up: the file's keys and the environment, the environment first.
//
// Source   OpenTelemetry specification 1.x, configuration/sdk-environment-variables.md and protocol/exporter.md;
//          design: TRACING_X wins over OTEL_X, both win over the file. An empty variable counts as unset.
// Errors   kInvalidArgument names the setting, never its value (it may hold a token). What only OpenTelemetry defines
//          and is not usable is ignored with a warning, as its specification asks, since such variables are often set
//          for a whole fleet; a ratio outside [0, 1] and an unusable endpoint are refused.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "observe/sampler.h"

namespace codeq::observe {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct TracingOptions {
  bool enabled = false;
  std::string service_name = "codeq";
  std::string service_version;              // empty: not sent
  Pairs resource_attributes;                // without service.name
  std::string endpoint = "localhost:4317";  // host:port
  bool insecure = false;                    // plaintext HTTP/2
  Pairs headers;                            // names in lower case; secrets
  bool gzip = false;
  std::chrono::milliseconds timeout{10'000};         // one export attempt
  std::chrono::milliseconds connect_timeout{3'000};  // part of it
  std::string certificate;                  // PEM file of the accepted roots; empty: the system's
  std::string client_certificate;           // PEM files for mutual TLS; empty: none
  std::string client_key;
  Sampler sampler;
  std::chrono::milliseconds schedule_delay{5'000};
  std::size_t queue_spans = 65'536;         // waiting and under way together
  std::size_t queue_bytes = std::size_t{64} << 20;
  std::size_t batch_spans = 512;
  std::chrono::milliseconds retry_first{500};  // doubles up to retry_max, less a jitter of up to a half
  std::chrono::milliseconds retry_max{5'000};
  std::vector<std::string> warnings;        // what was ignored and why; for the log, free of values
};

// What the configuration file says; absent: the key was not given.
struct TracingFile {
  std::optional<bool> enabled;
  std::optional<std::string> service_name;
  std::optional<std::string> otlp_endpoint;
  std::optional<bool> otlp_insecure;
  std::optional<double> sample_ratio;
};

using Getenv = std::function<std::optional<std::string>(const char* name)>;

Result<TracingOptions> tracing_options(const TracingFile& file, const Getenv& env);

struct Endpoint {
  std::string authority;       // host:port
  std::optional<bool> secure;  // what the scheme says, if there was one
};
// "host", "host:port", "[::1]:port" or a URL, of which user, path and query are dropped.
// Without a port: 443 after https://, else 4317.
Result<Endpoint> parse_endpoint(std::string_view text);

// "key=value,key2=value2" with percent-encoding (W3C Baggage without properties); nullopt: not such a list.
std::optional<Pairs> parse_pairs(std::string_view text);

}  // namespace codeq::observe
