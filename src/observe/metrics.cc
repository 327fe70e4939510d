#include "observe/metrics.h"

#include <algorithm>
#include <utility>

#include "observe/process_stats.h"

namespace codeq::observe {
namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kLabelBytesMax = 256;  // a label value is a name; a longer one counts under "other"
constexpr std::size_t kRateLimitsMax = 64;
constexpr std::array<std::string_view, 2> kFinishNames = {"COMPLETED", "FAILED"};
constexpr std::array<std::string_view, 2> kWebhookNames = {"task_result", "queue_ready"};
constexpr std::array<std::string_view, 9> kMessageNames = {
    "create", "create_batch", "ready", "result", "result_batch", "heartbeat", "nack", "abandon", "other"};
constexpr std::array<std::string_view, 5> kCallNames = {"create", "result", "heartbeat", "nack", "abandon"};
constexpr std::array<std::string_view, 2> kStreamNames = {"producer", "worker"};
constexpr std::array<std::string_view, 5> kRejectedNames = {"unknown", "not_owner", "expired", "finished", "invalid"};
constexpr std::array<std::string_view, 3> kDeliveryNames = {"success", "failure", "dropped"};

void write_process(Page& page) {
  const ProcessStats stats = process_stats();
  page.family("process_cpu_seconds_total", Kind::kCounter, "User and system CPU time spent.", Unit::kSeconds)
      .sample({}, stats.cpu_seconds);
  page.family("process_open_fds", Kind::kGauge, "Open file descriptors.").sample({}, stats.open_fds);
  page.family("process_resident_memory_bytes", Kind::kGauge, "Resident memory.", Unit::kBytes)
      .sample({}, stats.resident_bytes);
  page.family("process_virtual_memory_bytes", Kind::kGauge, "Address space.", Unit::kBytes)
      .sample({}, stats.virtual_bytes);
  page.family("process_max_fds", Kind::kGauge, "File descriptors that may be open.").sample({}, stats.max_fds);
  page.family("process_threads", Kind::kGauge, "Threads.").sample({}, stats.threads);
  page.family("process_start_time_seconds", Kind::kGauge, "Start of the process since the epoch.", Unit::kSeconds)
      .sample({}, stats.start_time_seconds);
}

void write_tls(const std::vector<Gauges::Tls>& listeners, Page& page) {
  {
    auto family =
        page.family("codeq_tls_handshakes_total", Kind::kCounter, "TLS handshakes that were begun and have ended.");
    for (const auto& tls : listeners) {
      family.sample({{"listener", tls.listener}, {"outcome", "done"}}, tls.handshakes);
      family.sample({{"listener", tls.listener}, {"outcome", "failed"}}, tls.handshakes_failed);
    }
  }
  {
    auto family =
        page.family("codeq_tls_reloads_total", Kind::kCounter, "Times that the files of TLS were read again.");
    for (const auto& tls : listeners) {
      family.sample({{"listener", tls.listener}, {"outcome", "done"}}, tls.reloads);
      family.sample({{"listener", tls.listener}, {"outcome", "failed"}}, tls.reloads_failed);
    }
  }
  auto family = page.family("codeq_tls_certificate_expiry_timestamp_seconds", Kind::kGauge,
                            "When the certificate in use expires.", Unit::kSeconds);
  for (const auto& tls : listeners) family.sample({{"listener", tls.listener}}, tls.not_after_s);
}

void write_spans(const Gauges& gauges, Page& page) {
  page.family("codeq_spans_recorded_total", Kind::kCounter, "Sampled spans that ended.")
      .sample({}, gauges.spans.recorded);
  page.family("codeq_spans_exported_total", Kind::kCounter, "Spans that the collector took.")
      .sample({}, gauges.spans.exported);
  page.family("codeq_spans_dropped_total", Kind::kCounter,
              "Spans lost to a full queue or a collector that refused them.")
      .sample({}, gauges.spans.dropped);
  page.family("codeq_spans_queued", Kind::kGauge, "Spans that wait for the collector.").sample({}, gauges.spans.queued);
  page.family("codeq_span_export_duration_seconds", Kind::kHistogram, "Calls of the collector.", Unit::kSeconds)
      .histogram({}, gauges.spans.calls);
}

void write_waiting(const Gauges& gauges, Page& page) {
  page.family("codeq_leases_held", Kind::kGauge, "Leases that have not ended.").sample({}, gauges.leases);
  page.family("codeq_claims_parked", Kind::kGauge, "Claims that wait for a task, of polls and streams.")
      .sample({}, gauges.parked_claims);
  page.family("codeq_results_parked", Kind::kGauge, "Readers that wait for a result.")
      .sample({}, gauges.parked_results);
  page.family("codeq_webhook_outbox_depth", Kind::kGauge, "Result webhooks that are to be delivered.")
      .sample({}, gauges.outbox);
  page.family("codeq_webhook_outbox_oldest_seconds", Kind::kGauge,
              "Age of the oldest result webhook that is to be delivered.", Unit::kSeconds)
      .seconds({}, gauges.outbox_oldest_ns);
  page.family("codeq_http_connections", Kind::kGauge, "Connections on the HTTP port.")
      .sample({}, gauges.http_connections);
  page.family("codeq_http_polls_parked", Kind::kGauge, "HTTP requests that wait for a task or a result.")
      .sample({}, gauges.http_parked);
  page.family("codeq_stream_connections", Kind::kGauge, "Connections on the ports of streams.")
      .sample({}, gauges.stream_connections);
}

void write_storage(const Gauges& gauges, Page& page) {
  const auto& store = gauges.store;
  page.family("codeq_disk_syncs_total", Kind::kCounter,
              "Calls of fdatasync and fsync, those of RocksDB not among them.")
      .sample({}, gauges.disk_syncs);
  page.family("codeq_disk_sync_duration_seconds", Kind::kHistogram, "How long they took.", Unit::kSeconds)
      .histogram({}, gauges.disk_sync_times);
  {
    auto size =
        page.family("codeq_store_size_bytes", Kind::kGauge, "Table files of the store on the disk.", Unit::kBytes);
    for (const auto& [table, bytes] : store.table_bytes) size.sample({{"table", table}}, bytes);
  }
  page.family("codeq_store_memory_bytes", Kind::kGauge, "Write buffers, cache and table readers of the store.",
              Unit::kBytes)
      .sample({}, store.memory_bytes);
  page.family("codeq_store_flushed_bytes_total", Kind::kCounter, "Written by flushes.", Unit::kBytes)
      .sample({}, store.flushed_bytes);
  page.family("codeq_store_compacted_bytes_total", Kind::kCounter, "Written by compactions.", Unit::kBytes)
      .sample({}, store.compacted_bytes);
  page.family("codeq_store_compaction_pending_bytes", Kind::kGauge, "What compactions have to rewrite, about.",
              Unit::kBytes)
      .sample({}, store.pending_bytes);
  page.family("codeq_store_compactions_running", Kind::kGauge, "Compactions under way.").sample({}, store.compactions);
  page.family("codeq_store_write_stalls_total", Kind::kCounter,
              "Times that the store began to slow writes down or to hold them.")
      .sample({}, store.stalls);
  page.family("codeq_store_write_stalled", Kind::kGauge, "1 while it does.")
      .sample({}, std::uint64_t{store.stalled ? 1U : 0U});
}

void write_settings(const Gauges& gauges, Page& page) {
  if (!gauges.durability.empty())
    page.family("codeq_durability_info", Kind::kGauge, "What an answer waits for: sync, interval or none.")
        .sample({{"mode", gauges.durability}}, std::uint64_t{1});
  if (!gauges.sampling.empty())
    page.family("codeq_tracing_info", Kind::kGauge,
                "The sampling ratio of tracing; off, or view where nothing is exported.")
        .sample({{"sampling", gauges.sampling}}, std::uint64_t{1});
}

}  // namespace

