// The command line: which command, with which options. Nothing is done here but reading it.
//
// Errors   what to print and the exit status; `--help` comes this way too, with status 0
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "app/bench/options.h"
#include "app/client/arguments.h"

namespace codeq::app {

enum class Command : std::uint8_t {
  kServe,
  kDev,
  kDemo,
  kDemoWaterfall,
  kBenchHttp,
  kBenchGrpc,
  kConfigCheck,
  kConfigExplain,
  kConfigDocs,
  kVersion,
  kOtlpReceiver,
  kBackup,
  kRestore,
  kStoreCheck,
  kStoreStats,
  kClient,      // `client` says which
  kCompletion,
  kDoctor,
};

struct DevOptions {
  std::string data = "./codeq-dev";
  std::string host = "127.0.0.1";
  int port = 8080;                 // 0: any free one
  int worker_stream_port = 9091;   // where taken, any free one
  int producer_stream_port = 9092;
  bool reset = false;              // begin with an empty data folder
};

struct DemoOptions {
  bool keep = false;               // leave the temporary folder behind
  std::string spans;               // waterfall: file of `codeq otlp-receiver`
  std::string trace_id;            // waterfall: 32 hex digits
};

struct BenchArguments {
  std::string url;                 // empty: a broker of our own, on a free port and a temporary folder
  std::string durability = "sync"; // of our own broker
  std::string sample_ratio = "1";  // of our own broker; "off": no tracing
  std::uint32_t tenants = 1;       // of our own broker
  std::string tokens_file;         // of a running broker's tenants; empty: the two tokens of `options`
  BenchOptions options;
};

struct ReceiverOptions {
  std::string host = "127.0.0.1";
  int port = 4317;                 // 0: any free one
  std::string out = "-";           // one JSON span a line; "-": stdout
  bool discard = false;            // forgets them unread
};

struct DataOptions {
  std::string data;                // the data folder
  std::string to;                  // backup: the folder that it becomes
  std::string from;                // restore: a backup
  bool verify_only = false;        // restore: check the backup, copy nothing
  bool json = false;               // store stats, doctor
};

struct Cli {
  Command command = Command::kServe;
  std::optional<std::string> config_path;  // serve, config check
  std::string key;                         // config explain
  DevOptions dev;
  DemoOptions demo;
  BenchArguments bench;
  ReceiverOptions receiver;
  DataOptions data;
  ClientArguments client;
  std::string completion;                  // the script
};

struct CliExit {
  int status = 0;
  std::string out;
  std::string err;
};

std::expected<Cli, CliExit> parse_cli(int argc, const char* const* argv);

}  // namespace codeq::app
