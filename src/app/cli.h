// The command line: which command, with which options. Nothing is done here but reading it.
//
// Errors   what to print and the exit status; `--help` comes this way too, with status 0
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace codeq::app {

enum class Command : std::uint8_t {
  kServe,
  kDev,
  kDemo,
  kBenchHttp,
  kConfigCheck,
  kConfigExplain,
  kConfigDocs,
  kVersion,
  kOtlpReceiver,
};

struct DevOptions {
  std::string data = "./codeq-dev";
  std::string host = "127.0.0.1";
  int port = 8080;                 // 0: any free one
  bool reset = false;              // begin with an empty data folder
};

struct DemoOptions {
  std::string data;                // empty: a temporary folder
  bool keep = false;               // leave the folder behind
};

struct BenchOptions {
  std::string url = "http://127.0.0.1:8080";
  int producers = 4;               // connections
  int workers = 4;                 // connections
  double duration_seconds = 10;
  double warmup_seconds = 1;
  std::int64_t payload_bytes = 256;
  double rate = 0;                 // creates per second over all producers; 0: as fast as answered
  int batch = 1;                   // tasks per create, claim and result call; 1: the single calls
  int pipeline = 1;                // requests under way per connection
  std::string command = "BENCH";
  std::string producer_token;
  std::string worker_token;
  int server_pid = 0;              // whose CPU time is counted; 0: none
  bool json = false;               // one JSON line instead of a table
};

struct ReceiverOptions {
  std::string host = "127.0.0.1";
  int port = 4317;                 // 0: any free one
  std::string out = "-";           // one JSON span a line; "-": stdout
};

struct Cli {
  Command command = Command::kServe;
  std::optional<std::string> config_path;  // serve, config check
  std::string key;                         // config explain
  DevOptions dev;
  DemoOptions demo;
  BenchOptions bench;
  ReceiverOptions receiver;
};

struct CliExit {
  int status = 0;
  std::string out;
  std::string err;
};

std::expected<Cli, CliExit> parse_cli(int argc, const char* const* argv);

}  // namespace codeq::app