Metrics::Metrics(std::string version, std::string revision)
    : version_(std::move(version)), revision_(std::move(revision)) {
  commands_.reserve(kCommandsMax + 1);
}

Metrics::Row& Metrics::row(std::string_view command) {
  if (const auto found = commands_.find(command); found != commands_.end()) return *found;
  std::string label = command.size() <= kLabelBytesMax ? clean_label(command) : std::string(kOther);
  if (commands_.size() >= kCommandsMax && !commands_.contains(label)) label = kOther;
  return *commands_.try_emplace(std::move(label)).first;
}

CommandFigures& Metrics::of_command(std::string_view command) {
  const std::scoped_lock lock(mutex_);
  return row(command).second;
}

RouteFigures& Metrics::of_route(std::string_view method, std::string_view route) {
  const std::scoped_lock lock(mutex_);
  for (auto& known : routes_)
    if (known.method == method && known.route == route) return known;
  auto& made = routes_.emplace_back();
  made.method = method;
  made.route = route;
  return made;
}

void Metrics::webhook_attempt(Webhook kind, std::string_view outcome, std::int64_t ns, const core::SpanContext* span,
                              std::int64_t at_ns) {
  webhook_times_[static_cast<std::size_t>(kind)].add_alone(ns, span, at_ns);
  const std::scoped_lock lock(mutex_);
  ++webhook_attempts_[{std::string(kWebhookNames[static_cast<std::size_t>(kind)]), std::string(outcome)}];
}

