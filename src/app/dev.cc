// `codeq dev`: a broker without any configuration, for one machine and its user.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/commands.h"
#include "app/config/load.h"
#include "app/dev_tokens.h"
#include "app/exit_codes.h"
#include "app/logging.h"
#include "app/server.h"
#include "app/signals.h"

namespace codeq::app {
namespace {

const char* environment(const char* name) { return std::getenv(name); }

int refuse(int status, const std::string& message) {
  std::fprintf(stderr, "[ERROR] %s\n", message.c_str());
  return status;
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

void print_welcome(const Server& server, const std::string& host, const DevTokens& tokens, const std::string& folder) {
  const std::string base = (server.secure() ? "https://" : "http://") + host + ":" + std::to_string(server.port());
  std::printf("codeq dev is ready: %s\n\n  data            %s\n  producer token  %s\n  worker token    %s\n",
              base.c_str(), folder.c_str(), tokens.producer.c_str(), tokens.worker.c_str());
  std::printf("  gRPC streams    producers %s:%d, workers %s:%d\n\n", host.c_str(),
              int{server.producer_stream_port().value_or(0)}, host.c_str(), int{server.worker_stream_port().value_or(0)});
  std::printf(
      "  curl -s -H 'Authorization: Bearer %s' %s/v1/codeq/tasks -d '{\"command\":\"HELLO\",\"payload\":{\"n\":1}}'\n",
      tokens.producer.c_str(), base.c_str());
  std::printf("  curl -s -H 'Authorization: Bearer %s' %s/v1/codeq/tasks/claim -d '{\"commands\":[\"HELLO\"]}'\n",
              tokens.worker.c_str(), base.c_str());
  std::printf("  curl -s -H 'Authorization: Bearer %s' %s/v1/codeq/tasks/ID/trace\n\n", tokens.producer.c_str(),
              base.c_str());
  std::fflush(stdout);
}

}  // namespace

int dev(const Cli& cli) {
  StopSignal stop;
  auto loaded = load_config(std::nullopt, environment);
  if (!loaded) return refuse(kExitConfig, loaded.error().message);
  auto config = loaded->config;
  config.data_path = cli.dev.data;
  config.port = cli.dev.port;
  config.listen_host = cli.dev.host;
  config.worker_stream_addr = bracketed(cli.dev.host) + ":" + std::to_string(cli.dev.worker_stream_port);
  config.producer_stream_addr = bracketed(cli.dev.host) + ":" + std::to_string(cli.dev.producer_stream_port);
  if (!loaded->origins.contains("logLevel")) config.log_level = LogLevel::kWarn;
  if (!loaded->origins.contains("logFormat")) config.log_format = LogFormat::kText;
  set_up_logging(config);
  for (const auto& warning : loaded->warnings) spdlog::warn("config: {}", warning);
  if (auto ours = check_data_folder(config.data_path); !ours) return refuse(kExitCorrupt, ours.error().message);
  std::error_code error;
  // Only what is ours goes: the log and the tokens, never the folder of somebody else.
  if (cli.dev.reset) {
    std::filesystem::remove_all(std::filesystem::path(config.data_path) / "log", error);
    std::filesystem::remove(std::filesystem::path(config.data_path) / "dev-tokens", error);
  }
  auto tokens = dev_tokens(config.data_path);
  if (!tokens) return refuse(kExitIo, tokens.error().message);
  tokens->apply(config);
  config.local_artifacts_dir = (std::filesystem::absolute(config.data_path) / "artifacts").string();
  config.webhook_allowed_networks.insert(config.webhook_allowed_networks.end(), {"127.0.0.0/8", "::1/128"});
  auto server = Server::start(config, environment, true);
  if (!server) return refuse(server.error().exit_status, server.error().message);
  print_welcome(**server, bracketed(config.listen_host), *tokens,
                std::filesystem::absolute(config.data_path).string());
  stop.wait();
  (*server)->stop();
  return kExitOk;
}

}  // namespace codeq::app
