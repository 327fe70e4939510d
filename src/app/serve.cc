#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>

#include "app/commands.h"
#include "app/config/load.h"
#include "app/exit_codes.h"
#include "app/logging.h"
#include "app/server.h"
#include "app/signals.h"
#include "app/version.h"

namespace codeq::app {
namespace {

const char* environment(const char* name) { return std::getenv(name); }

int refuse(int status, const std::string& message) {
  std::fprintf(stderr, "[ERROR] %s\n", message.c_str());
  return status;
}

}  // namespace

int serve(const Cli& cli) {
  StopSignal stop(true);
  auto loaded = load_config(cli.config_path, environment);
  if (!loaded) return refuse(kExitConfig, loaded.error().message);
  if (auto ready = check_ready_to_serve(loaded->config); !ready) return refuse(kExitConfig, ready.error().message);
  set_up_logging(loaded->config);
  for (const auto& warning : loaded->warnings) spdlog::warn("config: {}", warning);
  auto server = Server::start(loaded->config, environment, false);
  if (!server) return refuse(server.error().exit_status, server.error().message);
  spdlog::info("codeq {} ready on port {}", kVersion, (*server)->port());
  const int signal = stop.wait([&] { (*server)->reload_certificates(); });
  spdlog::info("stopping on signal {}", signal);
  (*server)->stop();
  spdlog::info("stopped");
  return kExitOk;
}

}  // namespace codeq::app
