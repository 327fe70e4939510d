#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "app/cli.h"
#include "app/client/run.h"
#include "app/commands.h"
#include "app/config_command.h"
#include "app/exit_codes.h"
#include "app/version.h"

int main(int argc, char** argv) {
  using namespace codeq::app;
  // A connection that a peer has closed is an error of that write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  const auto cli = parse_cli(argc, argv);
  if (!cli) {
    std::fputs(cli.error().out.c_str(), stdout);
    std::fputs(cli.error().err.c_str(), stderr);
    return cli.error().status;
  }
  switch (cli->command) {
    case Command::kServe: return serve(*cli);
    case Command::kDev: return dev(*cli);
    case Command::kDemo: return demo(*cli);
    case Command::kDemoWaterfall: return demo_waterfall(*cli);
    case Command::kBenchHttp:
    case Command::kBenchGrpc: return bench(*cli);
    case Command::kOtlpReceiver: return otlp_receiver(*cli);
    case Command::kBackup: return backup(*cli);
    case Command::kRestore: return restore(*cli);
    case Command::kStoreCheck: return store_check(*cli);
    case Command::kStoreStats: return store_stats(*cli);
    case Command::kDoctor: return doctor(*cli);
    case Command::kConfigCheck:
    case Command::kConfigExplain:
    case Command::kConfigDocs: {
      const auto result = run_config_command(*cli, [](const char* name) -> const char* { return std::getenv(name); });
      std::fputs(result.out.c_str(), stdout);
      std::fputs(result.err.c_str(), stderr);
      return result.status;
    }
    case Command::kClient:
      return run_client(cli->client, [](const char* name) -> const char* { return std::getenv(name); });
    case Command::kCompletion: std::fputs(cli->completion.c_str(), stdout); return kExitOk;
    case Command::kVersion: std::printf("codeq %s\n", kVersion); return kExitOk;
  }
  return kExitUsage;
}
