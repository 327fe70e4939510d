// One run of a bench: its phases in order, a line while it runs, the figures of the server around the measured part.
//
// Threads  one, the caller's; it returns when the time is up and what is open has been settled (at most 5 s and the delay)
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "app/bench/connection.h"
#include "app/bench/options.h"
#include "app/bench/tally.h"
#include "base/clock.h"
#include "base/result.h"

namespace codeq::app {

// What makes the load.
class BenchEngine {
 public:
  virtual ~BenchEngine() = default;
  virtual Result<void> connect() = 0;  // everything; may block for some seconds. Errors: kUnavailable, kInvalidArgument
  virtual void turn(std::int64_t now_ns,
                    std::int64_t until_ns) = 0;  // what can be done now, after a wait until then at most
  [[nodiscard]] virtual bool alive() const = 0;  // false: it cannot go on, and what happened is in the tally's errors
};

// Writes the report to `out`. 0: at least one task was completed and nothing failed; 1: otherwise; 2: could not connect.
int run_bench(const std::string& name, const BenchOptions& options, std::uint64_t outstanding, BenchEngine& engine,
              Tally& tally, std::ostream& out);

// The server's page of metrics; empty where there is none within two seconds.
std::string scrape_metrics(const BenchOptions& options);

}  // namespace codeq::app
