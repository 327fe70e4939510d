// Runs a client command. The whole of `app/client` from outside, with arguments.h and options.h.
#pragma once

#include "app/client/arguments.h"
#include "app/config/load.h"

namespace codeq::app {

// The exit status.
int run_client(const ClientArguments& arguments, const GetEnv& getenv);

}  // namespace codeq::app
