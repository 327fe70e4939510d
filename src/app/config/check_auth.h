// The settings of tokens, made whole: providers that the identity* and worker* keys stand for. Internal to check.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/config/load.h"

namespace codeq::app {

std::string lower_trimmed(std::string_view text);
// "c.yaml:3: `key`: ", or without a place where the key was not set.
std::string where(const LoadedConfig& loaded, std::string_view key);

void settle_auth(LoadedConfig& loaded, std::vector<std::string>& wrong);

}  // namespace codeq::app
