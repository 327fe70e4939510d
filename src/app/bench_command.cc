// `codeq bench`: against a broker that runs, or against one of our own.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "app/bench/grpc_bench.h"
#include "app/bench/http_bench.h"
#include "app/bench/payload.h"
#include "app/child.h"
#include "app/commands.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace {

int refuse(int status, const std::string& message) {
  std::fprintf(stderr, "[ERROR] %s\n", message.c_str());
  return status;
}

int run(const Cli& cli, BenchOptions options) {
  options.progress = options.progress || isatty(STDERR_FILENO) != 0;
  return cli.command == Command::kBenchGrpc ? run_grpc_bench(options, std::cout) : run_http_bench(options, std::cout);
}

// Settings with a token for each side of each tenant.
std::string auth_settings(const std::vector<BenchTenant>& tenants) {
  const auto providers = [&tenants](std::string BenchTenant::* token, const char* rights) {
    std::vector<std::string> configs;
    for (const auto& tenant : tenants) {
      const auto name = "bench-" + std::to_string(configs.size());
      configs.push_back(R"({"token":")" + tenant.*token + R"(","subject":")" + name + '"' + rights +
                        R"(,"raw":{"tenantId":")" + name + R"("}})");
    }
    if (configs.size() == 1) return configs.front();
    std::string out;
    for (const auto& config : configs)
      out += (out.empty() ? "" : ",") + (R"({"type":"static","config":)" + config + '}');
    return R"({"providers":[)" + out + "]}";
  };
  const std::string kind = tenants.size() == 1 ? "static" : "multi";
  return "producerAuthProvider: " + kind + "\nproducerAuthConfig: '" + providers(&BenchTenant::producer_token, "") +
         "'\nworkerAuthProvider: " + kind + "\nworkerAuthConfig: '" +
         providers(
             &BenchTenant::worker_token,
             R"(,"eventTypes":["*"],"scopes":["codeq:claim","codeq:heartbeat","codeq:abandon","codeq:nack",)"
                   R"("codeq:result"])") +
         "'\n";
}

// Spans of our own broker go to a receiver of our own, in a process of its own, so that its cost is not the broker's.
int bench_own_broker(const Cli& cli) {
  auto options = cli.bench.options;
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
  for (std::uint32_t i = 0; i < cli.bench.tenants; ++i)
    options.tenants.push_back({"bench-producer-" + random_run(), "bench-worker-" + random_run()});
  const auto config = folder / "codeq.yaml";
  std::ofstream(config) << auth_settings(options.tenants);
  options.port = free_port();
  options.producer_port = free_port();
  options.worker_port = free_port();
  const auto spans_port = std::to_string(free_port());
  const bool traced = cli.bench.sample_ratio != "off";
  const auto log = (folder / "log").string();
  auto receiver = Child::start({"otlp-receiver", "--port", spans_port, "--discard"}, {}, log);
  if (!receiver) return refuse(kExitIo, receiver.error().message);
  const auto connections = std::to_string(options.producers + options.workers + options.idle_polls + 100);
  auto broker = Child::start({"serve", "--config", config.string()},
                             {{"PERSISTENCE_CONFIG", R"({"path":")" + (folder / "data").string() + "\"}"},
                              {"LOCAL_ARTIFACTS_DIR", (folder / "artifacts").string()},
                              {"LISTEN_HOST", "127.0.0.1"},
                              {"PORT", std::to_string(options.port)},
                              {"PRODUCER_STREAM_ADDR", "127.0.0.1:" + std::to_string(options.producer_port)},
                              {"WORKER_STREAM_ADDR", "127.0.0.1:" + std::to_string(options.worker_port)},
                              {"HTTP_CONNECTIONS_MAX", connections},
                              {"HTTP_PARKED_POLLS_MAX", connections},
                              {"STREAM_CONNECTIONS_MAX", connections},
                              {"LOG_LEVEL", "warn"},
                              {"DURABILITY", cli.bench.durability},
                              {"TRACING_ENABLED", traced ? "true" : "false"},
                              {"TRACING_SAMPLE_RATIO", traced ? cli.bench.sample_ratio : "1"},
                              {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:" + spans_port}},
                             log);
  if (!broker) return refuse(kExitIo, broker.error().message);
  if (!wait_until_ready("http://127.0.0.1:" + std::to_string(options.port) + "/readyz")) {
    std::ifstream said(log);
    return refuse(kExitInternal,
                  "the broker did not get ready: " + std::string(std::istreambuf_iterator<char>(said), {}));
  }
  options.server_pid = broker->pid();
  const int status = run(cli, options);
  broker->end(SIGTERM);
  return status;
}

}  // namespace

int bench(const Cli& cli) {
  if (cli.bench.url.empty()) return bench_own_broker(cli);
  auto options = cli.bench.options;
  if (auto set = set_bench_url(cli.bench.url, options); !set) return refuse(kExitUsage, set.error().message);
  if (!cli.bench.tokens_file.empty()) {
    std::ifstream file(cli.bench.tokens_file);
    auto tenants = read_bench_tenants(std::string(std::istreambuf_iterator<char>(file), {}));
    if (!tenants) return refuse(kExitUsage, cli.bench.tokens_file + ": " + tenants.error().message);
    options.tenants = *std::move(tenants);
  }
  return run(cli, options);
}

}  // namespace codeq::app
