#include "app/cli.h"

#include <algorithm>
#include <array>
#include <sstream>

#include <CLI/CLI.hpp>

#include "app/bench/grpc_bench.h"
#include "app/bench/http_bench.h"
#include "app/client/completion.h"
#include "app/client/options.h"
#include "app/config/suggest.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace {

constexpr const char* kStatuses =
    "Exit status: 0 ok, 1 wrong settings or another failure (also a refusal of the broker's), 2 wrong command line,\n"
    "69 a command of the reference that is not here, 70 internal error, 74 log I/O error, 75 disk full,\n"
    "76 data folder damaged or not ours, 77 address cannot be listened on, 78 data folder in use.";

void choose(CLI::App* command, Cli& cli, Command chosen) {
  command->callback([&cli, chosen] { cli.command = chosen; });
}

void add_config_option(CLI::App* command, Cli& cli) {
  command
      ->add_option_function<std::string>(
          "-c,--config", [&cli](const std::string& path) { cli.config_path = path; },
          "YAML file with settings (else the one that CODEQ_CONFIG_PATH names)")
      ->type_name("FILE");
}

void add_serve(CLI::App& app, Cli& cli) {
  CLI::App* serve = app.add_subcommand("serve", "Run the broker");
  add_config_option(serve, cli);
  serve->footer(
      "Settings come from the environment, else the file, else their defaults: see `codeq config check`.\n"
      "SIGTERM or SIGINT stops it within 16 seconds; what was acknowledged is kept.");
  choose(serve, cli, Command::kServe);
}

