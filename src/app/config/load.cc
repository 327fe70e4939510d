#include "app/config/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "app/config/assign.h"
#include "app/config/check.h"
#include "app/config/suggest.h"

namespace codeq::app {
namespace {

using Values = std::map<std::string, Written, std::less<>>;
using Messages = std::vector<std::string>;

constexpr std::size_t kComplaintsMax = 20;  // said in full; a file of nonsense shall not make a message as long
constexpr std::string_view kStoreKey = "persistenceConfig";

const char* variable(const GetEnv& getenv, const std::string& name) {
  const char* value = getenv(name.c_str());
  return value != nullptr && *value != '\0' ? value : nullptr;
}

std::string unknown_key(std::string_view where, std::string_view name) {
  auto near = nearest(name, key_names());
  if (!near) {  // perhaps right but for its mapping: `path` for `persistenceConfig.path`
    for (const std::string_view known : key_names()) {
      const std::size_t dot = known.rfind('.');
      if (dot != std::string_view::npos && known.substr(dot + 1) == name) near = known;
    }
  }
  constexpr std::size_t kShownMax = 80;
  return fmt::format("{}: unknown key `{}`{}", where, name.substr(0, kShownMax),
                     near ? fmt::format("; did you mean `{}`?", *near) : "");
}

// Sorts a mapping's leaves by their dotted names.
class Collector {
 public:
  Collector(Values& values, Messages& wrong) : values_(values), wrong_(wrong) {}

  void mapping(const Tree& tree, const std::string& prefix, const std::string& file, bool from_env) {
    for (std::size_t i = 0; i < tree.items.size(); ++i) {
      const std::string name = prefix + tree.keys[i];
      const std::string where = from_env ? file : fmt::format("{}:{}", file, tree.key_lines[i]);
      entry(name, tree.items[i], where, file, from_env);
    }
  }

 private:
  void entry(const std::string& name, const Tree& value, const std::string& where, const std::string& file,
             bool from_env) {
    const Key* key = find_key(name);
    const bool group = is_key_group(name);
    if (key == nullptr && !group) {
      wrong_.push_back(wrong_.size() < kComplaintsMax ? unknown_key(where, name) : "");
    } else if (const auto [seen, fresh] = seen_.emplace(name, where); !fresh) {
      wrong_.push_back(fmt::format("{}: `{}` is given twice, first at {}", where, name, seen->second));
    } else if (value.kind == Tree::Kind::kNull) {
      // `port:` with nothing after it is not set.
    } else if (!group) {
      values_.insert_or_assign(name, Written{value, from_env, where});
    } else if (value.kind == Tree::Kind::kMapping) {
      mapping(value, name + ".", file, from_env);
    } else if (key != nullptr && value.kind == Tree::Kind::kScalar) {
      json_text(name, value, where, from_env);
    } else {
      wrong_.push_back(fmt::format("{}: `{}`: a mapping is expected", where, name));
    }
  }

  void json_text(const std::string& name, const Tree& value, const std::string& where, bool from_env) {
    const auto tree = parse_json(value.text, value.line);
    if (!tree) {
      wrong_.push_back(fmt::format("{}: `{}`: {}", where, name, tree.error().message));
    } else if (tree->kind != Tree::Kind::kMapping) {
      wrong_.push_back(fmt::format("{}: `{}`: a mapping is expected", where, name));
    } else if (from_env) {
      mapping(*tree, name + ".", where, true);
    } else {
      mapping(*tree, name + ".", where.substr(0, where.rfind(':')), false);
    }
  }

