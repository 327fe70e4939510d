// codeq bench grpc: creates, credits, tasks, results and acks as messages of the gRPC streams, single or in batches.
//
// Shape    one stream on each connection. A producer has up to `window` creates without an ack, a worker credits for
//          `window` tasks. A result is sent as soon as its task has come, and a new credit with it
// Errors   a refused create or result is counted by its reason; a stream that ends stays ended, and is counted
// Threads  one, the caller's
#pragma once

#include <iosfwd>

#include "app/bench/options.h"

namespace codeq::app {

inline constexpr std::uint32_t kGrpcBatchMax = 1000;

// Writes the report to `out`. 0: at least one task was completed and nothing failed; 1: otherwise; 2: `options` do not
// work or the server could not be reached.
int run_grpc_bench(const BenchOptions& options, std::ostream& out);

}  // namespace codeq::app
