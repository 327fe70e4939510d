#include "app/client/options.h"

#include <CLI/CLI.hpp>

namespace codeq::app {
namespace {

constexpr const char* kGroup = "Client options";

struct Builder {
  CLI::App& app;
  ClientArguments& out;
  std::function<void()> chosen;

  // Every client command takes the client options as well, wherever they stand.
  CLI::App* group(const char* name, const char* help) {
    CLI::App* made = app.add_subcommand(name, help);
    made->require_subcommand(1);
    made->fallthrough();
    return made;
  }
  CLI::App* command(CLI::App* parent, const char* name, const char* help, ClientCommand which) {
    CLI::App* made = parent->add_subcommand(name, help);
    made->fallthrough();
    made->callback([this_out = &out, tell = chosen, which] {
      this_out->command = which;
      tell();
    });
    return made;
  }
};

// std::optional members, which stay empty where the flag is not given.
template <class T>
CLI::Option* optional(CLI::App* command, const char* name, std::optional<T>& out, const char* help) {
  return command->add_option_function<T>(name, [&out](const T& value) { out = value; }, help);
}

template <class T>
CLI::Option* repeated(CLI::App* command, const char* name, std::vector<T>& out, const char* help) {
  return command->add_option(name, out, help)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_globals(CLI::App& app, ClientGlobals& out) {
  const auto text = [&](const char* name, std::optional<std::string>& field, const char* type, const char* help) {
    optional(&app, name, field, help)->type_name(type)->group(kGroup);
  };
  text("--base-url", out.base_url, "URL", "The broker (CODEQ_BASE_URL; http://localhost:8080)");
  text("--iam-base-url", out.iam_base_url, "URL", "The identity service (CODEQ_IAM_BASE_URL)");
  text("--iam-api-key", out.iam_api_key, "KEY", "Its API key (CODEQ_IAM_API_KEY)");
  text("--producer-token", out.producer_token, "TOKEN", "Bearer token of producers (CODEQ_PRODUCER_TOKEN)");
  text("--worker-token", out.worker_token, "TOKEN", "Bearer token of workers (CODEQ_WORKER_TOKEN)");
  text("--profile", out.profile, "NAME", "Profile of the profile file (CODEQ_PROFILE; its current one, else default)");
  text("--ca-file", out.ca_file, "FILE", "Certificates to trust with https, PEM (CODEQ_CA_FILE; the system's)");
  text("--client-cert", out.client_cert, "FILE", "Certificate of ours for mutual TLS, PEM (CODEQ_CLIENT_CERT)");
  text("--client-key", out.client_key, "FILE", "Its key, PEM (CODEQ_CLIENT_KEY)");
  app.add_flag_function(
         "--admin", [&out](std::int64_t count) { out.admin = count > 0; }, "Send X-Role: ADMIN (CODEQ_ADMIN=1)")
      ->group(kGroup);
  app.add_flag("--json", out.json, "Print JSON")->group(kGroup);
}

void add_auth(Builder& builder) {
  auto& out = builder.out;
  CLI::App* init =
      builder.command(&builder.app, "init", "Write a profile: which broker, which tokens", ClientCommand::kInit);
  init->add_flag("--no-prompt", out.no_prompt, "Ask nothing");
  CLI::App* auth = builder.group("auth", "Tokens of a profile: log in, set, show, clear");
  CLI::App* login =
      builder.command(auth, "login", "Log in at the identity service and keep the token", ClientCommand::kAuthLogin);
  auto& l = out.login;
  login->add_option("--email", l.email, "E-mail address")->type_name("TEXT");
  login->add_option("--password", l.password, "Password (asked for on a terminal)")->type_name("TEXT");
  optional(login, "--login-url", l.url, "Template of the login's URL")->type_name("URL");
  optional(login, "--method", l.method, "Its method (POST)");
  optional(login, "--content-type", l.content_type, "Its content type (application/json)");
  optional(login, "--payload", l.payload, "Template of its body");
  optional(login, "--payload-file", l.payload_file, "The same from a file; -: stdin")->type_name("FILE");
  optional(login, "--token-path", l.token_path, "Where its answer has the token (idToken)");
  repeated(login, "--header", l.headers, "\"Name: value\" to send along; may be repeated");
  optional(login, "--exchange-url", l.exchange_url, "Template of the exchange's URL")->type_name("URL");
  optional(login, "--exchange-method", l.exchange_method, "Its method (POST)");
  optional(login, "--exchange-content-type", l.exchange_content_type, "Its content type (application/json)");
  optional(login, "--exchange-token-path", l.exchange_token_path, "Where its answer has the token (accessToken)");
  optional(login, "--audience", l.audience, "Audience to ask for (codeq-producer)");
  optional(login, "--tenant-id", l.tenant_id, "Tenant to ask for");
  repeated(login, "--scope", l.scopes, "Scope to ask for; may be repeated");
  repeated(login, "--exchange-header", l.exchange_headers, "\"Name: value\" to send along; may be repeated");
  login->add_flag("--no-exchange", l.no_exchange, "Keep the login's own token");
  login->add_flag("--save,!--no-save", l.save, "Keep the token in the profile; --save=false prints it instead");
  login->add_flag("--no-prompt", out.no_prompt, "Ask nothing");
  login->footer(
      "Templates know {{email}}, {{password}}, {{apiKey}}, {{iamBaseUrl}}, and the exchange's {{idToken}}, {{audience}},\n"
      "{{tenantId}}, {{scopes}}; what is filled in is escaped for its place. See docs/cli.md.");
  builder.command(auth, "set", "Set --producer-token, --worker-token or --admin in a profile", ClientCommand::kAuthSet);
  builder.command(auth, "show", "What would be used, tokens masked", ClientCommand::kAuthShow);
  CLI::App* clear = builder.command(auth, "clear", "Forget tokens of a profile", ClientCommand::kAuthClear);
  clear->add_flag("--producer", out.clear_producer, "The producer's");
  clear->add_flag("--worker", out.clear_worker, "The worker's");
  clear->add_flag("--all", out.clear_all, "All (the default)");
}

CLI::Option* add_id(CLI::App* command, ClientArguments& out, const char* what) {
  return command->add_option(what, out.name, "")->required();
}

void add_task(Builder& builder) {
  auto& out = builder.out;
  CLI::App* task = builder.group("task", "Create tasks and look at them");
  CLI::App* create = builder.command(task, "create", "Create a task", ClientCommand::kTaskCreate);
  auto& c = out.create;
  create->add_option("--event,--command", c.event, "Command of the task")->required()->type_name("NAME");
  optional(create, "--payload", c.payload, "JSON, sent byte for byte")->type_name("JSON");
  optional(create, "--payload-file", c.payload_file, "The same from a file; -: stdin")->type_name("FILE");
  create->add_option("--priority", c.priority, "0 to 9, 9 first")->type_name("N")->capture_default_str();
  create->add_option("--webhook", c.webhook, "Where the result is sent")->type_name("URL");
  optional(create, "--max-attempts", c.max_attempts, "Deliveries before it is dead")->type_name("N");
  create->add_option("--idempotency-key", c.idempotency_key, "The same key again: the same task")->type_name("TEXT");
  create->add_option("--run-at", c.run_at, "Not before, RFC 3339")->type_name("TIME");
  optional(create, "--delay-seconds", c.delay_seconds, "Not before so many seconds have passed")->type_name("N");
  create->footer("A valid TRACEPARENT (TRACESTATE, BAGGAGE) in the environment is the new task's trace context.");
  add_id(builder.command(task, "get", "Print a task", ClientCommand::kTaskGet), out, "ID");
  CLI::App* result = builder.command(task, "result", "Print a task and its result", ClientCommand::kTaskResult);
  add_id(result, out, "ID");
  result->add_option("--wait-seconds", out.wait_seconds, "Wait for it, at most 60 s")
      ->check(CLI::Range(0, 60))
      ->type_name("N")
      ->capture_default_str();
  CLI::App* list = builder.command(task, "list", "List tasks, newest first", ClientCommand::kTaskList);
  auto& l = out.list;
  list->add_option("--command,--event", l.command, "Of this command")->type_name("NAME");
  list->add_option("--state", l.state, "ready, delayed, leased, completed, failed or dead")->type_name("STATE");
  list->add_option("--trace-id", l.trace_id, "Of this trace")->type_name("HEX");
  list->add_option("--worker", l.worker, "Held by this worker now, or last")->type_name("NAME");
  list->add_option("--since", l.since, "Created at or after, RFC 3339")->type_name("TIME");
  list->add_option("--until", l.until, "Created before, RFC 3339")->type_name("TIME");
  list->add_option("--limit", l.limit, "Tasks of a page")
      ->check(CLI::Range(1, 200))
      ->type_name("N")
      ->capture_default_str();
  list->add_option("--cursor", l.cursor, "The page after this one's `more`")->type_name("TEXT");
  CLI::App* cancel = builder.command(task, "cancel", "End a task that has not finished", ClientCommand::kTaskCancel);
  add_id(cancel, out, "ID");
  cancel->add_option("--reason", out.reason, "Kept in the task's error")->type_name("TEXT");
  add_id(builder.command(task, "trace", "Draw a task's trace as a waterfall", ClientCommand::kTaskTrace), out, "ID");
}

template <class T>
void add_claim_options(CLI::App* command, T& w) {
  command->add_option("--concurrency", w.concurrency, "Tasks at the same time")
      ->check(CLI::Range(1, 1024))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--lease-seconds", w.lease_seconds, "Lease of a claim")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{604'800}))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--wait-seconds", w.wait_seconds, "How long a claim waits for a task")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{30}))
      ->type_name("N")
      ->capture_default_str();
}