void Metrics::rate_limit_hit(std::string_view scope, std::string_view operation) {
  const std::scoped_lock lock(mutex_);
  std::pair key{clean_label(scope), clean_label(operation)};
  if (rate_limits_.size() >= kRateLimitsMax && !rate_limits_.contains(key))
    key = {std::string(kOther), std::string(kOther)};
  ++rate_limits_[key];
}

void Metrics::stream_rejected(std::string_view operation, std::string_view code) {
  const std::scoped_lock lock(mutex_);
  ++stream_rejections_[{std::string(operation), std::string(code)}];
}

void Metrics::write_tasks(const std::vector<const Row*>& rows, Page& page) {
  const auto by_command = [&](std::string_view name, std::string_view help, Counter CommandFigures::* member) {
    auto family = page.family(name, Kind::kCounter, help);
    for (const Row* row : rows) {
      if (const auto value = (row->second.*member).value(); value > 0) family.sample({{"command", row->first}}, value);
    }
  };
  by_command("codeq_task_created_total", "Tasks enqueued.", &CommandFigures::created);
  by_command("codeq_task_claimed_total", "Tasks delivered to workers.", &CommandFigures::claimed);
  {
    auto completed = page.family("codeq_task_completed_total", Kind::kCounter, "Tasks that ended, by final status.");
    for (const Row* row : rows)
      for (std::size_t i = 0; i < kFinishNames.size(); ++i)
        if (const auto count = row->second.latency[i].read().count(); count > 0)
          completed.sample({{"command", row->first}, {"status", kFinishNames[i]}}, count);
  }
  by_command("codeq_lease_expired_total", "Leases that ended without their worker.", &CommandFigures::lease_expired);
  {
    auto latency = page.family("codeq_task_processing_latency_seconds", Kind::kHistogram,
                               "Time from create to the end of a task.", Unit::kSeconds);
    for (const Row* row : rows)
      for (std::size_t i = 0; i < kFinishNames.size(); ++i)
        latency.histogram({{"command", row->first}, {"status", kFinishNames[i]}}, row->second.latency[i].read());
  }
  const auto traced = [&](std::string_view name, std::string_view help,
                          TracedHistogram<kTaskBounds> CommandFigures::* member) {
    auto family = page.family(name, Kind::kHistogram, help, Unit::kSeconds);
    for (const Row* row : rows) {
      const auto& histogram = row->second.*member;
      family.histogram({{"command", row->first}}, histogram.read(), histogram.exemplars());
    }
  };
  traced("codeq_task_wait_seconds", "Time in which a task could have been claimed until it was, for each delivery.",
         &CommandFigures::wait);
  traced("codeq_task_run_seconds", "Time from a claim to the result of its worker.", &CommandFigures::run);
  auto end_to_end = page.family("codeq_task_end_to_end_seconds", Kind::kHistogram,
                                "Time from create to the end of a task, in finer buckets.", Unit::kSeconds);
  for (const Row* row : rows)
    for (std::size_t i = 0; i < kFinishNames.size(); ++i) {
      const auto& histogram = row->second.end_to_end[i];
      end_to_end.histogram({{"command", row->first}, {"status", kFinishNames[i]}}, histogram.read(),
                           histogram.exemplars());
    }
}

void Metrics::write_webhooks(const std::vector<const Row*>& rows, Page& page) {
  auto family =
      page.family("codeq_webhook_deliveries_total", Kind::kCounter, "Webhook deliveries that ended, by outcome.");
  for (const Row* row : rows)
    for (std::size_t kind = 0; kind < kWebhookNames.size(); ++kind)
      for (std::size_t outcome = 0; outcome < kDeliveryNames.size(); ++outcome)
        if (const auto count = row->second.webhooks[kind][outcome].value(); count > 0)
          family.sample({{"kind", kWebhookNames[kind]}, {"command", row->first}, {"outcome", kDeliveryNames[outcome]}},
                        count);
}

