// Figures of the broker and the page that shows them. docs/metrics.md has every family with its meaning.
//
// Source   the families of the reference, whose ten keep their names and labels; OpenTelemetry for what exemplars mean
// Labels   a caller chooses the command, so at most kCommandsMax of them get label values of their own, first come first
//          served; the rest are counted under "other". A label set appears only after its first event.
// Threads  any, but for what says `alone`: one thread at a time adds there
// Cost     with the figures of a command or route at hand, an event is a few additions; finding them is a look-up under a
//          mutex. Building the page takes up to some milliseconds, on whichever thread asks
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "observe/exposition.h"
#include "observe/span.h"

namespace codeq::observe {

inline constexpr std::size_t kCommandsMax = 200;

// A task's waits and runs, in nanoseconds: 1 ms to an hour.
inline constexpr Bounds kTaskBounds(std::to_array<std::int64_t>(
    {1'000'000,       2'500'000,       5'000'000,       10'000'000,        25'000'000,
     50'000'000,      100'000'000,     250'000'000,     500'000'000,       1'000'000'000,
     2'500'000'000,   5'000'000'000,   10'000'000'000,  30'000'000'000,    60'000'000'000,
     120'000'000'000, 300'000'000'000, 600'000'000'000, 1'800'000'000'000, 3'600'000'000'000}));
// As the reference has them.
inline constexpr Bounds kLatencyBounds(std::to_array<std::int64_t>(
    {100'000'000, 250'000'000, 500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000, 30'000'000'000,
     60'000'000'000, 120'000'000'000, 300'000'000'000, 600'000'000'000, 1'800'000'000'000, 3'600'000'000'000}));

// A histogram whose buckets keep the last trace that they were given.
template <const auto& kBounds>
class TracedHistogram {
 public:
  // `span`: of the event, null where its trace is not kept. `at_ns`: since the epoch. Alone.
  void add_alone(std::int64_t value, const core::SpanContext* span, std::int64_t at_ns) {
    const auto bucket = counts_.add_alone(value);
    if (span != nullptr) keep(bucket, *span, value, at_ns);
  }
  [[nodiscard]] HistogramCounts read() const { return counts_.read(); }
  [[nodiscard]] std::vector<Exemplar> exemplars() const {
    const std::scoped_lock lock(mutex_);
    return kept_;
  }

 private:
  void keep(std::size_t bucket, const core::SpanContext& span, std::int64_t value, std::int64_t at_ns) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return;  // the page is being made: the next one will do
    if (kept_.empty()) kept_.resize(Histogram<kBounds>::kBuckets);
    kept_[bucket] = {.trace_id = span.trace_id, .span_id = span.span_id, .value = value, .at_ns = at_ns};
  }

  Histogram<kBounds> counts_;
  mutable std::mutex mutex_;
  std::vector<Exemplar> kept_;
};

// Pieces of a group, and bytes.
inline constexpr Bounds kPieceBounds(std::to_array<std::int64_t>({1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096,
                                                                  16384}));
inline constexpr Bounds kByteBounds(std::to_array<std::int64_t>({256, 1024, 4096, 16384, 65536, 262144, 1048576,
                                                                 4194304, 16777216}));

enum class Finish : std::uint8_t { kCompleted, kFailed };
enum class Webhook : std::uint8_t { kTaskResult, kQueueReady };
enum class Delivery : std::uint8_t { kSuccess, kFailure, kDropped };  // dropped: never sent, a bound was reached

// Of one command. All of it alone: the partition's thread.
struct CommandFigures {
  Counter created, claimed, lease_expired;
  std::array<Histogram<kLatencyBounds>, 2> latency;  // by Finish: create to finish; its count is the completed counter
  std::array<std::array<Counter, 3>, 2> webhooks;  // by Webhook, Delivery; once per delivery, not per attempt
  TracedHistogram<kTaskBounds> wait, run;  // ready to claimed; claimed to a result
  std::array<TracedHistogram<kTaskBounds>, 2> end_to_end;  // by Finish: created to finished

  void finished(Finish how, std::int64_t ns, const core::SpanContext* span, std::int64_t at_ns) {
    latency[static_cast<std::size_t>(how)].add_alone(ns);
    end_to_end[static_cast<std::size_t>(how)].add_alone(ns, span, at_ns);
  }
  void webhook(Webhook kind, Delivery outcome) {
    webhooks[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)].add_alone();
  }
};

// Requests of one route, any thread.
struct RouteFigures {
  // The codes that we send, then 499 for a client that went before its answer; what is none of them counts at the end.
  static constexpr std::array kCodes = std::to_array<int>(
      {200, 201, 202, 204, 301, 307, 400, 401, 403, 404, 408, 409, 413, 422, 429, 431, 499, 500, 503});
  std::string method, route;  // route: the template; "none" where no route was found
  std::array<Counter, kCodes.size() + 1> by_code;
  Histogram<kCallBounds> duration;

  void ended(int code, std::int64_t ns) {
    by_code[kIndex[static_cast<std::size_t>(code >= 0 && code < 600 ? code : 0)]].add();
    duration.add(ns);
  }

 private:
  static constexpr std::array<std::uint8_t, 600> kIndex = [] {
    std::array<std::uint8_t, 600> index{};
    index.fill(static_cast<std::uint8_t>(kCodes.size()));
    for (std::size_t i = 0; i < kCodes.size(); ++i)
      index[static_cast<std::size_t>(kCodes[i])] = static_cast<std::uint8_t>(i);
    return index;
  }();
};

// What the streams of one kind do, any thread.
enum class StreamMessage : std::uint8_t {
  kCreate,
  kCreateBatch,
  kReady,
  kResult,
  kResultBatch,
  kHeartbeat,
  kNack,
  kAbandon,
  kOther
};
enum class StreamCall : std::uint8_t { kCreate, kResult, kHeartbeat, kNack, kAbandon };
struct StreamFigures {
  Counter opened, ended;
  std::array<Counter, 9> messages;  // by StreamMessage
  std::array<Histogram<kCallBounds>, 5> answers;  // by StreamCall: from a message to its answer
  std::atomic<std::int64_t> credits{0};  // that wait for a task

  void message(StreamMessage kind) { messages[static_cast<std::size_t>(kind)].add(); }
  void answered(StreamCall call, std::int64_t ns, std::uint64_t times) {
    answers[static_cast<std::size_t>(call)].add(ns, times);
  }
};

// Groups of the log. Alone: the committer.
struct CommitFigures {
  Histogram<kPieceBounds> records;
  Histogram<kByteBounds> bytes;
  Histogram<kCallBounds> duration;
};

enum class Rejected : std::uint8_t { kUnknown, kNotOwner, kExpired, kFinished, kInvalid };

// What is read at the time of the page instead of counted.
struct Gauges {
  struct Queue {  // of one command; the same command of several tenants is summed up here
    std::string command;
    std::uint64_t ready = 0, delayed = 0, in_progress = 0, dlq = 0;
    bool oldest_known = true;
    std::int64_t oldest_ns = -1;  // how long the first of those that are ready has been so; below 0: none, or not known
  };
  std::vector<Queue> queues;
  std::vector<std::pair<std::string, std::uint64_t>> subscriptions;  // by command
  struct Tls {  // of one listener
    std::string listener;  // http, streams
    std::uint64_t handshakes = 0, handshakes_failed = 0, reloads = 0, reloads_failed = 0;
    std::uint64_t not_after_s = 0;  // since the epoch
  };
  std::vector<Tls> tls;  // empty: none, and then no family of it
  std::uint64_t leases = 0, parked_claims = 0, parked_results = 0;
  std::uint64_t outbox = 0;  // deliveries that are to be made
  std::int64_t outbox_oldest_ns = 0;
  std::uint64_t http_connections = 0, http_parked = 0, stream_connections = 0;
  struct Store {
    std::vector<std::pair<std::string, std::uint64_t>> table_bytes;
    std::uint64_t memory_bytes = 0, flushed_bytes = 0, compacted_bytes = 0, pending_bytes = 0, compactions = 0,
                  stalls = 0;
    bool stalled = false;
  };
  Store store;
  TracerStats spans;
  std::uint64_t disk_syncs = 0;
  HistogramCounts disk_sync_times;
  std::string durability;  // sync, interval or none
  std::string sampling;  // off, view or the ratio
};

// Makes the page of an instant. To be called where that may take its time.
using MetricsPage = std::move_only_function<std::string(MetricsFormat)>;

class Metrics {
 public:
  // `version`, `revision`: labels of codeq_build_info.
  explicit Metrics(std::string version = "dev", std::string revision = "");

  // Where the events of that command are counted; lives as long as this object.
  CommandFigures& of_command(std::string_view command);
  // The same for a route; once for each, before its requests come.
  RouteFigures& of_route(std::string_view method, std::string_view route);
  Counter http_begun;  // any thread; those that were begun and have not ended are under way
  enum class Stream : std::uint8_t { kProducer, kWorker };
  StreamFigures& of_streams(Stream kind) { return streams_[static_cast<std::size_t>(kind)]; }
  CommitFigures commits;
  std::array<Counter, 5> results_rejected;  // by Rejected; alone
  // Of one attempt. `outcome`: success, status or the class of an error. `span`: null where its trace is not kept.
  void webhook_attempt(Webhook kind, std::string_view outcome, std::int64_t ns, const core::SpanContext* span,
                       std::int64_t at_ns);
  void rate_limit_hit(std::string_view scope, std::string_view operation);
  // A negative answer on a stream, which clients may leave unread. `code`: the stable slug of the error.
  void stream_rejected(std::string_view operation, std::string_view code);

  [[nodiscard]] std::string exposition(const Gauges& gauges, MetricsFormat format = MetricsFormat::kText);

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Commands = std::unordered_map<std::string, CommandFigures, TextHash, std::equal_to<>>;
  using Row = std::pair<const std::string, CommandFigures>;
  using ByTwo = std::map<std::pair<std::string, std::string>, std::uint64_t>;

  Row& row(std::string_view command);  // mutex_ held
  static void write_tasks(const std::vector<const Row*>& rows, Page& page);
  static void write_webhooks(const std::vector<const Row*>& rows, Page& page);
  void write_attempts(Page& page) const;
  void write_http(Page& page) const;
  void write_streams(Page& page) const;
  void write_commits(Page& page) const;
  void write_refusals(Page& page) const;
  void write_queues(const Gauges& gauges, Page& page);

  const std::string version_, revision_;
  std::mutex mutex_;
  Commands commands_;  // none ever goes
  ByTwo rate_limits_, stream_rejections_, webhook_attempts_;
  std::array<TracedHistogram<kCallBounds>, 2> webhook_times_;  // by Webhook
  std::deque<RouteFigures> routes_;  // none ever goes
  std::array<StreamFigures, 2> streams_;
};

}  // namespace codeq::observe
