// The settings as text: for `codeq config`, and for docs/configuration.md.
#pragma once

#include <string>
#include <string_view>

#include "app/config/load.h"
#include "base/result.h"

namespace codeq::app {

// Every effective value with its origin, then the warnings. Secrets are "***".
std::string check_text(const LoadedConfig& loaded);

// Of one key, by its YAML name or its variable, or of a whole mapping such as `raft`.
// Errors: kNotFound with the nearest name.
Result<std::string> explain_text(std::string_view name);

// The whole of docs/configuration.md.
std::string docs_markdown();

}  // namespace codeq::app