void Metrics::write_attempts(Page& page) const {
  auto attempts =
      page.family("codeq_webhook_attempts_total", Kind::kCounter, "Attempts to deliver a webhook, by what came of it.");
  for (const auto& [key, count] : webhook_attempts_)
    attempts.sample({{"kind", key.first}, {"outcome", key.second}}, count);
  auto times =
      page.family("codeq_webhook_attempt_duration_seconds", Kind::kHistogram, "How long they took.", Unit::kSeconds);
  for (std::size_t kind = 0; kind < kWebhookNames.size(); ++kind)
    times.histogram({{"kind", kWebhookNames[kind]}}, webhook_times_[kind].read(), webhook_times_[kind].exemplars());
}

void Metrics::write_http(Page& page) const {
  std::uint64_t ended = 0;
  {
    auto requests =
        page.family("codeq_http_requests_total", Kind::kCounter, "Requests that ended, by route and status code.");
    for (const auto& route : routes_)
      for (std::size_t i = 0; i < route.by_code.size(); ++i)
        if (const auto count = route.by_code[i].value(); count > 0) {
          ended += count;
          const auto code =
              i < RouteFigures::kCodes.size() ? std::to_string(RouteFigures::kCodes[i]) : std::string(kOther);
          requests.sample({{"method", route.method}, {"route", route.route}, {"code", code}}, count);
        }
  }
  {
    auto duration = page.family("codeq_http_request_duration_seconds", Kind::kHistogram,
                                "From a request's head to its answer, the waiting of polls included.", Unit::kSeconds);
    for (const auto& route : routes_)
      duration.histogram({{"method", route.method}, {"route", route.route}}, route.duration.read());
  }
  const auto begun = http_begun.value();  // after the others: none of them is missing in it
  page.family("codeq_http_requests_in_flight", Kind::kGauge, "Requests under way, polls that wait among them.")
      .sample({}, begun > ended ? begun - ended : 0);
}

void Metrics::write_streams(Page& page) const {
  const auto by_kind = [&](std::string_view name, Kind kind, std::string_view help, auto&& value) {
    auto family = page.family(name, kind, help);
    for (std::size_t s = 0; s < kStreamNames.size(); ++s)
      family.sample({{"service", kStreamNames[s]}}, value(streams_[s]));
  };
  by_kind("codeq_streams_opened_total", Kind::kCounter, "Streams whose client was let in.",
          [](const StreamFigures& s) { return s.opened.value(); });
  by_kind("codeq_streams_open", Kind::kGauge, "Of these, still open.", [](const StreamFigures& s) {
    const auto ended = s.ended.value();
    return s.opened.value() - ended;
  });
  {
    auto messages = page.family("codeq_stream_messages_total", Kind::kCounter, "Messages from clients of streams.");
    for (std::size_t s = 0; s < kStreamNames.size(); ++s)
      for (std::size_t i = 0; i < kMessageNames.size(); ++i)
        if (const auto count = streams_[s].messages[i].value(); count > 0)
          messages.sample({{"service", kStreamNames[s]}, {"message", kMessageNames[i]}}, count);
  }
  {
    auto answers = page.family("codeq_stream_answer_duration_seconds", Kind::kHistogram,
                               "From a message to its acknowledgement, for each task in it.", Unit::kSeconds);
    for (std::size_t s = 0; s < kStreamNames.size(); ++s)
      for (std::size_t i = 0; i < kCallNames.size(); ++i)
        answers.histogram({{"service", kStreamNames[s]}, {"operation", kCallNames[i]}}, streams_[s].answers[i].read());
  }
  const auto credits = streams_[static_cast<std::size_t>(Stream::kWorker)].credits.load(std::memory_order_relaxed);
  page.family("codeq_stream_credits", Kind::kGauge, "Credits of workers that no task has served yet.")
      .sample({}, static_cast<std::uint64_t>(std::max<std::int64_t>(credits, 0)));
}

void Metrics::write_commits(Page& page) const {
  page.family("codeq_commit_group_records", Kind::kHistogram, "Records of one group of the log.")
      .histogram({}, commits.records.read());
  page.family("codeq_commit_group_bytes", Kind::kHistogram, "Bytes of one group of the log.", Unit::kBytes)
      .histogram({}, commits.bytes.read());
  page.family("codeq_commit_duration_seconds", Kind::kHistogram, "Writing one group and making it durable.",
              Unit::kSeconds)
      .histogram({}, commits.duration.read());
}

