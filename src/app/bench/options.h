// What a run of `codeq bench` is told: against whom, with how many connections, at which pace, over which tasks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace codeq::app {

struct BenchTenant {
  std::string producer_token, worker_token;  // never printed
};

struct BenchOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  std::uint16_t producer_port = 9092, worker_port = 9091;  // of the streams
  std::string producer_token, worker_token;  // of the one tenant, where `tenants` is empty
  std::vector<BenchTenant> tenants;
  std::uint32_t producers = 8;  // connections
  std::uint32_t workers = 8;    // connections
  double seconds = 10;          // measured
  double warmup_seconds = 1;    // before that, not counted
  std::uint64_t tasks = 0;  // not 0: stop after so many completions, without a warm-up; for counting instructions
  std::uint32_t payload_bytes = 300;  // of each payload's JSON text; less than it needs (about 60) means what it needs
  std::uint32_t batch = 1;  // HTTP: 2..100 are the batch routes; streams: 2..1000 are the batch messages
  std::uint32_t window = 64;  // streams: creates that a producer has open, and credits that a worker has
  std::uint64_t backlog = 0;  // tasks that wait before the first is claimed, and all along
  // Closed loop: tasks created and not yet settled beside the backlog, at most. 0: 256; streams: `window` a producer.
  std::uint64_t outstanding = 0;
  double rate = 0;  // not 0: open loop, so many tasks per second, each with an instant that is fixed beforehand
  std::uint32_t priorities = 1;  // tasks take the priorities 0 to this less one in turn
  std::uint32_t delay_ms = 0;  // tasks are to be handed out so much later
  std::uint32_t queues = 1;  // tasks take the commands COMMAND-0, COMMAND-1, ... in turn
  std::uint32_t idle_polls = 0;  // HTTP: connections that wait for a command that nobody creates
  std::optional<int> server_pid;  // its CPU time, memory and writes are read from /proc
  std::string command = "BENCH";
  bool json = false;  // one JSON line instead of the table
  bool progress = false;  // a line per second on stderr
};

// "http://host:port" or "host:port". Errors: kInvalidArgument
Result<void> set_bench_url(std::string_view url, BenchOptions& options);

// Errors: kInvalidArgument, with what does not work. `batch_max`: of the routes or messages that are to be measured.
Result<void> check_bench(const BenchOptions& options, std::uint32_t batch_max);

// Its lines are "PRODUCER_TOKEN WORKER_TOKEN", one per tenant. Errors: kInvalidArgument
Result<std::vector<BenchTenant>> read_bench_tenants(std::string_view text);

std::uint32_t tenant_count(const BenchOptions& options);
const std::string& producer_token_of(const BenchOptions& options, std::uint32_t tenant);
const std::string& worker_token_of(const BenchOptions& options, std::uint32_t tenant);
std::string command_of(const BenchOptions& options, std::uint32_t queue);
// Worker w is of tenant w % tenants and shares the queues with that tenant's other workers, so that every queue has one.
std::vector<std::string> commands_of_worker(const BenchOptions& options, std::uint32_t worker);

}  // namespace codeq::app
