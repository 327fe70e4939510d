// One broker without a network, in one thread: a partition on a log and a store on a disk that fails as it is told.
//
// Shape    a Machine outlives its processes; a Node is one process. The caller decides which part works next
// Errors   a failure of the disk ends the process: Died is thrown out of whatever was called, and `kill` must follow
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "disk/sim_disk.h"
#include "log/local/local_log.h"
#include "observe/sampler.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::sim {

struct Died {
  Error why;
};

// A uniform draw below `bound`, and one with so many percent.
inline std::uint64_t below(Rng& rng, std::uint64_t bound) { return rng.next() % bound; }
inline bool chance(Rng& rng, unsigned percent) { return rng.next() % 100 < percent; }

inline core::SpanContext random_context(Rng& rng) {
  core::SpanContext context;
  for (auto& byte : context.trace_id.bytes) byte = static_cast<std::uint8_t>(rng.next());
  for (auto& byte : context.span_id.bytes) byte = static_cast<std::uint8_t>(rng.next());
  context.flags = core::kFlagSampled;
  return context;
}

// What a history draws once, at its beginning.
struct Setup {
  bool on_rocks = false;
  std::uint64_t first_segment_bytes = 4096, segment_bytes = 16'384;
  std::size_t spare_segments = 1;
  std::uint64_t flush_every = 0;  // of the store in memory: it flushes by itself
  services::PartitionOptions partition;

  static Setup draw(Rng& rng, bool on_rocks);
  void widen(Rng& rng);  // what histories draw beyond that, with people who act from outside
};

struct Span {
  core::SpanContext context;
  core::SpanId parent;
  std::string name;
};

class Machine {
 public:
  Machine(const Setup& setup, std::uint64_t seed);
  void power_cut(Rng& rng);
  void process_killed();

  Setup setup;
  disk::SimDisk disk;
  ManualClock clock;
  SeededRng rng;  // the broker's own
  storage::MemoryStore rows;
  std::vector<Span> exported;  // by all processes

 private:
  int boots_ = 1;
};

// RocksDB has told of a failing disk since the last start. A broker ends at that moment; here RocksDB goes on for a while.
inline std::atomic<bool> rocks_has_failed = false;

class Node final : private services::WebhookSender {
 public:
  struct Sent {
    services::WebhookJob job;
    std::move_only_function<void(services::WebhookOutcome)> finished;
  };

  // `calls`: a webhook, or a call to a subscriber, leaves the broker.
  Node(Machine& machine, std::function<void(const services::WebhookJob&)> calls)
      : machine_(machine), calls_(std::move(calls)) {}
  ~Node() override { kill(); }
  Result<void> start();
  void stop();  // in good order; may throw Died
  void kill();  // nothing more happens, not even on the disk

  // One step of one part; false: there was nothing to do.
  enum class Part : std::uint8_t { kPartition, kCommitter, kImage, kReader };
  bool step(Part part);
  // Until nothing moves without time or a call. False: it does not come to rest.
  bool settle();

  [[nodiscard]] services::Partition& partition() { return *partition_; }
  [[nodiscard]] bool is_up() const { return partition_ != nullptr; }
  [[nodiscard]] bool failed() const { return failed_; }
  std::vector<Sent> webhooks;  // under way

 private:
  class Tracer;
  void send(services::WebhookJob job, std::move_only_function<void(services::WebhookOutcome)> finished) override {
    calls_(job);
    webhooks.push_back({std::move(job), std::move(finished)});
  }
  Result<void> open_store();

  Machine& machine_;
  std::function<void(const services::WebhookJob&)> calls_;
  std::atomic<bool> failed_ = false;
  bool dying_ = false;
  std::unique_ptr<log::LocalLog> log_;
  std::unique_ptr<storage::rocks::RocksStore> rocks_;
  std::unique_ptr<observe::Tracer> tracer_;
  observe::Metrics metrics_{"sim"};
  std::unique_ptr<services::Partition> partition_;
};

}  // namespace codeq::sim
