#include "observe/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "observe/process_stats.h"
#include "observe/utf8.h"

namespace codeq::observe {
namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kLabelBytesMax = 256;  // a label value is a name; a longer one counts under "other"
constexpr std::size_t kRateLimitsMax = 64;
constexpr std::array<std::string_view, 2> kFinishNames = {"COMPLETED", "FAILED"};
constexpr std::array<std::string_view, 2> kWebhookNames = {"task_result", "queue_ready"};
constexpr std::array<std::string_view, 3> kDeliveryNames = {"success", "failure", "dropped"};

// What may stand in a label: UTF-8, no control characters. Done before counting, so that two commands cannot end up as
// two series of one name, for which Prometheus refuses the page.
std::string clean(std::string_view value) {
  std::string out(value);
  scrub_utf8(out.data(), out.size());
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

void append_escaped(std::string_view value, std::string& out) {
  for (const char c : value) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '"')
      out += "\\\"";
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
}

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

void append_labels(Labels labels, std::string& out) {
  if (labels.size() == 0) return;
  char separator = '{';
  for (const auto& [name, value] : labels) {
    out += separator;
    out += name;
    out += "=\"";
    append_escaped(value, out);
    out += '"';
    separator = ',';
  }
  out += '}';
}

// One family; its head is written with its first sample, so an unused family is not on the page at all.
class Family {
 public:
  Family(std::string_view name, std::string_view type, std::string_view help, std::string& out)
      : name_(name), type_(type), help_(help), out_(out) {}

  template <class Number>
  void sample(Labels labels, Number value, std::string_view suffix = "") {
    if (!headed_) fmt::format_to(std::back_inserter(out_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name_, help_, type_);
    headed_ = true;
    out_ += name_;
    out_ += suffix;
    append_labels(labels, out_);
    fmt::format_to(std::back_inserter(out_), " {}\n", value);
  }

 private:
  std::string_view name_, type_, help_;
  std::string& out_;
  bool headed_ = false;
};

void write_process(std::string& out) {
  const ProcessStats stats = process_stats();
  Family("process_cpu_seconds_total", "counter", "User and system CPU time spent.", out).sample({}, stats.cpu_seconds);
  Family("process_open_fds", "gauge", "Open file descriptors.", out).sample({}, stats.open_fds);
  Family("process_resident_memory_bytes", "gauge", "Resident memory.", out).sample({}, stats.resident_bytes);
  Family("process_start_time_seconds", "gauge", "Start of the process since the epoch.", out)
      .sample({}, stats.start_time_seconds);
}

void write_tls(const std::vector<Gauges::Tls>& listeners, std::string& out) {
  if (listeners.empty()) return;
  {
    Family family("codeq_tls_handshakes_total", "counter", "TLS handshakes that were begun and have ended.", out);
    for (const auto& tls : listeners) {
      family.sample({{"listener", tls.listener}, {"outcome", "done"}}, tls.handshakes);
      family.sample({{"listener", tls.listener}, {"outcome", "failed"}}, tls.handshakes_failed);
    }
  }
  {
    Family family("codeq_tls_reloads_total", "counter", "Times that the files of TLS were read again.", out);
    for (const auto& tls : listeners) {
      family.sample({{"listener", tls.listener}, {"outcome", "done"}}, tls.reloads);
      family.sample({{"listener", tls.listener}, {"outcome", "failed"}}, tls.reloads_failed);
    }
  }
  Family family("codeq_tls_certificate_expiry_timestamp_seconds", "gauge", "When the certificate in use expires.", out);
  for (const auto& tls : listeners) family.sample({{"listener", tls.listener}}, tls.not_after_s);
}

}  // namespace

Metrics::Metrics(std::string version, std::string revision)
    : version_(std::move(version)), revision_(std::move(revision)) {
  commands_.reserve(kCommandsMax + 1);
}

Metrics::Row& Metrics::row(std::string_view command) {
  if (seen_ != nullptr && seen_->first == command) return *seen_;
  if (const auto found = commands_.find(command); found != commands_.end()) return *(seen_ = &*found);
  std::string label = command.size() <= kLabelBytesMax ? clean(command) : std::string(kOther);
  if (commands_.size() >= kCommandsMax && !commands_.contains(label)) label = kOther;
  return *commands_.try_emplace(std::move(label)).first;
}

void Metrics::task_created(std::string_view command) {
  const std::scoped_lock lock(mutex_);
  ++row(command).second.created;
}

void Metrics::task_claimed(std::string_view command) {
  const std::scoped_lock lock(mutex_);
  ++row(command).second.claimed;
}

void Metrics::task_completed(std::string_view command, Finish status, double latency_seconds) {
  const double latency = latency_seconds > 0 ? latency_seconds : 0;  // also for a NaN
  const auto bucket =
      static_cast<std::size_t>(std::ranges::lower_bound(kLatencyBounds, latency) - kLatencyBounds.begin());
  const std::scoped_lock lock(mutex_);
  Histogram& histogram = row(command).second.finished[static_cast<std::size_t>(status)];
  ++histogram.buckets[bucket];
  ++histogram.count;
  histogram.sum += latency;
}

void Metrics::lease_expired(std::string_view command) {
  const std::scoped_lock lock(mutex_);
  ++row(command).second.lease_expired;
}

void Metrics::webhook_delivery(Webhook kind, std::string_view command, Delivery outcome) {
  const std::scoped_lock lock(mutex_);
  ++row(command).second.webhooks[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)];
}

