// One function per group of client commands. Each returns the process's exit status.
#pragma once

#include "app/client/api.h"
#include "app/client/arguments.h"
#include "app/client/profile.h"

namespace codeq::app::client {

struct Context {
  const ClientArguments& arguments;
  const GetEnv& getenv;
  std::filesystem::path path;  // of the profile file
  ProfileFile file;
  Settings settings;
};

int init(Context& context);
int auth_login(Context& context);
int auth_set(Context& context);
int auth_show(Context& context);
int auth_clear(Context& context);
int task(Context& context);   // create, get, result, list, cancel, trace
int queue(Context& context);  // inspect, list, pause, resume
int dead_letters(Context& context);
int worker_start(Context& context);
int worker_run(Context& context);

int refuse(std::string_view text);  // says it; kExitConfig

// Sends it, with the trace of the calling process. The body of an answer below 300; otherwise it has been said why not.
std::optional<std::string> ask_broker(Context& context, Api::Call call);

}  // namespace codeq::app::client