void Metrics::write_refusals(Page& page) const {
  {
    auto rejected =
        page.family("codeq_results_rejected_total", Kind::kCounter, "Results that were not taken, by reason.");
    for (std::size_t i = 0; i < kRejectedNames.size(); ++i)
      if (const auto count = results_rejected[i].value(); count > 0)
        rejected.sample({{"reason", kRejectedNames[i]}}, count);
  }
  {
    auto limits = page.family("codeq_rate_limit_hits_total", Kind::kCounter, "Requests that a rate limit refused.");
    for (const auto& [key, count] : rate_limits_)
      limits.sample({{"scope", key.first}, {"operation", key.second}}, count);
  }
  auto rejected = page.family("codeq_stream_rejected_total", Kind::kCounter,
                              "Negative answers on streams, by operation and error code.");
  for (const auto& [key, count] : stream_rejections_)
    rejected.sample({{"operation", key.first}, {"code", key.second}}, count);
}

void Metrics::write_queues(const Gauges& gauges, Page& page) {
  std::map<std::string_view, Gauges::Queue> queues;
  for (const auto& queue : gauges.queues) {
    auto& sum = queues[row(queue.command).first];
    sum.ready += queue.ready;
    sum.delayed += queue.delayed;
    sum.in_progress += queue.in_progress;
    sum.dlq += queue.dlq;
    sum.oldest_ns = std::max(sum.oldest_ns, queue.oldest_ns);
    sum.oldest_known = sum.oldest_known && queue.oldest_known;
  }
  {
    auto family = page.family("codeq_queue_depth", Kind::kGauge, "Tasks waiting, delayed, leased and dead-lettered.");
    for (const auto& [command, sum] : queues) {
      family.sample({{"command", command}, {"queue", "ready"}}, sum.ready);
      family.sample({{"command", command}, {"queue", "delayed"}}, sum.delayed);
      family.sample({{"command", command}, {"queue", "in_progress"}}, sum.in_progress);
      family.sample({{"command", command}, {"queue", "dlq"}}, sum.dlq);
    }
  }
  {
    auto family = page.family("codeq_dlq_depth", Kind::kGauge, "Dead-lettered tasks.");
    for (const auto& [command, sum] : queues) family.sample({{"command", command}}, sum.dlq);
  }
  {
    auto family = page.family("codeq_queue_oldest_waiting_seconds", Kind::kGauge,
                              "How long the first of the ready tasks has been ready; 0 where none is.", Unit::kSeconds);
    for (const auto& [command, sum] : queues)
      if (sum.oldest_known && (sum.oldest_ns >= 0 || sum.ready == 0))
        family.seconds({{"command", command}}, std::max<std::int64_t>(sum.oldest_ns, 0));
  }
  std::map<std::string_view, std::uint64_t> subscriptions;
  for (const auto& [command, count] : gauges.subscriptions) subscriptions[row(command).first] += count;
  auto family = page.family("codeq_subscriptions_active", Kind::kGauge, "Worker subscriptions that have not expired.");
  for (const auto& [command, count] : subscriptions) family.sample({{"command", command}}, count);
}

std::string Metrics::exposition(const Gauges& gauges, MetricsFormat format) {
  Page page(format);
  page.family("codeq_build_info", Kind::kGauge, "The running build.")
      .sample({{"version", version_}, {"revision", revision_}}, std::uint64_t{1});
  std::vector<const Row*> rows;
  {
    const std::scoped_lock lock(mutex_);
    rows.reserve(commands_.size());
    for (const Row& entry : commands_) rows.push_back(&entry);
    write_refusals(page);
    write_attempts(page);
    write_http(page);
    write_queues(gauges, page);
  }
  std::ranges::sort(rows, {}, [](const Row* entry) -> const std::string& { return entry->first; });
  write_tasks(rows, page);
  write_webhooks(rows, page);
  write_streams(page);
  write_commits(page);
  write_waiting(gauges, page);
  write_storage(gauges, page);
  write_tls(gauges.tls, page);
  write_spans(gauges, page);
  write_settings(gauges, page);
  write_process(page);
  return std::move(page).take();
}

}  // namespace codeq::observe