void add_worker(Builder& builder) {
  CLI::App* worker = builder.group("worker", "Work on tasks");
  auto& s = builder.out.worker_start;
  CLI::App* start = builder.command(worker, "start", "Claim tasks and settle each at once, to try things out",
                                    ClientCommand::kWorkerStart);
  repeated(start, "--events", s.events, "Commands to claim, separated by commas")
      ->required()
      ->delimiter(',')
      ->type_name("LIST");
  add_claim_options(start, s);
  start->add_option("--ack", s.ack, "What is done with each")
      ->check(CLI::IsMember({"complete", "abandon", "nack", "none"}))
      ->capture_default_str();
  start->add_option("--nack-delay", s.nack_delay, "Of a nack")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS")
      ->capture_default_str();

  auto& r = builder.out.worker_run;
  CLI::App* run = builder.command(worker, "run", "Work on tasks with a program of yours: ... -- ./handler ARGS",
                                  ClientCommand::kWorkerRun);
  repeated(run, "--command,--event", r.commands, "Command to claim; may be repeated")
      ->required()
      ->delimiter(',')
      ->type_name("NAME");
  add_claim_options(run, r);
  run->add_option("--on-error", r.on_error,
                  "What a failed handler means: retried later, failed for good, or put back at once")
      ->check(CLI::IsMember({"nack", "fail", "abandon"}))
      ->capture_default_str();
  run->add_option("--nack-delay", r.nack_delay, "Before the next attempt; 0: the broker's back-off")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS")
      ->capture_default_str();
  run->add_option("--timeout", r.timeout_seconds, "For one run of the handler; 0: none")
      ->check(CLI::Range(0.0, 604'800.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  run->add_option("--kill-after", r.kill_after_seconds, "Between SIGTERM and SIGKILL")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  run->add_option("--drain-seconds", r.drain_seconds, "For the handlers to finish after SIGTERM or SIGINT")
      ->check(CLI::Range(0.0, 86'400.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  run->add_option("--max-output-bytes", r.output_bytes_max, "Of a handler's output; more is an error")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{16} << 20))
      ->type_name("N")
      ->capture_default_str();
  run->add_option("--max-tasks", r.tasks_max, "End after so many; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N")
      ->capture_default_str();
  run->footer(
      "The payload comes on the handler's stdin. Its stdout is the result: a JSON object, or any text as {\"output\": text}.\n"
      "Handler's exit status 0: completed. 75: retried after --nack-delay. Anything else: --on-error.\n"
      "Its environment has TRACEPARENT, TRACESTATE, BAGGAGE, CODEQ_TASK_ID, CODEQ_COMMAND, CODEQ_ATTEMPT, CODEQ_BASE_URL.\n"
      "SIGTERM or SIGINT drains, a second one ends at once; either way status 0.");
}

void add_queue(Builder& builder) {
  auto& out = builder.out;
  CLI::App* queue = builder.group("queue", "Look at queues, pause and resume them (an admin's token)");
  add_id(builder.command(queue, "inspect", "How deep a queue is", ClientCommand::kQueueInspect), out, "EVENT");
  builder.command(queue, "list", "All queues", ClientCommand::kQueueList);
  add_id(builder.command(queue, "pause", "Let claims find nothing in a queue", ClientCommand::kQueuePause), out,
         "EVENT");
  add_id(builder.command(queue, "resume", "End a pause", ClientCommand::kQueueResume), out, "EVENT");
}

void add_filter(CLI::App* command, DeadLetterArguments& d) {
  command->add_option("--command,--event", d.command, "Of this command")->type_name("NAME");
  command->add_option("--reason", d.reason, "Whose error begins so")->type_name("TEXT");
  command->add_option("--after", d.after, "Dead since, RFC 3339")->type_name("TIME");
  command->add_option("--before", d.before, "Dead before, RFC 3339")->type_name("TIME");
  command->add_option("--limit", d.limit, "At most so many")->check(CLI::PositiveNumber)->type_name("N");
}

void add_dlq(Builder& builder) {
  auto& d = builder.out.dead_letters;
  CLI::App* dlq = builder.group("dlq", "Dead-lettered tasks: list, redrive, purge (an admin's token)");
  CLI::App* list = builder.command(dlq, "list", "List them", ClientCommand::kDlqList);
  add_filter(list, d);
  list->add_option("--cursor", d.cursor, "The page after this one's `more`")->type_name("TEXT");
  CLI::App* redrive = builder.command(dlq, "redrive", "Put them back into their queues", ClientCommand::kDlqRedrive);
  add_filter(redrive, d);
  repeated(redrive, "--id", d.ids, "This task; may be repeated")->type_name("ID");
  redrive->add_option("--rate", d.rate, "Tasks per second")->check(CLI::PositiveNumber)->type_name("N");
  redrive->add_flag("--dry-run", d.dry_run, "Only count");
  CLI::App* purge = builder.command(dlq, "purge", "Delete them", ClientCommand::kDlqPurge);
  add_filter(purge, d);
  repeated(purge, "--id", d.ids, "This task; may be repeated")->type_name("ID");
  purge->add_flag("--dry-run", d.dry_run, "Only count");
  purge->add_flag("--yes", d.yes, "Really delete");
}

void add_absent(Builder& builder) {
  for (const auto& [name, which] :
       {std::pair{"install", ClientCommand::kInstall}, std::pair{"migrate-shards", ClientCommand::kMigrateShards}}) {
    CLI::App* command =
        builder.command(&builder.app, name, "Of the reference; says what to do instead (status 69)", which);
    command->fallthrough(false);  // else what it does not know would be looked for above it
    command->allow_extras();
    command->group("");  // not in the list
  }
}

}  // namespace

void add_client_commands(CLI::App& app, ClientArguments& out, std::function<void()> chosen) {
  Builder builder{app, out, std::move(chosen)};
  // As in the reference: of a flag that is given twice the last counts.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_globals(app, out.globals);
  add_auth(builder);
  add_task(builder);
  add_worker(builder);
  add_queue(builder);
  add_dlq(builder);
  add_absent(builder);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
}

}  // namespace codeq::app