void add_dev(CLI::App& app, Cli& cli) {
  CLI::App* dev = app.add_subcommand("dev", "Run a broker to try things out: no settings needed, tokens are printed");
  dev->add_option("--data", cli.dev.data, "Data folder; kept for the next time")
      ->type_name("DIR")
      ->capture_default_str();
  dev->add_option("--host", cli.dev.host, "Address to listen on")->type_name("IP")->capture_default_str();
  dev->add_option("--port", cli.dev.port, "Port to listen on; 0: any free one")
      ->check(CLI::Range(0, 65'535))
      ->type_name("N")
      ->capture_default_str();
  dev->add_option("--worker-stream-port", cli.dev.worker_stream_port,
                  "Port of the gRPC streams of workers; where it is taken, any free one")
      ->check(CLI::Range(0, 65'535))
      ->type_name("N")
      ->capture_default_str();
  dev->add_option("--producer-stream-port", cli.dev.producer_stream_port,
                  "Port of the gRPC streams of producers; where it is taken, any free one")
      ->check(CLI::Range(0, 65'535))
      ->type_name("N")
      ->capture_default_str();
  dev->add_flag("--reset", cli.dev.reset, "Begin with an empty data folder");
  dev->footer(
      "Spans also go to OTEL_EXPORTER_OTLP_ENDPOINT when it is set. Webhooks to loopback addresses are allowed.");
  choose(dev, cli, Command::kDev);
}

void add_demo(CLI::App& app, Cli& cli) {
  CLI::App* demo = app.add_subcommand("demo", "Show one task's trace through a kill -9 and a retry");
  demo->add_flag("--keep", cli.demo.keep, "Leave the temporary folder behind");
  // A command's own callback runs after those of its subcommands.
  demo->callback([&cli, demo] {
    if (demo->get_subcommands().empty()) cli.command = Command::kDemo;
  });
  CLI::App* waterfall =
      demo->add_subcommand("waterfall", "Draw a trace from a file of spans; status 1 unless it is whole");
  waterfall->add_option("--spans", cli.demo.spans, "File that `codeq otlp-receiver` wrote")
      ->required()
      ->type_name("FILE");
  waterfall->add_option("--trace-id", cli.demo.trace_id, "Which trace")->required()->type_name("HEX");
  choose(waterfall, cli, Command::kDemoWaterfall);
}

// What both benches can be told.
void add_bench_options(CLI::App* bench, Cli& cli, std::uint32_t batch_max) {
  auto& options = cli.bench.options;
  const auto number = [bench](const std::string& name, auto& value, const char* help, double from, double to) {
    bench->add_option(name, value, help)->check(CLI::Range(from, to))->type_name("N")->capture_default_str();
  };
  CLI::Option* url = bench->add_option("--url", cli.bench.url,
                                       "Base URL of a running broker (default: one of our own, on a temporary folder)");
  bench->add_option("--durability", cli.bench.durability, "Of our own broker: sync, interval or none")
      ->check(CLI::IsMember({"sync", "interval", "none"}))
      ->capture_default_str();
  bench->add_option("--sample-ratio", cli.bench.sample_ratio, "Of our own broker: 0 to 1, or off")
      ->capture_default_str();
  number("--producers", options.producers, "Connections that create", 1, 10'000);
  number("--workers", options.workers, "Connections that claim and complete", 1, 10'000);
  bench->add_option("--duration,--seconds", options.seconds, "Time measured")
      ->check(CLI::Range(0.1, 86'400.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  bench->add_option("--warmup", options.warmup_seconds, "Time before, not counted")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  bench->add_option("--tasks", options.tasks, "Stop after so many completions, without a warm-up")->type_name("N");
  number("--payload-bytes,--payload", options.payload_bytes, "Size of a payload", 2, 1 << 20);
  number("--batch", options.batch, "Tasks per call; 1: the single calls", 1, batch_max);
  number("--outstanding", options.outstanding, "Closed loop: tasks created and not yet settled, at most; 0: a default",
         0, 1e8);
  bench
      ->add_option(
          "--rate", options.rate,
          "Open loop: tasks per second, each due at an instant that is fixed beforehand; latencies count from it")
      ->check(CLI::Range(0.001, 1e9))
      ->type_name("N");
  number("--backlog", options.backlog, "Tasks that wait before the first is claimed, and all along", 0, 1e8);
  number("--priorities", options.priorities, "Priorities that tasks take in turn", 1, 10);
  number("--delay-ms", options.delay_ms, "Tasks are due so much later; latencies count from then", 0, 86'400'000);
  number("--queues", options.queues, "Commands that tasks take in turn: NAME-0, NAME-1, ...", 1, 100'000);
  bench->add_option("--tenants", cli.bench.tenants, "Tenants of our own broker; for more give a running one's --tokens")
      ->check(CLI::Range(1, 4))
      ->type_name("N")
      ->capture_default_str();
  bench->add_option("--tokens", cli.bench.tokens_file, "Lines of `PRODUCER_TOKEN WORKER_TOKEN`, one per tenant")
      ->type_name("FILE")
      ->needs(url);
  bench->add_option("--command", options.command, "Command of the tasks")->type_name("NAME")->capture_default_str();
  bench->add_option("--producer-token", options.producer_token, "Bearer token to create with")
      ->envname("CODEQ_PRODUCER_TOKEN")
      ->type_name("TOKEN");
  bench->add_option("--worker-token", options.worker_token, "Bearer token to claim with")
      ->envname("CODEQ_WORKER_TOKEN")
      ->type_name("TOKEN");
  bench->add_option("--server-pid", options.server_pid, "Process whose CPU time, memory and writes are read")
      ->check(CLI::PositiveNumber)
      ->type_name("PID");
  bench->add_flag("--json", options.json, "Print one JSON line");
  bench->add_flag("--progress", options.progress, "A line per second on stderr, also where that is no terminal");
  bench->footer(
      "Counted are tasks whose result was acknowledged in the measured time; latencies are of tasks that were due in it.\n"
      "Status 1 where something was refused or failed, or nothing was completed; 2 where the broker could not be reached.");
}

void add_bench(CLI::App& app, Cli& cli) {
  CLI::App* bench = app.add_subcommand("bench", "Measure a broker");
  bench->require_subcommand(1);
  auto& options = cli.bench.options;
  CLI::App* http =
      bench->add_subcommand("http", "Create, claim and complete tasks over HTTP; counts acknowledged results");
  add_bench_options(http, cli, kHttpBatchMax);
  http->add_option("--idle-polls", options.idle_polls, "Connections that wait for a command that nobody creates")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N")
      ->capture_default_str();
  choose(http, cli, Command::kBenchHttp);
  CLI::App* grpc = bench->add_subcommand("grpc", "The same over the gRPC streams; counts acknowledged results");
  add_bench_options(grpc, cli, kGrpcBatchMax);
  grpc->add_option("--window", options.window, "Creates that a producer has open; tasks that a worker has credits for")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N")
      ->capture_default_str();
  grpc->add_option("--producer-port", options.producer_port, "Port of the producers' streams, with --url")
      ->type_name("N")
      ->capture_default_str();
  grpc->add_option("--worker-port", options.worker_port, "Port of the workers' streams, with --url")
      ->type_name("N")
      ->capture_default_str();
  choose(grpc, cli, Command::kBenchGrpc);
}

void add_config(CLI::App& app, Cli& cli) {
  CLI::App* config = app.add_subcommand("config", "Look at settings");
  config->require_subcommand(1);
  CLI::App* check =
      config->add_subcommand("check", "Print every value and where it comes from; status 1 if `serve` would refuse");
  add_config_option(check, cli);
  choose(check, cli, Command::kConfigCheck);
  CLI::App* explain = config->add_subcommand("explain", "Say what a key means, its variable and its default");
  explain->add_option("KEY", cli.key, "YAML key, or variable, or mapping such as `raft`")->required();
  choose(explain, cli, Command::kConfigExplain);
  CLI::App* docs = config->add_subcommand("docs", "Print docs/configuration.md");
  choose(docs, cli, Command::kConfigDocs);
}

void add_receiver(CLI::App& app, Cli& cli) {
  CLI::App* receiver =
      app.add_subcommand("otlp-receiver", "Receive spans over OTLP/gRPC and print them, for demos and tests");
  receiver->group("");  // not in the list
  receiver->add_option("--host", cli.receiver.host, "Address to listen on")->type_name("IP")->capture_default_str();
  receiver->add_option("--port", cli.receiver.port, "Port to listen on; 0: any free one")
      ->check(CLI::Range(0, 65'535))
      ->type_name("N")
      ->capture_default_str();
  receiver->add_option("--out", cli.receiver.out, "File for one JSON span a line; -: stdout")
      ->type_name("FILE")
      ->capture_default_str();
  receiver->add_flag("--discard", cli.receiver.discard, "Take spans and forget them unread, for benches");
  choose(receiver, cli, Command::kOtlpReceiver);
}

CLI::Option* add_data_option(CLI::App* command, Cli& cli) {
  return command->add_option("--data", cli.data.data, "Data folder (the `path` of persistenceConfig)")
      ->type_name("DIR");
}

void add_backup(CLI::App& app, Cli& cli) {
  CLI::App* backup = app.add_subcommand("backup", "Copy a data folder, also while its broker runs");
  add_data_option(backup, cli)->required();
  backup->add_option("--to", cli.data.to, "Folder to make; its parent must be there")->required()->type_name("DIR");
  backup->footer(
      "The copy has everything that was acknowledged before the command began, and a SHA256SUMS that `sha256sum -c` reads.\n"
      "A running broker makes it itself, so it needs room, and the right to write, at --to.");
  choose(backup, cli, Command::kBackup);
}

void add_restore(CLI::App& app, Cli& cli) {
  CLI::App* restore = app.add_subcommand("restore", "Make a data folder from a backup");
  restore->add_option("--from", cli.data.from, "Folder that `codeq backup` made")->required()->type_name("DIR");
  CLI::Option* data = add_data_option(restore, cli);
  CLI::Option* verify =
      restore->add_flag("--verify", cli.data.verify_only, "Only check every file against its checksum");
  data->excludes(verify);
  restore->footer("The data folder must be empty or not there. Nothing of the backup is changed.");
  restore->callback([&cli] {
    cli.command = Command::kRestore;
    if (cli.data.data.empty() && !cli.data.verify_only) throw CLI::RequiredError("--data or --verify");
  });
}

void add_store(CLI::App& app, Cli& cli) {
  CLI::App* store = app.add_subcommand("store", "Look into the data folder of a stopped broker; changes nothing");
  store->require_subcommand(1);
  CLI::App* check =
      store->add_subcommand("check", "Read everything against its checksums and rules; status 76 if it is damaged");
  add_data_option(check, cli)->required();
  choose(check, cli, Command::kStoreCheck);
  CLI::App* stats = store->add_subcommand("stats", "How much there is of what");
  add_data_option(stats, cli)->required();
  stats->add_flag("--json", cli.data.json, "Print one JSON object");
  choose(stats, cli, Command::kStoreStats);
}

void add_completion(CLI::App& app, std::string& shell) {
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  completion->add_option("SHELL", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer(
      "bash: source <(codeq completion bash)    zsh: source <(codeq completion zsh)    fish: codeq completion fish | source");
}

// The words of a type name such as "TEXT:{sync,none}".
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> out;
  const auto open = type.find('{');
  const auto close = type.rfind('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return out;
  std::istringstream words(type.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(words, word, ',');) out.push_back(word);
  return out;
}

CommandTree tree_of(const CLI::App& app) {
  CommandTree tree{.name = app.get_name(),
                   .help = app.get_description(),
                   .inherits = app.get_fallthrough(),
                   .options = {},
                   .commands = {}};
  for (const auto* option : app.get_options()) {
    CommandTree::Option out{.names = {},
                            .help = option->get_description(),
                            .takes_value = option->get_items_expected_max() > 0,
                            .choices = choices_of(option->get_type_name())};
    for (const auto& name : option->get_lnames()) out.names.push_back("--" + name);
    for (const auto& name : option->get_snames()) out.names.push_back("-" + name);
    if (!out.names.empty()) tree.options.push_back(std::move(out));
  }
  for (const auto* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }))
    tree.commands.push_back(tree_of(*command));
  return tree;
}

void add_doctor(CLI::App& app, Cli& cli) {
  CLI::App* doctor = app.add_subcommand(
      "doctor", "Check settings, data folder, port, clock, limits, collector and the running broker");
  add_config_option(doctor, cli);
  doctor->add_flag("--json", cli.data.json, "Print one JSON object");
  doctor->footer("Changes nothing. Status 1 if a check failed; a warning is no failure.");
  choose(doctor, cli, Command::kDoctor);
}

// What to say of a first word that is no command; nothing where it is one, or an option.
std::string unknown_command(const CLI::App& app, int argc, const char* const* argv) {
  constexpr std::array<std::string_view, 17> kCommands{"serve", "dev",    "demo",       "bench",  "backup", "restore",
                                                       "store", "config", "init",       "auth",   "task",   "worker",
                                                       "queue", "dlq",    "completion", "doctor", "version"};
  const auto is_named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc < 2 || argv[1][0] == '-' || !app.get_subcommands(is_named).empty()) return "";
  const auto near = nearest(argv[1], kCommands);
  return "unknown command `" + std::string(argv[1]) + "`" +
         (near ? "; did you mean `codeq " + std::string(*near) + "`?\n" : "; see `codeq --help`\n");
}

std::unexpected<CliExit> usage(const std::string& text) {
  return std::unexpected(CliExit{.status = kExitUsage, .out = "", .err = text + "\n"});
}

}  // namespace

std::expected<Cli, CliExit> parse_cli(int argc, const char* const* argv) {
  Cli cli;
  CLI::App app{"CodeQ, a durable task broker that keeps one trace per task.", "codeq"};
  app.require_subcommand(1);
  bool version = false;
  app.add_flag("--version", version, "Print the version and exit");
  add_serve(app, cli);
  add_dev(app, cli);
  add_demo(app, cli);
  add_bench(app, cli);
  add_backup(app, cli);
  add_restore(app, cli);
  add_store(app, cli);
  add_config(app, cli);
  add_doctor(app, cli);
  add_receiver(app, cli);
  add_client_commands(app, cli.client, [&cli] { cli.command = Command::kClient; });
  std::string shell;
  add_completion(app, shell);
  choose(app.add_subcommand("version", "Print the version"), cli, Command::kVersion);
  // After the subcommands, which would inherit both.
  app.set_help_all_flag("--help-all", "Print the help of all commands");
  app.footer(kStatuses);
  if (argc <= 1) return std::unexpected(CliExit{.status = kExitUsage, .out = "", .err = app.help()});
  // What follows `--` is the handler's and nothing that we read.
  const auto* const* const end = argv + argc;
  const auto* const* const dashes = std::find(argv + 1, end, std::string_view("--"));
  if (dashes != end) cli.client.worker_run.handler.assign(dashes + 1, end);
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
    const bool runs = cli.command == Command::kClient && cli.client.command == ClientCommand::kWorkerRun;
    if (runs && cli.client.worker_run.handler.empty())
      return usage("`worker run` needs a handler: ... -- ./handler ARGS");
    if (!runs && dashes != end) return usage("nothing can follow `--` here");
    if (!shell.empty()) {
      cli.command = Command::kCompletion;
      cli.completion = completion_script(tree_of(app), shell).value_or("");
    }
    return cli;
  } catch (const CLI::ParseError& e) {
    if (version) {
      cli.command = Command::kVersion;
      return cli;
    }
    std::ostringstream out, err;
    const int status = app.exit(e, out, err);
    if (status == 0) return std::unexpected(CliExit{.status = kExitOk, .out = out.str(), .err = ""});
    const std::string unknown = unknown_command(app, argc, argv);
    return std::unexpected(
        CliExit{.status = kExitUsage, .out = out.str(), .err = unknown.empty() ? err.str() : unknown});
  }
}

}  // namespace codeq::app
