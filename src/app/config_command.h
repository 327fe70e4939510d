// `codeq config check|explain|docs`, and the settings in the words of other rooms.
#pragma once

#include "app/cli.h"
#include "app/config/load.h"
#include "services/auth.h"
#include "services/rate_limit.h"

namespace codeq::app {

services::AuthOptions auth_options(const Config& config);
services::RateLimits rate_limits(const Config& config);

// What to print and the exit status of the three config commands.
CliExit run_config_command(const Cli& cli, const GetEnv& getenv);

}  // namespace codeq::app
