// The client commands as a command line: names, flags, help.
#pragma once

#include <functional>

#include "app/client/arguments.h"

namespace CLI {
class App;
}

namespace codeq::app {

// `out` and `chosen` are used while `app` parses; `chosen` says that a client command was named.
void add_client_commands(CLI::App& app, ClientArguments& out, std::function<void()> chosen);

}  // namespace codeq::app
