#include "app/client/completion.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

CommandTree tree() {
  CommandTree::Option json{.names = {"--json"}, .help = "Print JSON", .takes_value = false, .choices = {}};
  CommandTree::Option ack{.names = {"--ack"}, .help = "It's done", .takes_value = true, .choices = {"none", "nack"}};
  CommandTree start{.name = "start", .help = "Start", .inherits = true, .options = {ack}, .commands = {}};
  CommandTree worker{.name = "worker", .help = "Work", .inherits = true, .options = {}, .commands = {start}};
  CommandTree serve{.name = "serve", .help = "Serve", .inherits = false, .options = {}, .commands = {}};
  return {.name = "codeq", .help = "", .inherits = false, .options = {json}, .commands = {worker, serve}};
}

TEST(Completion, KnowsEveryCommandItsOptionsAndTheirValues) {
  const auto bash = completion_script(tree(), "bash");
  ASSERT_TRUE(bash);
  EXPECT_NE(bash->find("codeq/worker|codeq/worker/start|codeq/serve"), std::string::npos) << *bash;
  EXPECT_NE(bash->find("codeq/worker/start) COMPREPLY=($(compgen -W '--json --ack'"), std::string::npos) << "inherited";
  EXPECT_NE(bash->find("codeq/serve) COMPREPLY=($(compgen -W ''"), std::string::npos) << "not inherited";
  EXPECT_NE(bash->find("\"codeq/worker/start --ack\") COMPREPLY=($(compgen -W 'none nack'"), std::string::npos);
}

TEST(Completion, IsThereForThreeShells) {
  EXPECT_TRUE(completion_script(tree(), "zsh")->starts_with("#compdef codeq\n"));
  EXPECT_NE(completion_script(tree(), "fish")->find("-l ack -x -a 'none nack'"), std::string::npos);
  EXPECT_FALSE(completion_script(tree(), "csh"));
}

TEST(Completion, AHelpTextDoesNotEndItsQuotes) {
  for (const auto* shell : {"zsh", "fish"})
    EXPECT_EQ(completion_script(tree(), shell)->find("It's"), std::string::npos) << shell;
}

}  // namespace
}  // namespace codeq::app
