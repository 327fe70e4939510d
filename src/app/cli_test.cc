#include "app/cli.h"

#include <gtest/gtest.h>

#include <vector>

#include "app/config_command.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace {

std::expected<Cli, CliExit> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "codeq");
  return parse_cli(static_cast<int>(words.size()), words.data());
}

TEST(Cli, EveryCommandIsRecognised) {
  EXPECT_EQ(parse({"serve"})->command, Command::kServe);
  EXPECT_EQ(parse({"dev"})->command, Command::kDev);
  EXPECT_EQ(parse({"demo"})->command, Command::kDemo);
  EXPECT_EQ(parse({"demo", "waterfall", "--spans", "f", "--trace-id", "0"})->command, Command::kDemoWaterfall);
  EXPECT_EQ(parse({"bench", "http"})->command, Command::kBenchHttp);
  EXPECT_EQ(parse({"bench", "grpc"})->command, Command::kBenchGrpc);
  EXPECT_EQ(parse({"config", "check"})->command, Command::kConfigCheck);
  EXPECT_EQ(parse({"config", "explain", "port"})->command, Command::kConfigExplain);
  EXPECT_EQ(parse({"config", "docs"})->command, Command::kConfigDocs);
  EXPECT_EQ(parse({"version"})->command, Command::kVersion);
  EXPECT_EQ(parse({"--version"})->command, Command::kVersion);
  EXPECT_EQ(parse({"otlp-receiver"})->command, Command::kOtlpReceiver);
}

TEST(Cli, OptionsReachTheirFields) {
  EXPECT_EQ(parse({"serve", "--config", "x.yaml"})->config_path, "x.yaml");
  EXPECT_EQ(parse({"serve"})->config_path, std::nullopt);
  const auto dev = parse({"dev", "--data", "/tmp/d", "--port", "0", "--reset"});
  ASSERT_TRUE(dev);
  EXPECT_EQ(dev->dev.data, "/tmp/d");
  EXPECT_EQ(dev->dev.port, 0);
  EXPECT_TRUE(dev->dev.reset);
  const auto bench = parse(
      {"bench", "http", "--url", "http://h:1", "--workers", "8", "--backlog", "1000", "--worker-token", "w", "--json"});
  ASSERT_TRUE(bench);
  EXPECT_EQ(bench->bench.url, "http://h:1");
  EXPECT_EQ(bench->bench.options.workers, 8U);
  EXPECT_EQ(bench->bench.options.backlog, 1000U);
  EXPECT_EQ(bench->bench.options.worker_token, "w");
  EXPECT_TRUE(bench->bench.options.json);
}

