// Writes the bench's three requests, single or batch, into one buffer that is used again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/bench/options.h"
#include "app/bench/payload.h"

namespace codeq::app {

struct HeldTask {
  std::string id;
  std::int64_t counts_from_ns = 0;  // steady clock
  bool ours = false;                // made by this run, so that it counts
};

class BenchRequests {
 public:
  BenchRequests(const BenchOptions& options, std::string run);

  // Each is good until the next call. `counts_from_ns` is what latencies count from; `wall_ns` the same instant by the wall
  // clock, for delayed tasks.
  std::string_view create(std::int64_t counts_from_ns, std::int64_t wall_ns);
  std::string_view claim(std::uint32_t worker);
  std::string_view idle_claim();  // of a command that nobody creates, for as long as a claim may wait
  std::string_view result(std::uint32_t worker, const std::vector<HeldTask>& tasks);

 private:
  std::string_view finish(std::string_view path, const std::string& token);
  void add_task(std::int64_t counts_from_ns, std::int64_t wall_ns);
  const std::string& claim_body(std::uint32_t worker);

  const BenchOptions& options_;
  PayloadMaker payloads_;
  std::string host_;
  std::vector<std::string> producers_, workers_;  // header lines, by tenant
  std::vector<std::string> claim_bodies_;  // by worker, made when first asked for
  std::vector<std::string> commands_;  // by queue
  std::uint32_t next_queue_ = 0, next_tenant_ = 0, next_priority_ = 0;
  std::string body_, request_;
};

// RFC 3339 in UTC with milliseconds.
std::string rfc3339_ms(std::int64_t wall_ns);

}  // namespace codeq::app
