// codeq bench http: create, claim and result as requests of their own, or the batch routes.
//
// Shape    every connection has one request under way. Producers create when the tally says so; workers claim with a long
//          poll (batches: again after 5 ms without a task), complete and claim again
// Latency  that of a claim includes the wait for a task
// Errors   an answer of 4xx or 5xx and a lost connection are counted, not fatal; it tries again after 100 ms
// Threads  one, the caller's
#pragma once

#include <iosfwd>

#include "app/bench/options.h"

namespace codeq::app {

inline constexpr std::uint32_t kHttpBatchMax = 100;

// Writes the report to `out`. 0: at least one task was completed and nothing failed; 1: otherwise; 2: `options` do not
// work or the server could not be reached.
int run_http_bench(const BenchOptions& options, std::ostream& out);

}  // namespace codeq::app