void Metrics::rate_limit_hit(std::string_view scope, std::string_view operation) {
  const std::scoped_lock lock(mutex_);
  std::pair key{clean(scope), clean(operation)};
  if (rate_limits_.size() >= kRateLimitsMax && !rate_limits_.contains(key))
    key = {std::string(kOther), std::string(kOther)};
  ++rate_limits_[key];
}

void Metrics::stream_rejected(std::string_view operation, std::string_view code) {
  const std::scoped_lock lock(mutex_);
  ++stream_rejections_[{std::string(operation), std::string(code)}];
}

void Metrics::write_counters(const std::vector<const Row*>& rows, std::string& out) const {
  const auto by_command = [&](std::string_view name, std::string_view help, std::uint64_t Command::* member) {
    Family family(name, "counter", help, out);
    for (const Row* row : rows) {
      if (const auto value = row->second.*member; value > 0) family.sample({{"command", row->first}}, value);
    }
  };
  by_command("codeq_task_created_total", "Tasks enqueued.", &Command::created);
  by_command("codeq_task_claimed_total", "Tasks delivered to workers.", &Command::claimed);
  {
    Family family("codeq_task_completed_total", "counter", "Tasks that ended, by final status.", out);
    for (const Row* row : rows) {
      for (std::size_t i = 0; i < kFinishNames.size(); ++i) {
        const auto count = row->second.finished[i].count;
        if (count > 0) family.sample({{"command", row->first}, {"status", kFinishNames[i]}}, count);
      }
    }
  }
  by_command("codeq_lease_expired_total", "Leases that ended without their worker.", &Command::lease_expired);
  {
    Family family("codeq_webhook_deliveries_total", "counter", "Webhook deliveries that ended, by outcome.", out);
    for (const Row* row : rows) {
      for (std::size_t kind = 0; kind < kWebhookNames.size(); ++kind) {
        for (std::size_t outcome = 0; outcome < kDeliveryNames.size(); ++outcome) {
          const auto count = row->second.webhooks[kind][outcome];
          if (count == 0) continue;
          family.sample({{"kind", kWebhookNames[kind]}, {"command", row->first}, {"outcome", kDeliveryNames[outcome]}},
                        count);
        }
      }
    }
  }
  {
    Family limits("codeq_rate_limit_hits_total", "counter", "Requests that a rate limit refused.", out);
    for (const auto& [key, count] : rate_limits_) limits.sample({{"scope", key.first}, {"operation", key.second}}, count);
  }
  Family rejected("codeq_stream_rejected_total", "counter", "Negative answers on streams, by operation and error code.", out);
  for (const auto& [key, count] : stream_rejections_)
    rejected.sample({{"operation", key.first}, {"code", key.second}}, count);
}

