// What the client commands were asked for on the command line. Filled by options.cc, read by the commands.
//
// Shape    an empty optional: not given, so that the environment, the profile and the defaults have their turn
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace codeq::app {

enum class ClientCommand : std::uint8_t {
  kInit,
  kAuthLogin,
  kAuthSet,
  kAuthShow,
  kAuthClear,
  kTaskCreate,
  kTaskGet,
  kTaskResult,
  kTaskList,
  kTaskCancel,
  kTaskTrace,
  kWorkerStart,
  kWorkerRun,
  kQueueInspect,
  kQueueList,
  kQueuePause,
  kQueueResume,
  kDlqList,
  kDlqRedrive,
  kDlqPurge,
  kInstall,
  kMigrateShards,
};

// Options of every client command.
struct ClientGlobals {
  std::optional<std::string> base_url, iam_base_url, iam_api_key, producer_token, worker_token, profile;
  std::optional<std::string> ca_file, client_cert, client_key;
  std::optional<bool> admin;
  bool json = false;
};

struct LoginArguments {
  std::string email, password;
  std::optional<std::string> url, method, content_type, payload, payload_file, token_path;
  std::vector<std::string> headers;  // "Name: value"
  std::optional<std::string> exchange_url, exchange_method, exchange_content_type, exchange_token_path;
  std::optional<std::string> audience, tenant_id;
  std::vector<std::string> scopes, exchange_headers;
  bool no_exchange = false;
  bool save = true;
};

struct CreateArguments {
  std::string event;
  std::optional<std::string> payload, payload_file;  // JSON text; the file "-" is stdin
  std::int64_t priority = 0;
  std::string webhook, idempotency_key, run_at;
  std::optional<std::int64_t> max_attempts, delay_seconds;
};

struct ListArguments {
  std::string command, state, trace_id, worker, since, until, cursor;
  std::int64_t limit = 50;
};

struct WorkerStartArguments {
  std::vector<std::string> events;
  int concurrency = 1;
  std::int64_t lease_seconds = 60;
  std::int64_t wait_seconds = 10;
  std::string ack = "abandon";
  std::int64_t nack_delay = 5;
};

struct WorkerRunArguments {
  std::vector<std::string> commands;
  std::vector<std::string> handler;  // the words after `--`
  int concurrency = 1;
  std::int64_t lease_seconds = 60;
  std::int64_t wait_seconds = 10;
  std::string on_error = "nack";
  std::int64_t nack_delay = 0;       // seconds; 0: the broker's back-off
  double timeout_seconds = 0;        // 0: none
  double kill_after_seconds = 10;
  double drain_seconds = 30;
  std::int64_t output_bytes_max = 1 << 20;
  std::int64_t tasks_max = 0;        // 0: no end
};

struct DeadLetterArguments {
  std::string command, reason, before, after, cursor;
  std::vector<std::string> ids;
  std::int64_t limit = 0;            // 0: the broker's
  std::int64_t rate = 0;             // tasks per second; 0: all at once
  bool dry_run = false;
  bool yes = false;
};

struct ClientArguments {
  ClientCommand command = ClientCommand::kInit;
  ClientGlobals globals;
  bool no_prompt = false;
  bool clear_producer = false, clear_worker = false, clear_all = false;
  std::string name;                  // of the task or the queue
  std::string reason;                // task cancel
  std::int64_t wait_seconds = 0;     // task result
  LoginArguments login;
  CreateArguments create;
  ListArguments list;
  WorkerStartArguments worker_start;
  WorkerRunArguments worker_run;
  DeadLetterArguments dead_letters;
};

}  // namespace codeq::app
