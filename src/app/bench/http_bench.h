// codeq bench http: how many full cycles (create, claim, result) a broker does per second, and what each one costs.
//
// Shape    a closed loop: every connection has one request under way. Producers create until `backlog` tasks are not yet
//          settled, and go on as results are acknowledged, so that the queue's length is a setting and not an accident.
// Counts   a cycle is counted when its result was acknowledged (200). Latency of a cycle: from the first byte of its create
//          to the last byte of its result's answer; that of a claim includes the wait for a task.
// Threads  one, the caller's; it returns when the time is up and what is under way has been settled (at most 5 s)
// Errors   an answer of 4xx or 5xx and a lost connection are counted, not fatal
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::app {

struct BenchOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  std::string producer_token, worker_token;  // never printed
  std::uint32_t producers = 8;  // connections
  std::uint32_t workers = 8;  // connections
  double seconds = 10;  // measured
  double warmup_seconds = 1;  // before that, not counted
  std::uint64_t cycles = 0;  // not 0: stop after so many, without a warm-up; for counting instructions
  std::uint32_t payload_bytes = 300;  // of each payload's JSON text; less than it needs (about 60) means what it needs
  std::uint32_t batch = 1;  // 2..100: the batch routes, so many tasks a request
  std::uint32_t backlog = 256;  // tasks created and not yet settled, at most; at least `batch`
  double rate = 0;  // creates per second over all producers; 0: as many as the backlog lets
  std::optional<int> server_pid;  // its CPU time is read from /proc
  std::string command = "BENCH";
  bool json = false;  // one JSON line instead of the table
  bool progress = true;  // a line per second on stderr
};

// "http://host:port" or "host:port". Errors: kInvalidArgument
Result<void> set_bench_url(std::string_view url, BenchOptions& options);

// Writes the report to `out`. 0: at least one cycle was acknowledged and nothing failed; 1: otherwise; 2: `options` do not
// work or the server could not be reached.
int run_http_bench(const BenchOptions& options, std::ostream& out);

}  // namespace codeq::app
