// Counters of the broker and their page in Prometheus' text format.
//
// Source   Prometheus exposition formats, text version 0.0.4; the families of the reference (its ten keep their names)
// Labels   a caller chooses the command, so at most kCommandsMax of them get label values of their own, first come first
//          served; the rest are counted under "other". A label set appears only after its first event.
// Threads  any. Cost: an increment is one look-up under one mutex, 20-50 ns; the page is built under it
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "observe/span.h"

namespace codeq::observe {

inline constexpr std::size_t kCommandsMax = 200;
inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// What is read at the time of the page instead of counted.
struct Gauges {
  struct Queue {  // of one command; the same command of several tenants is summed up here
    std::string command;
    std::uint64_t ready = 0, delayed = 0, in_progress = 0, dlq = 0;
  };
  std::vector<Queue> queues;
  std::vector<std::pair<std::string, std::uint64_t>> subscriptions;  // by command
  struct Tls {  // of one listener
    std::string listener;  // http, streams
    std::uint64_t handshakes = 0, handshakes_failed = 0, reloads = 0, reloads_failed = 0;
    std::uint64_t not_after_s = 0;  // since the epoch
  };
  std::vector<Tls> tls;  // empty: none, and then no family of it
  TracerStats spans;
  std::uint64_t disk_syncs = 0;
  std::string durability;  // sync, interval or none
  std::string sampling;  // off, view or the ratio
};

class Metrics {
 public:
  enum class Finish : std::uint8_t { kCompleted, kFailed };
  enum class Webhook : std::uint8_t { kTaskResult, kQueueReady };
  enum class Delivery : std::uint8_t { kSuccess, kFailure, kDropped };  // dropped: never sent, a bound was reached

  // `version`, `revision`: labels of codeq_build_info.
  explicit Metrics(std::string version = "dev", std::string revision = "");

  void task_created(std::string_view command);
  void task_claimed(std::string_view command);
  void task_completed(std::string_view command, Finish status, double latency_seconds);  // create to finish
  void lease_expired(std::string_view command);
  void webhook_delivery(Webhook kind, std::string_view command,
                        Delivery outcome);  // once per delivery, not per attempt
  void rate_limit_hit(std::string_view scope, std::string_view operation);
  // A negative answer on a stream, which clients may leave unread. `code`: the stable slug of the error.
  void stream_rejected(std::string_view operation, std::string_view code);

  [[nodiscard]] std::string exposition(const Gauges& gauges);

 private:
  static constexpr std::array<double, 14> kLatencyBounds = {0.1, 0.25, 0.5, 1,   2.5, 5,    10,
                                                            30,  60,   120, 300, 600, 1800, 3600};
  struct Histogram {
    std::array<std::uint64_t, kLatencyBounds.size() + 1> buckets{};  // not cumulative; the last is +Inf
    std::uint64_t count = 0;
    double sum = 0;
  };
  struct Command {
    std::uint64_t created = 0, claimed = 0, lease_expired = 0;
    std::array<Histogram, 2> finished;  // by Finish; its count is the completed counter
    std::array<std::array<std::uint64_t, 3>, 2> webhooks{};  // by Webhook, Delivery
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Commands = std::unordered_map<std::string, Command, TextHash, std::equal_to<>>;
  using Row = std::pair<const std::string, Command>;

  Row& row(std::string_view command);  // mutex_ held
  void write_counters(const std::vector<const Row*>& rows, std::string& out) const;
  void write_latency(const std::vector<const Row*>& rows, std::string& out) const;
  void write_gauges(const Gauges& gauges, std::string& out);

  const std::string version_, revision_;
  std::mutex mutex_;
  Commands commands_;     // none ever goes
  Row* seen_ = nullptr;   // of the last look-up: mostly the next one's too
  std::map<std::pair<std::string, std::string>, std::uint64_t> rate_limits_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> stream_rejections_;
};

}  // namespace codeq::observe
