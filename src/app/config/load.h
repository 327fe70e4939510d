// Settings from three places: the environment over a YAML file over the defaults.
//
// Shape    an empty variable is not set; an empty YAML value is not set; unknown keys, duplicate keys, wrong types and
//          values out of range are refused, all of them in one message, with file:line or the variable's name
// Bounds   file of at most 1 MiB, 32 levels, one document, no aliases
// Errors   kInvalidArgument; the message begins "load config: " (the file cannot be read as YAML) or
//          "invalid config: config validation failed: " and never shows a secret's value
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/config.h"
#include "base/result.h"

namespace codeq::app {

using GetEnv = std::function<const char*(const char*)>;  // nullptr: not set. `::getenv` fits.

struct Origin {
  std::string where;  // "codeq.yaml:12" or "env PORT"
  std::string text;   // the value as written, for scalars; "***" for a secret
};

struct LoadedConfig {
  Config config;
  std::vector<std::string> warnings;                    // one start-up log line each
  std::map<std::string, Origin, std::less<>> origins;   // by key; absent: the default
  std::string file;                                     // empty: none was read
};

// `path`: --config. Without it CODEQ_CONFIG_PATH; a file named there that does not exist is a warning, as the reference
// starts then too. A missing `path` is an error.
Result<LoadedConfig> load_config(const std::optional<std::string>& path, const GetEnv& getenv);

// The same over text in memory; `file` names it in messages.
Result<LoadedConfig> load_config_text(std::string_view yaml, std::string file, const GetEnv& getenv);

// What `serve` needs beyond a valid file: someone must be able to authenticate. The error says how.
Result<void> check_ready_to_serve(const Config& config);

}  // namespace codeq::app
