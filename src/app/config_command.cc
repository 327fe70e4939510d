#include "app/config_command.h"

#include "app/config/print.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace {

CliExit error(int status, const std::string& message) {
  return {.status = status, .out = "", .err = "[ERROR] " + message + "\n"};
}

// Loads as `serve` does and refuses what `serve` refuses before it touches a file or a port.
CliExit check(const Cli& cli, const GetEnv& getenv) {
  const auto loaded = load_config(cli.config_path, getenv);
  if (!loaded) return error(kExitConfig, loaded.error().message);
  CliExit done{.status = kExitOk, .out = check_text(*loaded), .err = ""};
  const auto refuse = [&done](const std::string& message) {
    done.status = kExitConfig;
    done.err += "[ERROR] " + message + "\n";
  };
  if (const auto ready = check_ready_to_serve(loaded->config); !ready) refuse(ready.error().message);
  if (const auto auth = services::make_authenticator(auth_options(loaded->config)); !auth)
    refuse("init app: " + auth.error().message);
  return done;
}

}  // namespace

services::AuthOptions auth_options(const Config& config) {
  return {.producer_type = config.producer_auth_provider,
          .producer_config = config.producer_auth_config,
          .worker_type = config.worker_auth_provider,
          .worker_config = config.worker_auth_config,
          .allow_producer_as_worker = config.allow_producer_as_worker};
}

services::RateLimits rate_limits(const Config& config) {
  services::RateLimits limits{};
  const auto set = [&](services::RateBucket bucket, const RateLimit& limit) {
    limits[static_cast<std::size_t>(bucket)] = {.requests_per_minute = limit.requests_per_minute, .burst = limit.burst};
  };
  set(services::RateBucket::kProducer, config.rate_producer);
  set(services::RateBucket::kWorker, config.rate_worker);
  set(services::RateBucket::kWebhook, config.rate_webhook);
  set(services::RateBucket::kAdmin, config.rate_admin);
  return limits;
}

CliExit run_config_command(const Cli& cli, const GetEnv& getenv) {
  if (cli.command == Command::kConfigCheck) return check(cli, getenv);
  if (cli.command == Command::kConfigDocs) return {.status = kExitOk, .out = docs_markdown(), .err = ""};
  const auto text = explain_text(cli.key);
  if (!text) return error(kExitConfig, text.error().message);
  return {.status = kExitOk, .out = *text, .err = ""};
}

}  // namespace codeq::app
