// The two tokens of a development broker: made once per data folder, kept in it (0600), the same after a restart.
#pragma once

#include <filesystem>
#include <string>

#include "app/config/config.h"
#include "base/result.h"

namespace codeq::app {

struct DevTokens {
  std::string producer;
  std::string worker;
  // Sets static authentication with these tokens, both in the tenant "dev", the worker with every scope and command.
  void apply(Config& config) const;
};

// Errors: kIo, with the file.
Result<DevTokens> dev_tokens(const std::filesystem::path& folder);

}  // namespace codeq::app
