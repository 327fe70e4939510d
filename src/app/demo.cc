// `codeq demo`: the main job with one binary and nothing else; `codeq demo waterfall`: a trace from a file of spans.
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "app/child.h"
#include "app/commands.h"
#include "app/dev_tokens.h"
#include "app/exit_codes.h"
#include "app/otlp_receiver.h"
#include "app/waterfall.h"
#include "base/rng.h"

namespace codeq::app {
namespace {

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60) return size.ws_col;
  return 120;
}

WaterfallSpan to_waterfall(const ReceivedSpan& span) {
  WaterfallSpan out{.trace_id = span.trace_id,
                    .span_id = span.span_id,
                    .parent_span_id = span.parent_span_id,
                    .service = span.service_name,
                    .name = span.name,
                    .start_ns = span.start_ns,
                    .end_ns = span.end_ns,
                    .error = span.error,
                    .attributes = {}};
  for (const auto& [key, value] : span.attributes) out.attributes[key] = span.attribute(key);
  return out;
}

// Prints the waterfall and what it adds up to; true: the life of a task is whole in it.
bool show(const std::vector<WaterfallSpan>& all, const std::string& trace_id) {
  std::vector<WaterfallSpan> spans;
  std::set<std::string> task_traces;
  for (const auto& span : all) {
    if (span.trace_id == trace_id) spans.push_back(span);
    if (span.name.starts_with("codeq.")) task_traces.insert(span.trace_id);
  }
  std::fputs(draw_waterfall(spans, {.width = terminal_width()}).c_str(), stdout);
  const auto summary = summarize(spans);
  std::printf("\nattempts %u, running %.0f ms", summary.attempts, static_cast<double>(summary.run_ns) / 1e6);
  for (const auto& [cause, ns] : summary.ns_by_cause)
    std::printf("; %s %.0f ms", cause.c_str(), static_cast<double>(ns) / 1e6);
  std::printf("\n\n");
  bool whole = true;
  const auto check = [&](bool holds, const std::string& what) {
    std::printf("%s  %s\n", holds ? "ok  " : "FAIL", what.c_str());
    whole = whole && holds;
  };
  check(task_traces == std::set{trace_id},
        fmt::format("every task and webhook span is in the producer's trace {}", trace_id));
  for (const auto* name :
       {"codeq.task.create", "codeq.task.queued", "codeq.task.claim", "codeq.task.run", "codeq.task.submit_result"})
    check(std::any_of(spans.begin(), spans.end(), [&](const auto& span) { return span.name == name; }),
          fmt::format("{} is there", name));
  return whole;
}

std::vector<WaterfallSpan> read_spans(const std::string& path) {
  std::vector<WaterfallSpan> spans;
  simdjson::dom::parser parser;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    simdjson::dom::element root;
    if (parser.parse(line).get(root) != simdjson::SUCCESS) continue;
    const auto text = [&](const char* key) {
      std::string_view value;
      return root[key].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
    };
    const auto number = [&](const char* key) {
      std::int64_t value = 0;
      if (root[key].get(value) == simdjson::SUCCESS) return value;
      return std::int64_t{std::strtoll(text(key).c_str(), nullptr, 10)};
    };
    WaterfallSpan span{.trace_id = text("traceId"),
                       .span_id = text("spanId"),
                       .parent_span_id = text("parentSpanId"),
                       .service = text("service"),
                       .name = text("name"),
                       .start_ns = number("startNs"),
                       .end_ns = number("endNs"),
                       .error = false,
                       .attributes = {}};
    if (bool error = false; root["error"].get(error) == simdjson::SUCCESS) span.error = error;
    simdjson::dom::object attributes;
    if (root["attributes"].get(attributes) == simdjson::SUCCESS)
      for (const auto& [key, value] : attributes) {
        std::string_view string;
        span.attributes[std::string(key)] =
            value.get(string) == simdjson::SUCCESS ? std::string(string) : simdjson::minify(value);
      }
    spans.push_back(std::move(span));
  }
  return spans;
}

std::string random_hex(int bytes) {
  SystemRng rng;
  std::string hex;
  while (hex.size() < static_cast<std::size_t>(bytes) * 2) hex += fmt::format("{:016x}", rng.next());
  return hex.substr(0, static_cast<std::size_t>(bytes) * 2);
}

std::string field(const std::string& json, const char* name) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view value;
  if (parser.parse(json).get(root) == simdjson::SUCCESS && root[name].get(value) == simdjson::SUCCESS)
    return std::string(value);
  return "";
}