TEST(Cli, ClientCommandsAreRecognisedWithTheirOptionsBeforeOrBehindThem) {
  const auto create =
      parse({"--profile", "p", "task", "create", "--event", "X", "--payload", "1", "--base-url", "http://h", "--json"});
  ASSERT_TRUE(create) << create.error().err;
  EXPECT_EQ(create->command, Command::kClient);
  EXPECT_EQ(create->client.command, ClientCommand::kTaskCreate);
  EXPECT_EQ(create->client.globals.profile, "p");
  EXPECT_EQ(create->client.globals.base_url, "http://h");
  EXPECT_EQ(create->client.globals.producer_token, std::nullopt);
  EXPECT_EQ(create->client.globals.admin, std::nullopt);
  EXPECT_TRUE(create->client.globals.json);
  EXPECT_EQ(create->client.create.event, "X");
  const auto start = parse({"worker", "start", "--events", "A,B", "--admin=false"});
  ASSERT_TRUE(start) << start.error().err;
  EXPECT_EQ(start->client.worker_start.events, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(start->client.globals.admin, false);
  EXPECT_EQ(parse({"task", "get", "a", "--base-url", "x", "--base-url", "y"})->client.globals.base_url, "y")
      << "the last counts";
  EXPECT_EQ(parse({"auth", "login", "--scope", "a", "--scope", "b"})->client.login.scopes.size(), 2U);
  EXPECT_FALSE(parse({"auth", "login", "--save=false"})->client.login.save);
  EXPECT_EQ(parse({"install", "--target", "docker"})->client.command, ClientCommand::kInstall);
  EXPECT_FALSE(parse({"serve", "--base-url", "x"})) << "not a client's";
}

TEST(Cli, WhatFollowsTheDashesIsTheHandlers) {
  const auto run =
      parse({"worker", "run", "--command", "A", "--command", "B", "--", "./h", "--json", "serve", "--", "-x"});
  ASSERT_TRUE(run) << run.error().err;
  EXPECT_EQ(run->client.worker_run.commands, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(run->client.worker_run.handler, (std::vector<std::string>{"./h", "--json", "serve", "--", "-x"}));
  EXPECT_FALSE(run->client.globals.json);
  EXPECT_FALSE(parse({"worker", "run", "--command", "A"}));
  EXPECT_FALSE(parse({"worker", "run", "--command", "A", "--"}));
  EXPECT_FALSE(parse({"task", "get", "--", "x"}));
}

TEST(Cli, CompletionComesFromTheCommandsThatAreThere) {
  const auto bash = parse({"completion", "bash"});
  ASSERT_TRUE(bash);
  EXPECT_EQ(bash->command, Command::kCompletion);
  for (const auto* word : {"codeq/worker/run", "codeq/store/check", "--on-error", "'nack fail abandon'", "completion"})
    EXPECT_NE(bash->completion.find(word), std::string::npos) << word;
  EXPECT_EQ(bash->completion.find("otlp-receiver"), std::string::npos) << "hidden";
}

TEST(Cli, HelpIsPrintedWithStatusZeroForEveryCommand) {
  for (const auto& words : std::vector<std::vector<const char*>>{{"--help"},
                                                                 {"serve", "--help"},
                                                                 {"dev", "--help"},
                                                                 {"demo", "-h"},
                                                                 {"bench", "--help"},
                                                                 {"bench", "http", "--help"},
                                                                 {"bench", "grpc", "--help"},
                                                                 {"config", "--help"},
                                                                 {"config", "check", "--help"},
                                                                 {"config", "explain", "--help"},
                                                                 {"doctor", "--help"},
                                                                 {"version", "--help"}}) {
    const auto help = parse(words);
    ASSERT_FALSE(help) << words.front();
    EXPECT_EQ(help.error().status, kExitOk);
    EXPECT_NE(help.error().out.find("Usage"), std::string::npos) << help.error().out;
  }
}

TEST(Cli, AWrongLineIsAUsageErrorThatSuggests) {
  for (const auto& words : std::vector<std::vector<const char*>>{{},
                                                                 {"sevre"},
                                                                 {"serve", "--nope"},
                                                                 {"bench"},
                                                                 {"config"},
                                                                 {"config", "explain"},
                                                                 {"dev", "--port", "70000"},
                                                                 {"dev", "--port", "x"}}) {
    const auto wrong = parse(words);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().status, kExitUsage);
    EXPECT_FALSE(wrong.error().err.empty());
  }
  EXPECT_NE(parse({"sevre"}).error().err.find("did you mean `codeq serve`?"), std::string::npos);
}

CliExit config(std::vector<const char*> words, const std::map<std::string, std::string>& env = {}) {
  words.insert(words.begin(), "config");
  const auto cli = parse(words);
  EXPECT_TRUE(cli);
  return run_config_command(*cli, [&env](const char* name) {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  });
}

TEST(ConfigCommand, CheckRefusesWhatServeWouldRefuse) {
  EXPECT_EQ(config({"check"}).status, kExitConfig);
  EXPECT_EQ(config({"check"}, {{"PORT", "x"}}).status, kExitConfig);
  const CliExit no_token = config({"check"}, {{"PRODUCER_AUTH_PROVIDER", "static"}, {"PRODUCER_AUTH_CONFIG", "{}"}});
  EXPECT_EQ(no_token.status, kExitConfig);
  EXPECT_EQ(no_token.err, "[ERROR] init app: static auth: token is required\n");
  const CliExit fine =
      config({"check"}, {{"PRODUCER_AUTH_PROVIDER", "static"}, {"PRODUCER_AUTH_CONFIG", R"({"token":"canary"})"}});
  EXPECT_EQ(fine.status, kExitOk) << fine.err;
  EXPECT_EQ(fine.out.find("canary"), std::string::npos);
}

TEST(ConfigCommand, ExplainAnswersOrSuggests) {
  EXPECT_EQ(config({"explain", "port"}).status, kExitOk);
  const CliExit unknown = config({"explain", "prot"});
  EXPECT_EQ(unknown.status, kExitConfig);
  EXPECT_NE(unknown.err.find("did you mean `port`?"), std::string::npos);
}

}  // namespace
}  // namespace codeq::app
