#include "app/client/run.h"

#include <fmt/format.h>

#include "app/client/commands.h"
#include "app/client/terminal.h"
#include "app/exit_codes.h"

namespace codeq::app {
namespace client {

int refuse(std::string_view text) {
  say_error(text);
  return kExitConfig;
}

std::optional<std::string> ask_broker(Context& context, Api::Call call) {
  HttpClient http({.ca_file = context.settings.ca_file,
                   .client_cert = context.settings.client_cert,
                   .client_key = context.settings.client_key});
  const auto trace = trace_of_environment(context.getenv);
  call.trace = &trace;
  auto answer = Api(context.settings, http).send(call);
  if (!answer) {
    say_error(answer.error().message);
    return std::nullopt;
  }
  if (answer->status >= 300) {
    say_error(refusal(*answer));
    return std::nullopt;
  }
  return std::move(answer->body);
}

namespace {

int no_such_thing(std::string_view what) {
  say_error(what);
  return kExitUnsupported;
}

bool writes_profile(ClientCommand command) {
  return command == ClientCommand::kInit || command == ClientCommand::kAuthLogin ||
         command == ClientCommand::kAuthSet || command == ClientCommand::kAuthClear;
}

bool makes_profile(ClientCommand command) {
  return command == ClientCommand::kInit || command == ClientCommand::kAuthLogin || command == ClientCommand::kAuthSet;
}

}  // namespace
}  // namespace client

int run_client(const ClientArguments& arguments, const GetEnv& getenv) {
  using namespace client;
  if (arguments.command == ClientCommand::kInstall)
    return no_such_thing(
        "`codeq install` is not here: one binary needs no bundle. Run `codeq dev` to try it, "
        "`codeq serve --config FILE` to serve; `codeq config docs` prints every setting");
  if (arguments.command == ClientCommand::kMigrateShards)
    return no_such_thing(
        "`codeq migrate-shards` is not here: there are no shards to move queues between. "
        "`codeq backup` and `codeq restore` move a data folder to another machine");
  auto path = profile_path(getenv);
  // Who has no home, as in a container, can still say everything by variables.
  if (!path && writes_profile(arguments.command)) return refuse(path.error().message);
  auto file = path ? ProfileFile::load(*path) : ProfileFile::parse("", "");
  if (!file) return refuse(file.error().message);
  auto settings = resolve(arguments.globals, *file, getenv, !makes_profile(arguments.command));
  if (!settings) return refuse(settings.error().message);
  Context context{.arguments = arguments,
                  .getenv = getenv,
                  .path = path.value_or(""),
                  .file = *std::move(file),
                  .settings = *std::move(settings)};
  switch (arguments.command) {
    case ClientCommand::kInit: return init(context);
    case ClientCommand::kAuthLogin: return auth_login(context);
    case ClientCommand::kAuthSet: return auth_set(context);
    case ClientCommand::kAuthShow: return auth_show(context);
    case ClientCommand::kAuthClear: return auth_clear(context);
    case ClientCommand::kTaskCreate:
    case ClientCommand::kTaskGet:
    case ClientCommand::kTaskResult:
    case ClientCommand::kTaskList:
    case ClientCommand::kTaskCancel:
    case ClientCommand::kTaskTrace: return task(context);
    case ClientCommand::kQueueInspect:
    case ClientCommand::kQueueList:
    case ClientCommand::kQueuePause:
    case ClientCommand::kQueueResume: return queue(context);
    case ClientCommand::kDlqList:
    case ClientCommand::kDlqRedrive:
    case ClientCommand::kDlqPurge: return dead_letters(context);
    case ClientCommand::kWorkerStart: return worker_start(context);
    case ClientCommand::kWorkerRun: return worker_run(context);
    case ClientCommand::kInstall:
    case ClientCommand::kMigrateShards: break;
  }
  return kExitInternal;
}

}  // namespace codeq::app