  Values& values_;
  Messages& wrong_;
  std::map<std::string, std::string> seen_;
};

void add_environment(const GetEnv& getenv, Values& values, Messages& wrong) {
  if (const char* text = variable(getenv, env_name(kStoreKey))) {
    std::erase_if(values, [](const auto& value) { return value.first.starts_with("persistenceConfig."); });
    Tree tree{.kind = Tree::Kind::kMapping, .keys = {std::string(kStoreKey)}, .key_lines = {0}};
    tree.items.push_back(Tree{.kind = Tree::Kind::kScalar, .quoted = true, .text = text});
    Collector(values, wrong).mapping(tree, "", fmt::format("env {}", env_name(kStoreKey)), true);
  }
  for (const KeyGroup& group : key_groups()) {
    for (const Key& key : group.keys) {
      if (is_key_group(key.name)) continue;
      std::string name = env_name(key.name);
      const char* text = variable(getenv, name);
      if (text == nullptr && !key.other_env.empty()) {
        name = key.other_env;
        text = variable(getenv, name);
      }
      if (text == nullptr) continue;
      Tree value{.kind = Tree::Kind::kScalar, .quoted = true, .text = text};
      values.insert_or_assign(std::string(key.name), Written{std::move(value), true, "env " + name});
    }
  }
}

bool is_on(const Key& key, const Config& config) {
  const std::string text = value_text(key, config);
  return std::holds_alternative<std::monostate>(key.member) || (text != "0" && !text.empty());
}

Origin origin_of(const Key& key, const Written& written) {
  const bool scalar = written.value.kind == Tree::Kind::kScalar;
  return Origin{written.where, key.secret ? "***" : scalar ? written.value.text : to_json(written.value)};
}

void apply(const Values& values, LoadedConfig& loaded, Messages& wrong) {
  std::map<std::string_view, std::vector<std::string>> by_advice;  // one log line for all keys that it is true of
  for (const KeyGroup& group : key_groups()) {
    for (const Key& key : group.keys) {
      const auto found = values.find(key.name);
      if (found == values.end()) continue;
      const Written& written = found->second;
      const std::string place = fmt::format("{}: `{}`: ", written.where, key.name);
      std::string note;
      if (auto why = assign(key, written, loaded.config, note)) {
        // A value that nobody reads stops nobody.
        if (key.status != KeyStatus::kIgnored) wrong.push_back(place + *why);
        continue;
      }
      if (!note.empty()) loaded.warnings.push_back(place + note);
      loaded.origins.emplace(key.name, origin_of(key, written));
      if (key.status == KeyStatus::kRefused) {
        const auto on = is_true(key, written);
        if (!on || *on)
          wrong.push_back(fmt::format("{}{}", place, on ? std::string(key.advice) : "neither true nor false"));
      } else if (key.status != KeyStatus::kUsed && is_on(key, loaded.config)) {
        by_advice[key.advice].push_back(fmt::format("{} ({})", key.name, written.where));
      }
    }
  }
  for (const auto& [advice, keys] : by_advice) {
    loaded.warnings.push_back(fmt::format("{}: {}", fmt::join(keys, ", "), advice));
  }
}

std::string joined(const Messages& wrong) {
  const std::size_t shown = std::min(wrong.size(), kComplaintsMax);
  std::string all =
      fmt::format("{}", fmt::join(wrong.begin(), wrong.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  if (shown < wrong.size()) all += fmt::format("; and {} more", wrong.size() - shown);
  return all;
}

Result<std::string> read_file(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return fail(errno == ENOENT ? Code::kNotFound : Code::kInvalidArgument,
                fmt::format("load config: {}: {}", path, std::strerror(errno)));
  }
  if (S_ISDIR(info.st_mode)) return fail(Code::kInvalidArgument, fmt::format("load config: {} is a folder", path));
  std::ifstream file(path, std::ios::binary);
  std::string text(kConfigBytesMax + 1, '\0');  // one more than allowed, so that parse_yaml sees what is too much
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (!file.eof() && file.fail())) {
    return fail(Code::kInvalidArgument, fmt::format("load config: {} cannot be read", path));
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

}  // namespace

Result<LoadedConfig> load_config_text(std::string_view yaml, std::string file, const GetEnv& getenv) {
  LoadedConfig loaded;
  Values values;
  Messages wrong;

  const auto tree = parse_yaml(yaml);
  if (!tree) return fail(Code::kInvalidArgument, fmt::format("load config: {}: {}", file, tree.error().message));
  if (tree->kind == Tree::Kind::kMapping) {
    Collector(values, wrong).mapping(*tree, "", file, false);
  } else if (tree->kind != Tree::Kind::kNull) {
    return fail(Code::kInvalidArgument, fmt::format("load config: {}: a mapping of keys is expected", file));
  }
  loaded.file = std::move(file);

  add_environment(getenv, values, wrong);
  apply(values, loaded, wrong);
  settle(loaded, wrong);
  if (!wrong.empty()) return fail(Code::kInvalidArgument, "invalid config: config validation failed: " + joined(wrong));
  return loaded;
}

Result<LoadedConfig> load_config(const std::optional<std::string>& path, const GetEnv& getenv) {
  const char* named = variable(getenv, "CODEQ_CONFIG_PATH");
  if (!path && named == nullptr) return load_config_text("", "", getenv);
  const std::string file = path ? *path : std::string(named);
  auto text = read_file(file);
  if (!text && !path && text.error().code == Code::kNotFound) {
    CODEQ_TRY(auto loaded, load_config_text("", "", getenv));
    loaded.warnings.push_back(
        fmt::format("CODEQ_CONFIG_PATH names {}, which does not exist; starting without a file", file));
    return loaded;
  }
  if (!text) return fail(Code::kInvalidArgument, text.error().message);
  return load_config_text(*text, file, getenv);
}

}  // namespace codeq::app
