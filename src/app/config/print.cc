#include "app/config/print.h"

#include <algorithm>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "app/config/keys.h"
#include "app/config/suggest.h"

namespace codeq::app {
namespace {

std::string allowed(const Key& key) {
  constexpr auto kNoMax = std::numeric_limits<std::int64_t>::max();
  if (type_of(key) == KeyType::kChoice) return fmt::format("one of {}", fmt::join(choices_of(key), ", "));
  if (type_of(key) == KeyType::kFloat) return "number, 0 to 1";
  if (type_of(key) != KeyType::kInt) return std::string(type_name(key));
  std::string text = key.unit.empty() ? "integer" : fmt::format("integer ({})", key.unit);
  if (key.max != kNoMax) return text + fmt::format(", {} to {}", key.min, key.max);
  return key.min > 0 ? text + fmt::format(", at least {}", key.min) : text;
}

std::string variables(const Key& key) {
  std::string names = env_name(key.name);
  if (!key.other_env.empty()) names += fmt::format(", else {}", key.other_env);
  return names;
}

std::string_view status_text(KeyStatus status) {
  switch (status) {
    case KeyStatus::kUsed: return "";
    case KeyStatus::kLater: return "accepted; not used by this version";
    case KeyStatus::kIgnored: return "accepted and ignored";
    case KeyStatus::kRefused: return "`true` is refused";
  }
  return "";
}

std::string plain(std::string_view markdown) {
  std::string out(markdown);
  std::erase(out, '`');
  return out;
}

std::string explain(const Key& key) {
  std::string out = fmt::format("{}\n  variable  {}\n  value     {}\n", key.name, variables(key), plain(allowed(key)));
  if (const auto text = default_text(key); !text.empty()) out += fmt::format("  default   {}\n", plain(text));
  if (key.low_is_default && key.min > 0) out += fmt::format("  note      below {} the default is used\n", key.min);
  if (key.secret) out += "  note      a secret: it is never logged or printed\n";
  if (const auto status = status_text(key.status); !status.empty())
    out += fmt::format("  status    {}: {}\n", plain(status), key.advice);
  if (!key.help.empty()) out += fmt::format("\n  {}\n", plain(key.help));
  return out;
}

// A container key such as `persistenceConfig` is shown by its members.
bool is_shown(const Key& key, const LoadedConfig& loaded) {
  if (is_key_group(key.name)) return false;
  return key.status == KeyStatus::kUsed || loaded.origins.contains(key.name);
}

std::string value_of(const Key& key, const LoadedConfig& loaded) {
  const auto origin = loaded.origins.find(key.name);
  std::string text = value_text(key, loaded.config);
  if (key.secret) return text.empty() && origin == loaded.origins.end() ? "(none)" : "***";
  if (std::holds_alternative<std::monostate>(key.member) && origin != loaded.origins.end()) text = origin->second.text;
  if (text.empty()) return origin == loaded.origins.end() ? fmt::format("({})", plain(default_text(key))) : "\"\"";
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';  // one line, and nothing for the terminal to obey
  }
  return text;
}

}  // namespace

std::string check_text(const LoadedConfig& loaded) {
  std::string out = loaded.file.empty() ? "no file is read\n" : fmt::format("file {}\n", loaded.file);
  for (const KeyGroup& group : key_groups()) {
    std::string lines;
    for (const Key& key : group.keys) {
      if (!is_shown(key, loaded)) continue;
      const auto origin = loaded.origins.find(key.name);
      lines += fmt::format("  {:<34} {:<32} {}\n", key.name, value_of(key, loaded),
                           origin == loaded.origins.end() ? "default" : origin->second.where);
    }
    if (!lines.empty()) out += fmt::format("\n{}\n{}", group.title, lines);
  }
  if (!loaded.warnings.empty()) out += "\n";
  for (const std::string& warning : loaded.warnings) out += fmt::format("warning: {}\n", warning);
  return out;
}

Result<std::string> explain_text(std::string_view name) {
  if (const Key* key = find_key(name); key != nullptr && !is_key_group(name)) return explain(*key);
  std::string out;
  for (const std::string_view known : name.empty() ? std::span<const std::string_view>() : key_names()) {
    const bool inside = known.size() > name.size() && known.starts_with(name) && known[name.size()] == '.';
    const Key& key = *find_key(known);
    if (inside || known == name || name == env_name(known) || name == key.other_env)
      out += (out.empty() ? "" : "\n") + explain(key);
  }
  if (!out.empty()) return out;
  const auto near = nearest(name, key_names());
  return fail(Code::kNotFound,
              fmt::format("unknown key `{}`{}", name, near ? fmt::format("; did you mean `{}`?", *near) : ""));
}

std::string docs_markdown() {
  std::string out =
      "# Settings\n"
      "\n"
      "<!-- Made by `codeq config docs` from src/app/config/keys.cc; a test compares the two. -->\n"
      "\n"
      "A setting comes from its environment variable, else from the YAML file (`codeq serve --config FILE`, or the file that\n"
      "`CODEQ_CONFIG_PATH` names), else it has its default. An empty variable is not set. A dot in a key is one level of a YAML\n"
      "mapping. In variables a boolean is true if it is `true`, `yes` or `1` in any case, and false otherwise.\n"
      "\n"
      "Unknown keys, keys given twice, values of the wrong type or out of range are refused at the start, all of them in one\n"
      "message with file and line. `codeq config check` prints every value with its origin; `codeq config explain KEY` one entry\n"
      "of this page. A file has at most 1 MiB, 32 levels and one document, and no anchors or aliases.\n";
  for (const KeyGroup& group : key_groups()) {
    out += fmt::format("\n## {}\n\n| key | variable | value | default | |\n|---|---|---|---|---|\n", group.title);
    for (const Key& key : group.keys) {
      std::string help(key.help);
      if (const auto status = status_text(key.status); !status.empty()) {
        help += fmt::format("{}_{}{}._", help.empty() ? "" : " ", static_cast<char>(status[0] == 'a' ? 'A' : status[0]),
                            status.substr(1));
      }
      if (key.low_is_default && key.min > 0) help += fmt::format(" Below {} the default is used.", key.min);
      if (key.secret) help += " A secret: never logged.";
      std::string value = allowed(key);
      if (type_of(key) == KeyType::kChoice) value = fmt::format("`{}`", fmt::join(choices_of(key), "`, `"));
      std::string names = fmt::format("`{}`", env_name(key.name));
      if (!key.other_env.empty()) names += fmt::format(", else `{}`", key.other_env);
      out += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, names, value, default_text(key), help);
    }
  }
  return out;
}

}  // namespace codeq::app
