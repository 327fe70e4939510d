// The rules that look at more than one key, and the values that follow from others. Used by load.cc alone.
#pragma once

#include <string>
#include <vector>

#include "app/config/load.h"

namespace codeq::app {

// Settles `durability`, `data_path` and the like, and says what does not go together.
void settle(LoadedConfig& loaded, std::vector<std::string>& wrong);

}  // namespace codeq::app
