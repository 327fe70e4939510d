// Completion scripts for bash, zsh and fish, from the tree of commands that the parser itself has.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace codeq::app {

struct CommandTree {
  struct Option {
    std::vector<std::string> names;    // "--json", "-c"
    std::string help;
    bool takes_value = false;
    std::vector<std::string> choices;  // of the value; empty: anything
  };
  std::string name, help;
  bool inherits = false;               // the options of its parents count here too
  std::vector<Option> options;
  std::vector<CommandTree> commands;
};

// Nothing for a shell that is none of the three.
std::optional<std::string> completion_script(const CommandTree& tree, std::string_view shell);

}  // namespace codeq::app
