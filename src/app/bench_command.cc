// `codeq bench http`: against a broker that runs, or against one of our own.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "app/child.h"
#include "app/commands.h"
#include "app/dev_tokens.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace {

int refuse(int status, const std::string& message) {
  std::fprintf(stderr, "[ERROR] %s\n", message.c_str());
  return status;
}

// Spans of our own broker go to a receiver of our own, in a process of its own, so that its cost is not the broker's.
int bench_own_broker(BenchArguments arguments) {
  auto name = (std::filesystem::temp_directory_path() / "codeq-bench.XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return refuse(kExitIo, "cannot make a temporary folder");
  const std::filesystem::path folder = name;
  struct Cleanup {
    std::filesystem::path path;
    ~Cleanup() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  } const cleanup{folder};
  auto tokens = dev_tokens(folder / "data");
  if (!tokens) return refuse(kExitIo, tokens.error().message);
  const auto port = free_port();
  const auto spans_port = free_port();
  const bool traced = arguments.sample_ratio != "off";
  const auto log = (folder / "log").string();
  auto receiver = Child::start({"otlp-receiver", "--port", std::to_string(spans_port), "--out", "/dev/null"}, {}, log);
  if (!receiver) return refuse(kExitIo, receiver.error().message);
  auto broker = Child::start({"dev", "--data", (folder / "data").string(), "--port", std::to_string(port)},
                             {{"DURABILITY", arguments.durability},
                              {"OTEL_SDK_DISABLED", traced ? "false" : "true"},
                              {"TRACING_SAMPLE_RATIO", traced ? arguments.sample_ratio : "1"},
                              {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:" + std::to_string(spans_port)}},
                             log);
  if (!broker) return refuse(kExitIo, broker.error().message);
  if (!wait_until_ready("http://127.0.0.1:" + std::to_string(port) + "/readyz"))
    return refuse(kExitInternal, "the broker did not get ready, see " + log);
  arguments.options.port = port;
  arguments.options.producer_token = tokens->producer;
  arguments.options.worker_token = tokens->worker;
  arguments.options.server_pid = broker->pid();
  const int status = run_http_bench(arguments.options, std::cout);
  broker->end(SIGTERM);
  return status;
}

}  // namespace

int bench_http(const Cli& cli) {
  if (cli.bench.url.empty()) return bench_own_broker(cli.bench);
  auto options = cli.bench.options;
  if (auto set = set_bench_url(cli.bench.url, options); !set) return refuse(kExitUsage, set.error().message);
  return run_http_bench(options, std::cout);
}

}  // namespace codeq::app
