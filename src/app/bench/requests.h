// Writes the bench's three requests, single or batch, into one buffer that is used again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/bench/http_bench.h"

namespace codeq::app {

struct HeldTask {
  std::string id;
  std::int64_t created_ns = 0;
  bool ours = false;            // made by this run, so that it counts
};

class BenchRequests {
 public:
  // `run` marks the payloads of this run; letters and digits.
  BenchRequests(const BenchOptions& options, std::string run);

  // Each is good until the next call.
  std::string_view create(std::int64_t now_ns);
  std::string_view claim();
  std::string_view result(const std::vector<HeldTask>& tasks);
  std::string_view metrics();

 private:
  std::string_view finish(std::string_view path, const std::string& token);
  void add_task(std::int64_t now_ns);

  std::string host_, producer_, worker_;  // header lines
  std::string command_, run_, fill_;
  std::string claim_body_;
  std::uint32_t batch_;
  std::string body_, request_;
};

}  // namespace codeq::app
