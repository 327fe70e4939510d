#include "observe/otlp/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>

namespace codeq::observe {
namespace {

constexpr std::size_t kListBytesMax = 16 << 10;
constexpr std::size_t kHostBytesMax = 255;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

std::optional<bool> parse_bool(std::string_view text) {
  const std::string word = lower(trim(text));
  for (const auto* yes : {"true", "1", "yes", "y", "on", "t"}) {
    if (word == yes) return true;
  }
  for (const auto* no : {"false", "0", "no", "n", "off", "f"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

// strtod and not from_chars, which refuses the leading '+' that other SDKs take; the text is bounded.
std::optional<double> parse_double(std::string_view text) {
  const std::string copy(trim(text));
  if (copy.empty() || copy.size() > 64) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size() || std::isnan(value)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  text = trim(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The first of `names` that is set and not empty.
struct Found {
  const char* name = nullptr;
  std::string value;
  explicit operator bool() const { return name != nullptr; }
};

class Reader {
 public:
  Reader(const Getenv& env, std::vector<std::string>& warnings) : env_(env), warnings_(warnings) {}

  Found first(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (auto value = env_(name); value && !trim(*value).empty()) return {name, std::string(trim(*value))};
    }
    return {};
  }
  void warn(const Found& found, std::string_view why) {
    warnings_.push_back(std::string(found.name) + " is ignored: " + std::string(why));
  }
  // A count in [low, high]; anything else leaves `out` as it is.
  template <class T>
  void count(std::initializer_list<const char*> names, std::int64_t low, std::int64_t high, T& out) {
    const Found found = first(names);
    if (!found) return;
    const auto value = parse_count(found.value);
    if (value && *value >= low && *value <= high)
      out = T(*value);
    else
      warn(found, "a whole number from " + std::to_string(low) + " to " + std::to_string(high) + " is needed");
  }

 private:
  const Getenv& env_;
  std::vector<std::string>& warnings_;
};

std::unexpected<Error> refuse(std::string_view name, std::string_view why) {
  return fail(Code::kInvalidArgument, std::string(name) + ": " + std::string(why));
}

bool reserved_header(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kReserved = {
      "content-type", "content-length", "te", "host", "connection", "transfer-encoding", "user-agent", "expect"};
  return std::ranges::find(kReserved, name) != kReserved.end() || name.starts_with("grpc-");
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool is_header_value(std::string_view value) {
  return std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

void read_headers(Reader& reader, Pairs& headers) {
  const Found found = reader.first({"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"});
  if (!found) return;
  const auto pairs = parse_pairs(found.value);
  if (!pairs) return reader.warn(found, "not a list of key=value");
  for (const auto& [key, value] : *pairs) {
    const std::string name = lower(key);
    if (!is_header_name(name) || !is_header_value(value))
      reader.warn(found, "in part: not a legal HTTP header");
    else if (reserved_header(name))
      reader.warn(found, "in part: header " + name + " belongs to the protocol");
    else
      headers.emplace_back(name, value);
  }
}

Result<bool> read_flag(const Found& found) {
  const auto value = parse_bool(found.value);
  if (!value) return refuse(found.name, "true or false is needed");
  return *value;
}

Result<void> read_enabled(const TracingFile& file, Reader& reader, TracingOptions& options) {
  options.enabled = file.enabled.value_or(false);
  if (const Found told = reader.first({"TRACING_ENABLED"})) { CODEQ_TRY(options.enabled, read_flag(told)); }
  // The two switches that mean "off" for every OpenTelemetry SDK win over anything that says "on".
  if (const Found off = reader.first({"OTEL_SDK_DISABLED"}); off && lower(off.value) == "true") options.enabled = false;
  if (const Found none = reader.first({"OTEL_TRACES_EXPORTER"}); none && none.value == "none") options.enabled = false;
  return {};
}

void read_resource(const TracingFile& file, Reader& reader, TracingOptions& options) {
  if (file.service_name && !file.service_name->empty()) options.service_name = *file.service_name;
  if (const Found found = reader.first({"OTEL_RESOURCE_ATTRIBUTES"})) {
    if (auto pairs = parse_pairs(found.value)) {
      for (auto& [key, value] : *pairs) {
        if (key == "service.name")
          options.service_name = std::move(value);
        else
          options.resource_attributes.emplace_back(std::move(key), std::move(value));
      }
    } else {
      reader.warn(found, "not a list of key=value");
    }
  }
  if (const Found found = reader.first({"TRACING_SERVICE_NAME", "OTEL_SERVICE_NAME"}))
    options.service_name = found.value;
}

// Who speaks closer to the process wins: an endpoint of the environment with a scheme outweighs the file's
// `insecure`, one with no scheme does not.
Result<void> read_endpoint(const TracingFile& file, Reader& reader, TracingOptions& options) {
  const Found from_env =
      reader.first({"TRACING_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"});
  Endpoint endpoint{.authority = options.endpoint, .secure = std::nullopt};
  const char* name = from_env ? from_env.name : "tracingOtlpEndpoint";
  if (from_env || (file.otlp_endpoint && !file.otlp_endpoint->empty())) {
    auto parsed = parse_endpoint(from_env ? from_env.value : *file.otlp_endpoint);
    if (!parsed) return refuse(name, parsed.error().message);
    endpoint = *std::move(parsed);
  }
  options.endpoint = endpoint.authority;

  const Found insecure =
      reader.first({"TRACING_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"});
  if (insecure) {
    CODEQ_TRY(options.insecure, read_flag(insecure));
  } else if (from_env && endpoint.secure) {
    options.insecure = !*endpoint.secure;
  } else if (file.otlp_insecure) {
    options.insecure = *file.otlp_insecure;
  } else if (endpoint.secure) {
    options.insecure = !*endpoint.secure;
  }
  return {};
}

Result<double> checked_ratio(std::string_view name, std::optional<double> ratio) {
  if (!ratio || !(*ratio >= 0.0 && *ratio <= 1.0)) return refuse(name, "a ratio from 0 to 1 is needed");
  return *ratio;
}

Result<void> read_sampler(const TracingFile& file, Reader& reader, TracingOptions& options) {
  using Kind = Sampler::Kind;
  double ratio = 1.0;
  if (file.sample_ratio) { CODEQ_TRY(ratio, checked_ratio("tracingSampleRatio", file.sample_ratio)); }
  Kind kind = Kind::kParentBasedTraceIdRatio;
  if (const Found told = reader.first({"TRACING_SAMPLE_RATIO"})) {
    CODEQ_TRY(ratio, checked_ratio(told.name, parse_double(told.value)));
  } else if (const Found sampler = reader.first({"OTEL_TRACES_SAMPLER"})) {
    static constexpr std::array<std::pair<std::string_view, Kind>, 6> kKinds = {{
        {"always_on", Kind::kAlwaysOn},
        {"always_off", Kind::kAlwaysOff},
        {"traceidratio", Kind::kTraceIdRatio},
        {"parentbased_always_on", Kind::kParentBasedAlwaysOn},
        {"parentbased_always_off", Kind::kParentBasedAlwaysOff},
        {"parentbased_traceidratio", Kind::kParentBasedTraceIdRatio},
    }};
    const auto* known = std::ranges::find(kKinds, lower(sampler.value), [](const auto& pair) { return pair.first; });
    if (known == kKinds.end()) {
      reader.warn(sampler, "no sampler of that name here");
    } else {
      kind = known->second;
      const Found arg = reader.first({"OTEL_TRACES_SAMPLER_ARG"});
      if (arg && (kind == Kind::kTraceIdRatio || kind == Kind::kParentBasedTraceIdRatio)) {
        CODEQ_TRY(ratio, checked_ratio(arg.name, parse_double(arg.value)));
      }
    }
  }
  options.sampler = Sampler(kind, ratio);
  return {};
}

void read_transport(Reader& reader, TracingOptions& options) {
  read_headers(reader, options.headers);
  if (const Found found = reader.first({"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"})) {
    const std::string word = lower(found.value);
    if (word == "gzip" || word == "none")
      options.gzip = word == "gzip";
    else
      reader.warn(found, "gzip or none is needed");
  }
  if (const Found found = reader.first({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"});
      found && lower(found.value) != "grpc") {
    reader.warn(found, "spans leave over grpc only");
  }
  const auto file = [&](const char* traces, const char* all, std::string& out) {
    if (Found found = reader.first({traces, all})) out = std::move(found.value);
  };
  file("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE", options.certificate);
  file("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
       options.client_certificate);
  file("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY", options.client_key);

  constexpr std::int64_t kHourMs = 3'600'000;
  reader.count({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"}, 1, kHourMs, options.timeout);
  std::chrono::milliseconds export_timeout{30'000};
  reader.count({"OTEL_BSP_EXPORT_TIMEOUT"}, 1, kHourMs, export_timeout);
  options.timeout = std::min(options.timeout, export_timeout);
  options.connect_timeout = std::min(options.connect_timeout, options.timeout);
  reader.count({"OTEL_BSP_SCHEDULE_DELAY"}, 1, kHourMs, options.schedule_delay);
  reader.count({"OTEL_BSP_MAX_QUEUE_SIZE"}, 1, 10'000'000, options.queue_spans);
  reader.count({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}, 1, 100'000, options.batch_spans);
  options.batch_spans = std::min(options.batch_spans, options.queue_spans);
}

bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

Result<TracingOptions> tracing_options(const TracingFile& file, const Getenv& env) {
  TracingOptions options;
  Reader reader(env, options.warnings);
  CODEQ_TRY_VOID(read_enabled(file, reader, options));
  read_resource(file, reader, options);
  CODEQ_TRY_VOID(read_endpoint(file, reader, options));
  CODEQ_TRY_VOID(read_sampler(file, reader, options));
  read_transport(reader, options);
  return options;
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  std::string_view rest = trim(text);
  if (const auto scheme_end = rest.find("://"); scheme_end != std::string_view::npos) {
    const std::string scheme = lower(rest.substr(0, scheme_end));
    if (scheme != "http" && scheme != "https")
      return fail(Code::kInvalidArgument, "host:port, http:// or https:// is needed");
    endpoint.secure = scheme == "https";
    rest.remove_prefix(scheme_end + 3);
  }
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);

  std::size_t host_end = 0;
  bool host_ok = false;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    host_end = close == std::string_view::npos ? rest.size() : close + 1;
    host_ok = close != std::string_view::npos && close > 1 &&
              std::ranges::all_of(rest.substr(1, close - 1),
                                  [](char c) { return hex_digit(c) >= 0 || c == ':' || c == '.'; });
  } else {
    host_end = std::min(rest.find(':'), rest.size());
    host_ok = host_end > 0 && std::ranges::all_of(rest.substr(0, host_end), is_host_byte);
  }
  if (!host_ok || host_end > kHostBytesMax) return fail(Code::kInvalidArgument, "no usable host name");
  endpoint.authority = rest.substr(0, host_end);

  std::string_view port = rest.substr(host_end);
  if (port.empty() || port == ":") {
    endpoint.authority += endpoint.secure.value_or(false) ? ":443" : ":4317";
    return endpoint;
  }
  const auto number = port.front() == ':' ? parse_count(port.substr(1)) : std::nullopt;
  if (!number || *number < 1 || *number > 65'535)
    return fail(Code::kInvalidArgument, "a port from 1 to 65535 is needed");
  endpoint.authority += ':';
  endpoint.authority += std::to_string(*number);
  return endpoint;
}

std::optional<Pairs> parse_pairs(std::string_view text) {
  if (text.size() > kListBytesMax) return std::nullopt;
  Pairs pairs;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const std::string_view member = trim(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (member.empty()) continue;
    const auto equals = member.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    auto key = percent_decode(trim(member.substr(0, equals)));
    auto value = percent_decode(trim(member.substr(equals + 1)));
    if (!key || key->empty() || !value) return std::nullopt;
    pairs.emplace_back(*std::move(key), *std::move(value));
  }
  return pairs;
}

}  // namespace codeq::observe
