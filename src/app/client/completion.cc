#include "app/client/completion.h"

#include <fmt/format.h>

#include <set>

namespace codeq::app {
namespace {

// One command with the way to it, "codeq/task/create", and every option that it takes.
struct Place {
  std::string way;
  const CommandTree* command = nullptr;
  std::vector<const CommandTree::Option*> options;
};

void collect(const CommandTree& command, const std::string& way, std::vector<const CommandTree::Option*> inherited,
             std::vector<Place>& out) {
  if (!command.inherits) inherited.clear();
  for (const auto& option : command.options) inherited.push_back(&option);
  out.push_back({way, &command, inherited});
  for (const auto& child : command.commands) collect(child, way + "/" + child.name, inherited, out);
}

std::vector<Place> places(const CommandTree& tree) {
  std::vector<Place> out;
  collect(tree, tree.name, {}, out);
  return out;
}

// Between single quotes, for all three shells where `text` has none.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "\xE2\x80\x99";  // a typographic apostrophe needs no escape in any of them
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out + "'";
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

// The pattern of every way but the root's, "codeq/task|codeq/task/create".
std::string ways(const std::vector<Place>& all, const char* between) {
  std::vector<std::string> out;
  for (const auto& place : all)
    if (place.way.find('/') != std::string::npos) out.push_back(place.way);
  return joined(out, between);
}

// Names of options whose next word is a value, so that it is not taken for a command.
std::vector<std::string> valued(const std::vector<Place>& all) {
  std::set<std::string> names;
  for (const auto& place : all)
    for (const auto* option : place.options)
      if (option->takes_value) names.insert(option->names.begin(), option->names.end());
  return {names.begin(), names.end()};
}

std::string bash(const std::vector<Place>& all) {
  std::string out = fmt::format(
      "# bash completion of codeq; load it with: source <(codeq completion bash)\n"
      "_codeq() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} at=codeq before= word i\n"
      "  local valued=' {} '\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${{COMP_WORDS[i]}}\n"
      "    [[ $word == -- ]] && return\n"
      "    if [[ $valued != *\" $before \"* ]]; then\n"
      "      case $at/$word in\n"
      "        {}) at=$at/$word ;;\n"
      "      esac\n"
      "    fi\n"
      "    before=$word\n"
      "  done\n"
      "  case \"$at $prev\" in\n",
      joined(valued(all), " "), ways(all, "|"));
  for (const auto& place : all)
    for (const auto* option : place.options) {
      if (!option->takes_value) continue;
      std::vector<std::string> patterns;
      for (const auto& name : option->names) patterns.push_back(fmt::format("\"{} {}\"", place.way, name));
      out += fmt::format("    {}) ", joined(patterns, "|"));
      if (!option->choices.empty())
        out += fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\")); ", quoted(joined(option->choices, " ")));
      out += "return ;;\n";
    }
  out += "  esac\n  case $at in\n";
  for (const auto& place : all) {
    std::vector<std::string> words;
    for (const auto& child : place.command->commands) words.push_back(child.name);
    for (const auto* option : place.options) words.insert(words.end(), option->names.begin(), option->names.end());
    out += fmt::format("    {}) COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n", place.way, quoted(joined(words, " ")));
  }
  return out + "  esac\n}\ncomplete -o default -F _codeq codeq\n";
}

// A colon ends the name in a list of _describe.
std::string described(std::string_view name, std::string_view help) { return quoted(fmt::format("{}:{}", name, help)); }

std::string zsh(const std::vector<Place>& all) {
  std::string out = fmt::format(
      "#compdef codeq\n"
      "# zsh completion of codeq; load it with: source <(codeq completion zsh)\n"
      "_codeq() {{\n"
      "  local at=codeq before= word i\n"
      "  local valued=' {} '\n"
      "  local -a commands options\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    word=${{words[i]}}\n"
      "    [[ $word == -- ]] && {{ _files; return }}\n"
      "    if [[ $valued != *\" $before \"* ]]; then\n"
      "      case $at/$word in\n"
      "        ({}) at=$at/$word ;;\n"
      "      esac\n"
      "    fi\n"
      "    before=$word\n"
      "  done\n"
      "  case \"$at $before\" in\n",
      joined(valued(all), " "), ways(all, "|"));
  for (const auto& place : all)
    for (const auto* option : place.options) {
      if (!option->takes_value) continue;
      std::vector<std::string> patterns;
      for (const auto& name : option->names) patterns.push_back(fmt::format("\"{} {}\"", place.way, name));
      out += fmt::format("    ({}) ", joined(patterns, "|"));
      out +=
          option->choices.empty() ? std::string("_files") : fmt::format("compadd -- {}", joined(option->choices, " "));
      out += "; return ;;\n";
    }
  out += "  esac\n  case $at in\n";
  for (const auto& place : all) {
    std::vector<std::string> commands, options;
    for (const auto& child : place.command->commands) commands.push_back(described(child.name, child.help));
    for (const auto* option : place.options)
      for (const auto& name : option->names) options.push_back(described(name, option->help));
    out += fmt::format("    ({})\n      commands=({})\n      options=({}) ;;\n", place.way, joined(commands, " "),
                       joined(options, " "));
  }
  return out +
         "  esac\n"
         "  (( $#commands )) && _describe command commands\n"
         "  _describe -o option options\n"
         "}\n"
         "if [[ ${funcstack[1]} == _codeq ]]; then _codeq \"$@\"; else compdef _codeq codeq; fi\n";
}

std::string fish(const std::vector<Place>& all) {
  std::string out = fmt::format(
      "# fish completion of codeq; load it with: codeq completion fish | source\n"
      "function __codeq_at\n"
      "  set -l at codeq\n"
      "  set -l before\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    if not contains -- \"$before\" {}\n"
      "      switch $at/$word\n"
      "        case {}\n"
      "          set at $at/$word\n"
      "      end\n"
      "    end\n"
      "    set before $word\n"
      "  end\n"
      "  echo $at\n"
      "end\n"
      "complete -c codeq -f\n",
      joined(valued(all), " "), ways(all, " "));
  for (const auto& place : all) {
    const auto here = fmt::format("complete -c codeq -n 'test (__codeq_at) = {}'", place.way);
    for (const auto& child : place.command->commands)
      out += fmt::format("{} -a {} -d {}\n", here, child.name, quoted(child.help));
    for (const auto* option : place.options) {
      out += here;
      for (const auto& name : option->names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (option->takes_value)
        out += option->choices.empty() ? std::string(" -r -F")
                                       : fmt::format(" -x -a {}", quoted(joined(option->choices, " ")));
      out += fmt::format(" -d {}\n", quoted(option->help));
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> completion_script(const CommandTree& tree, std::string_view shell) {
  const auto all = places(tree);
  if (shell == "bash") return bash(all);
  if (shell == "zsh") return zsh(all);
  if (shell == "fish") return fish(all);
  return std::nullopt;
}

}  // namespace codeq::app