// One story: create, kill -9, restart, claim, nack, claim, result. False: something was refused; it has been said.
class Story {
 public:
  Story(std::filesystem::path folder, std::uint16_t spans_port)
      : folder_(std::move(folder)), spans_port_(spans_port), port_(free_port()) {}

  bool tell(const std::string& trace_id) {
    auto tokens = dev_tokens(folder_ / "data");
    if (!tokens) return said(tokens.error().message);
    producer_ = "Authorization: Bearer " + tokens->producer;
    worker_ = "Authorization: Bearer " + tokens->worker;
    auto broker = start_broker();
    if (!broker) return said("the broker did not start, see " + log());
    const auto traceparent = "traceparent: 00-" + trace_id + "-" + random_hex(8) + "-01";
    const auto task =
        call("/v1/codeq/tasks", {producer_, traceparent}, R"({"command":"RENDER","payload":{"page":7}})", 202);
    const auto id = field(task, "id");
    if (id.empty()) return false;
    std::printf("created    %s\n", id.c_str());
    usleep(500'000);  // for the picture: the task waits a while
    broker->end(SIGKILL);
    std::printf("kill -9    nobody has claimed it yet\n");
    broker = start_broker();
    if (!broker) return said("the broker did not start again, see " + log());
    std::printf("restarted  from its log\n");
    for (int attempt = 1; attempt <= 2; ++attempt) {
      const auto claimed = call("/v1/codeq/tasks/claim", {worker_},
                                R"({"commands":["RENDER"],"leaseSeconds":30,"waitSeconds":10})", 200);
      if (field(claimed, "id") != id) return said("the claim brought another task");
      const auto context = "traceparent: " + field(claimed, "traceParent");
      std::printf("attempt %d  continues %s\n", attempt, field(claimed, "traceParent").c_str());
      usleep(200'000);  // the work
      const auto path = "/v1/codeq/tasks/" + id + (attempt == 1 ? "/nack" : "/result");
      if (call(
              path, {worker_, context},
              attempt == 1 ? R"({"delaySeconds":1,"reason":"demo"})" : R"({"status":"COMPLETED","result":{"ok":true}})",
              200)
              .empty())
        return false;
    }
    return broker->end(SIGTERM) == 0 || said("the broker did not stop cleanly");
  }

 private:
  [[nodiscard]] std::string log() const { return (folder_ / "log.txt").string(); }
  static bool said(const std::string& what) {
    std::fprintf(stderr, "[ERROR] %s\n", what.c_str());
    return false;
  }
  std::optional<Child> start_broker() {
    auto child = Child::start({"dev", "--data", (folder_ / "data").string(), "--port", std::to_string(port_)},
                              {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:" + std::to_string(spans_port_)},
                               {"OTEL_BSP_SCHEDULE_DELAY", "100"}},
                              log());
    if (!child || !wait_until_ready("http://127.0.0.1:" + std::to_string(port_) + "/readyz")) return std::nullopt;
    return std::move(*child);
  }
  std::string call(const std::string& path, const std::vector<std::string>& headers, const std::string& body,
                   long expected) {
    const auto answer = http_call("http://127.0.0.1:" + std::to_string(port_) + path, headers, body);
    if (answer.status == expected) return answer.body;
    said(fmt::format("{} answered {}: {}", path, answer.status, answer.body));
    return "";
  }

  std::filesystem::path folder_;
  std::uint16_t spans_port_, port_;
  std::string producer_, worker_;
};

}  // namespace

int demo_waterfall(const Cli& cli) {
  return show(read_spans(cli.demo.spans), cli.demo.trace_id) ? kExitOk : kExitConfig;
}

int demo(const Cli& cli) {
  auto name = (std::filesystem::temp_directory_path() / "codeq-demo.XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return kExitIo;
  auto receiver = OtlpReceiver::start(0);
  if (!receiver) return kExitBind;
  const auto trace_id = random_hex(16);
  bool whole = Story(name, (*receiver)->port()).tell(trace_id);
  if (whole) {
    std::vector<WaterfallSpan> spans;
    for (const auto& span : (*receiver)->spans()) spans.push_back(to_waterfall(span));
    std::printf("\n");
    whole = show(spans, trace_id);
  }
  std::error_code ignored;
  if (cli.demo.keep)
    std::printf("\nkept: %s\n", name.c_str());
  else
    std::filesystem::remove_all(name, ignored);
  return whole ? kExitOk : kExitConfig;
}

}  // namespace codeq::app
