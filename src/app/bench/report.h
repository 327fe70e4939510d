// What a bench run found, and how it is printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/bench/options.h"
#include "app/bench/server_figures.h"
#include "app/bench/tally.h"

namespace codeq::app {

struct BenchReport {
  std::string bench;                   // "http", "grpc"
  std::uint64_t outstanding_max = 0;   // of a closed loop, beside the backlog
  double seconds = 0;                  // measured
  std::optional<double> fill_seconds;  // of the backlog
  ServerSnapshot before, after;        // of the measured part
  std::int64_t client_cpu_us = 0;      // of this process, in the measured part
  std::string durability = "unknown";
  std::string sampling = "unknown";
};

std::string report_text(const BenchOptions& options, const Tally& tally, const BenchReport& report);
// One line, no newline.
std::string report_json(const BenchOptions& options, const Tally& tally, const BenchReport& report);

}  // namespace codeq::app