void Metrics::write_latency(const std::vector<const Row*>& rows, std::string& out) const {
  Family family("codeq_task_processing_latency_seconds", "histogram", "Time from create to the end of a task.", out);
  for (const Row* row : rows) {
    for (std::size_t i = 0; i < kFinishNames.size(); ++i) {
      const Histogram& histogram = row->second.finished[i];
      if (histogram.count == 0) continue;
      std::uint64_t total = 0;
      for (std::size_t b = 0; b < kLatencyBounds.size(); ++b) {
        total += histogram.buckets[b];
        const std::string bound = fmt::format("{}", kLatencyBounds[b]);
        family.sample({{"command", row->first}, {"status", kFinishNames[i]}, {"le", bound}}, total, "_bucket");
      }
      family.sample({{"command", row->first}, {"status", kFinishNames[i]}, {"le", "+Inf"}}, histogram.count, "_bucket");
      family.sample({{"command", row->first}, {"status", kFinishNames[i]}}, histogram.sum, "_sum");
      family.sample({{"command", row->first}, {"status", kFinishNames[i]}}, histogram.count, "_count");
    }
  }
}

void Metrics::write_gauges(const Gauges& gauges, std::string& out) {
  std::map<std::string_view, Gauges::Queue> queues;
  for (const auto& queue : gauges.queues) {
    auto& sum = queues[row(queue.command).first];
    sum.ready += queue.ready;
    sum.delayed += queue.delayed;
    sum.in_progress += queue.in_progress;
    sum.dlq += queue.dlq;
  }
  {
    Family family("codeq_queue_depth", "gauge", "Tasks waiting, delayed, leased and dead-lettered.", out);
    for (const auto& [command, sum] : queues) {
      family.sample({{"command", command}, {"queue", "ready"}}, sum.ready);
      family.sample({{"command", command}, {"queue", "delayed"}}, sum.delayed);
      family.sample({{"command", command}, {"queue", "in_progress"}}, sum.in_progress);
      family.sample({{"command", command}, {"queue", "dlq"}}, sum.dlq);
    }
  }
  {
    Family family("codeq_dlq_depth", "gauge", "Dead-lettered tasks.", out);
    for (const auto& [command, sum] : queues) family.sample({{"command", command}}, sum.dlq);
  }
  std::map<std::string_view, std::uint64_t> subscriptions;
  for (const auto& [command, count] : gauges.subscriptions) subscriptions[row(command).first] += count;
  {
    Family family("codeq_subscriptions_active", "gauge", "Worker subscriptions that have not expired.", out);
    for (const auto& [command, count] : subscriptions) family.sample({{"command", command}}, count);
  }
  write_tls(gauges.tls, out);
  Family("codeq_spans_recorded_total", "counter", "Sampled spans that ended.", out).sample({}, gauges.spans.recorded);
  Family("codeq_spans_exported_total", "counter", "Spans that the collector took.", out)
      .sample({}, gauges.spans.exported);
  Family("codeq_spans_dropped_total", "counter", "Spans lost to a full queue or a collector that refused them.", out)
      .sample({}, gauges.spans.dropped);
  Family("codeq_disk_syncs_total", "counter", "Calls of fdatasync and fsync, those of RocksDB not among them.", out)
      .sample({}, gauges.disk_syncs);
  if (!gauges.durability.empty()) {
    Family("codeq_durability_info", "gauge", "What an answer waits for: sync, interval or none.", out)
        .sample({{"mode", gauges.durability}}, 1);
  }
  if (!gauges.sampling.empty()) {
    Family("codeq_tracing_info", "gauge", "The sampling ratio of tracing; off, or view where nothing is exported.", out)
        .sample({{"sampling", gauges.sampling}}, 1);
  }
}

std::string Metrics::exposition(const Gauges& gauges) {
  std::string out;
  Family("codeq_build_info", "gauge", "The running build.", out)
      .sample({{"version", version_}, {"revision", revision_}}, 1);
  {
    const std::scoped_lock lock(mutex_);
    std::vector<const Row*> rows;
    rows.reserve(commands_.size());
    for (const Row& entry : commands_) rows.push_back(&entry);
    std::ranges::sort(rows, {}, [](const Row* entry) -> const std::string& { return entry->first; });
    write_counters(rows, out);
    write_latency(rows, out);
    write_gauges(gauges, out);
  }
  write_process(out);
  return out;
}

}  // namespace codeq::observe
