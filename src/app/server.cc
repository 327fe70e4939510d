#include "app/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <utility>

#include "app/backup/backup.h"
#include "app/backup/control.h"
#include "app/commands.h"
#include "app/config/listen_address.h"
#include "app/config_command.h"
#include "app/exit_codes.h"
#include "app/tls.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/rng.h"
#include "disk/disk.h"
#include "log/local/local_log.h"
#include "observe/metrics.h"
#include "observe/null_tracer.h"
#include "observe/otlp/exporter.h"
#include "services/partition.h"
#include "storage/rocks/rocks_store.h"
#include "transport/fetch/curl_get.h"
#include "transport/grpc/server.h"
#include "transport/http/server.h"
#include "transport/webhook/curl_sender.h"

namespace codeq::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Tracing without a backend (`codeq dev`): ids are made and the timeline shows them, nothing is exported.
class LocalTracer final : public observe::Tracer {
 public:
  [[nodiscard]] bool enabled() const override { return true; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext& parent, Rng& rng) const override {
    return observe::start_span(sampler_, parent, rng);
  }
  void record(const observe::Span&) noexcept override {}
  [[nodiscard]] observe::TracerStats stats() const override { return {}; }

 private:
  observe::Sampler sampler_;
};

core::RetryKind retry_kind(Backoff policy) {
  switch (policy) {
    case Backoff::kFixed: return core::RetryKind::kFixed;
    case Backoff::kLinear: return core::RetryKind::kLinear;
    case Backoff::kExponential: return core::RetryKind::kExponential;
    case Backoff::kExpEqualJitter: return core::RetryKind::kExpEqualJitter;
    case Backoff::kExpFullJitter: return core::RetryKind::kExpFullJitter;
  }
  return core::RetryKind::kExpFullJitter;
}

log::LocalLogOptions::Durability log_durability(Durability durability) {
  switch (durability) {
    case Durability::kSync: return log::LocalLogOptions::Durability::kSync;
    case Durability::kInterval: return log::LocalLogOptions::Durability::kInterval;
    case Durability::kNone: return log::LocalLogOptions::Durability::kNone;
  }
  return log::LocalLogOptions::Durability::kSync;
}

const char* durability_text(Durability durability) {
  switch (durability) {
    case Durability::kSync: return "sync";
    case Durability::kInterval: return "interval";
    case Durability::kNone: return "none";
  }
  return "sync";
}

// The zone of TZ, which start() sets once before any thread runs.
int zone_offset_seconds(std::int64_t ns) {
  const auto seconds_since_epoch = static_cast<std::time_t>(ns / kNanosPerSecond);
  std::tm local{};
  localtime_r(&seconds_since_epoch, &local);
  return static_cast<int>(local.tm_gmtoff);
}

// Empty: UTC. An unknown zone is UTC too, as in the reference, but says so.
bool use_timezone(const std::string& zone) {
  if (zone.empty() || zone == "UTC") return false;
  std::error_code ignored;
  if (zone.find("..") != std::string::npos || !std::filesystem::exists("/usr/share/zoneinfo/" + zone, ignored)) {
    spdlog::warn("timezone {} is unknown here, times are in UTC (is tzdata installed?)", zone);
    return false;
  }
  setenv("TZ", zone.c_str(), 1);
  tzset();
  return true;
}

observe::TracingFile tracing_file(const Config& config) {
  const auto& file = config.tracing_file;
  return {.enabled = file.enabled,
          .service_name = file.service_name,
          .otlp_endpoint = file.otlp_endpoint,
          .otlp_insecure = file.otlp_insecure,
          .sample_ratio = file.sample_ratio};
}

// Raises the limit of open files as far as it goes, and leaves some to the log, the webhooks and the exporter: running out
// of descriptors must cost connections, never the log.
std::size_t connections_allowed() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1U << 20);
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kReserved = 1'024;  // the store 512, webhooks 256, the rest log and ours
  return limit.rlim_cur > 2 * kReserved ? limit.rlim_cur - kReserved : std::max<rlim_t>(limit.rlim_cur / 4, 8);
}

// What was promised can no longer be kept: say so and end, without running anything that could still answer.
void disk_failed(const Error& error) {
  spdlog::critical("the data folder cannot be used any more, stopping: {}", error.message);
  spdlog::shutdown();
  _exit(exit_status_of(error.code));
}

// Forwards to a sender that is opened after the partition.
class LateSender final : public services::WebhookSender {
 public:
  explicit LateSender(std::unique_ptr<transport::CurlWebhookSender>& target) : target_(target) {}
  void send(services::WebhookJob job, std::move_only_function<void(services::WebhookOutcome)> finished) override {
    target_->send(std::move(job), std::move(finished));
  }

 private:
  std::unique_ptr<transport::CurlWebhookSender>& target_;
};

}  // namespace

struct Server::Parts {
  Config config;
  SystemClock clock;
  SystemRng rng;
  observe::Metrics metrics{std::string(kVersion)};
  std::unique_ptr<observe::Tracer> tracer;
  std::unique_ptr<Tls> tls;
  observe::OtlpTracer* exporter = nullptr;  // is `tracer`, where it exports
  std::string sampling = "off";
  std::unique_ptr<log::LocalLog> log;
  std::unique_ptr<storage::rocks::RocksStore> store;
  std::unique_ptr<services::Authenticator> authenticator;
  std::unique_ptr<transport::CurlGet> fetcher;  // ends before the authenticator that it calls back
  std::unique_ptr<services::RateLimiter> rates;
  std::unique_ptr<LateSender> late;
  std::unique_ptr<services::Partition> partition;  // destroyed after the sender that calls it back
  std::unique_ptr<transport::CurlWebhookSender> webhooks;
  std::unique_ptr<transport::GrpcServer> streams;
  std::optional<std::uint16_t> worker_port, producer_port;  // of the streams that are on
  std::unique_ptr<transport::HttpServer> http;
  std::atomic<const transport::HttpServer*> serving = nullptr;  // `http`, for its own threads, which run before it is set
  std::unique_ptr<Control> control;
  bool stopped = false;

  std::expected<void, StartFailure> open(const GetEnv& getenv, bool local_view);
  std::expected<void, StartFailure> open_tracer(const GetEnv& getenv, bool local_view);
  std::expected<void, StartFailure> open_partition(bool zoned);
  std::expected<void, StartFailure> open_auth();
  std::expected<void, StartFailure> open_streams(bool any_port);
  std::expected<void, StartFailure> open_http(bool zoned);
  void open_control();
  void control_line(std::string_view line, const Control::Send& send, const std::stop_token& stop);
  void exposition(services::Done<observe::MetricsPage> done);
};

namespace {

std::unexpected<StartFailure> failure(int status, std::string message) {
  return std::unexpected(StartFailure{status, std::move(message)});
}

}  // namespace

std::expected<void, StartFailure> Server::Parts::open_tracer(const GetEnv& getenv, bool local_view) {
  const auto env = [&](const char* name) -> std::optional<std::string> {
    const char* value = getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  auto options = observe::tracing_options(tracing_file(config), env);
  if (!options) return failure(kExitConfig, "invalid config: " + options.error().message);
  for (const auto& warning : options->warnings) spdlog::warn("tracing: {}", warning);
  if (local_view) options->enabled = env("OTEL_SDK_DISABLED").value_or("") != "true";
  const bool has_endpoint = env("OTEL_EXPORTER_OTLP_ENDPOINT") || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") ||
                            env("TRACING_OTLP_ENDPOINT") || config.tracing_file.otlp_endpoint;
  if (!options->enabled) {
    tracer = std::make_unique<observe::NullTracer>();
  } else if (local_view && !has_endpoint) {
    tracer = std::make_unique<LocalTracer>();
    sampling = "view";
  } else {
    sampling = std::to_string(options->sampler.ratio());
    if (options->service_version.empty()) options->service_version = kVersion;
    auto opened = observe::OtlpTracer::open(std::move(*options));
    if (!opened) return failure(kExitInternal, "init app: tracing: " + opened.error().message);
    exporter = opened->get();
    tracer = std::move(*opened);
  }
  return {};
}

std::expected<void, StartFailure> Server::Parts::open_partition(bool zoned) {
  if (auto ours = check_data_folder(config.data_path); !ours)
    return failure(exit_status_of(ours.error().code), "init app: " + ours.error().message);
  const auto segment_bytes = static_cast<std::uint64_t>(config.log_segment_bytes);
  auto opened = log::LocalLog::open({.folder = std::filesystem::path(config.data_path) / "log",
                                     .durability = log_durability(config.durability),
                                     .interval = milliseconds(config.durability_interval_ms),
                                     .first_segment_bytes = std::min(segment_bytes, std::uint64_t{1} << 20),
                                     .segment_bytes = segment_bytes,
                                     .spare_segments = static_cast<std::size_t>(config.log_spare_segments)});
  if (!opened) return failure(exit_status_of(opened.error().code), "init app: " + opened.error().message);
  log = std::move(*opened);
  storage::rocks::Options store_options;
  store_options.folder = std::filesystem::path(config.data_path) / "store";
  std::memcpy(store_options.id.data(), log->id().data(), store_options.id.size());
  store_options.write_buffer_bytes = static_cast<std::uint64_t>(config.store_write_buffer_bytes);
  store_options.cache_bytes = static_cast<std::uint64_t>(config.store_cache_bytes);
  store_options.can_replay_after = [this](const storage::Position& position) -> Result<bool> {
    CODEQ_TRY(const auto before, log->begins_after());
    return before <= position.group;
  };
  store_options.on_durable = [this](storage::Position position) { log->release(position.group); };
  store_options.on_error = disk_failed;
  auto opened_store = storage::rocks::RocksStore::open(std::move(store_options));
  if (!opened_store)
    return failure(exit_status_of(opened_store.error().code), "init app: " + opened_store.error().message);
  store = std::move(*opened_store);

  services::PartitionOptions options;
  options.default_lease_seconds = config.default_lease_seconds;
  options.default_max_attempts = config.max_attempts_default;
  options.retry = {.kind = retry_kind(config.backoff_policy),
                   .base_seconds = config.backoff_base_seconds,
                   .max_seconds = config.backoff_max_seconds};
  options.count_twice = config.attempt_counting == AttemptCounting::kReference;
  options.retention_seconds = config.retention_seconds;
  options.idempotency_ttl_seconds = config.idempotency_ttl_seconds;
  options.inbox_max = static_cast<std::size_t>(config.command_queue_max);
  options.webhook_attempts_max = static_cast<std::uint32_t>(config.result_webhook_max_attempts);
  options.webhook_backoff_base_seconds = config.result_webhook_base_backoff_seconds;
  options.webhook_backoff_max_seconds = config.result_webhook_max_backoff_seconds;
  options.outbox.per_host = static_cast<std::size_t>(config.webhook_per_host_concurrency);
  options.subscription_min_interval_seconds = config.subscription_min_interval_seconds;
  options.subscription_cleanup_interval_seconds = config.subscription_cleanup_interval_seconds;
  options.zone_offset_seconds = zoned ? &zone_offset_seconds : nullptr;
  const auto budget = static_cast<std::size_t>(config.memory_budget_bytes);
  options.inbox_bytes_max = budget / 8;
  options.unsaved_bytes_max = budget / 8;
  options.ready_bytes_max = budget / 16;
  options.queue_bytes_max = budget / 4;
  options.log_bytes_max = static_cast<std::uint64_t>(config.log_bytes_max);
  options.cut_after_ns = config.image_cut_ms * kNanosPerMilli;
  options.cut_bytes = static_cast<std::size_t>(config.image_cut_bytes);

  late = std::make_unique<LateSender>(webhooks);
  partition = std::make_unique<services::Partition>(
      options, services::Partition::Deps{
                   .log = *log,
                   .store = *store,
                   .clock = clock,
                   .rng = rng,
                   .tracer = *tracer,
                   .metrics = metrics,
                   .webhooks = *late,
                   .disk_low =
                       [path = config.data_path, reserve = static_cast<std::uint64_t>(config.disk_reserve_bytes)] {
                         struct statvfs disk{};
                         return statvfs(path.c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < reserve;
                       },
                   .on_failure = disk_failed,
                   .may_notify = [this](std::string_view url) { return rates->take(services::RateBucket::kWebhook, url) == 0; },
                   .rates = rates.get()});
  auto allowed = transport::AllowedNetworks::parse(config.webhook_allowed_networks);
  if (!allowed) return failure(kExitConfig, "invalid config: webhookAllowedNetworks: " + allowed.error().message);
  transport::WebhookSenderOptions sender;
  sender.hmac_secret = config.webhook_hmac_secret;
  sender.allowed = std::move(*allowed);
  sender.timeout = seconds(config.webhook_timeout_seconds);
  sender.version = kVersion;
  auto opened_sender = transport::CurlWebhookSender::open(std::move(sender), clock);
  if (!opened_sender) return failure(kExitConfig, "invalid config: webhooks: " + opened_sender.error().message);
  webhooks = std::move(*opened_sender);

  const auto began = clock.steady_ns();
  auto report = partition->start();
  if (!report) return failure(exit_status_of(report.error().code), "init app: " + report.error().message);
  spdlog::info("recovered: {} tasks wait, {} are leased; {} records in {} groups were replayed from the log, {} ms",
               report->waiting, report->leased, report->records, report->groups, (clock.steady_ns() - began) / kNanosPerMilli);
  return {};
}

void Server::Parts::exposition(services::Done<observe::MetricsPage> done) {
  partition->gauges([this, done = std::move(done)](Result<observe::Gauges> known) mutable {
    if (!known) return done(std::unexpected<Error>(std::move(known).error()));
    done([this, gauges = *std::move(known)](observe::MetricsFormat format) mutable {
      if (const auto* server = serving.load()) {
        gauges.http_connections = server->connections();
        gauges.http_parked = server->parked_polls();
      }
      if (streams) gauges.stream_connections = streams->connections();
      const auto stored = store->stats();
      for (const auto& table : stored.tables) gauges.store.table_bytes.emplace_back(table.name, table.bytes);
      gauges.store.memory_bytes = stored.memory_bytes;
      gauges.store.flushed_bytes = stored.bytes_flushed;
      gauges.store.compacted_bytes = stored.bytes_compacted;
      gauges.store.pending_bytes = stored.compaction_pending_bytes;
      gauges.store.compactions = stored.compactions_running;
      gauges.store.stalls = stored.stalls;
      gauges.store.stalled = stored.stalled;
      gauges.spans = tracer->stats();
      gauges.disk_syncs = disk::syncs_made();
      gauges.disk_sync_times = disk::sync_times();
      tls->add_to(gauges);
      gauges.durability = durability_text(config.durability);
      gauges.sampling = sampling;
      return metrics.exposition(gauges, format);
    });
  });
}

std::expected<void, StartFailure> Server::Parts::open_auth() {
  auto fetcher_or = transport::CurlGet::open(kVersion, clock);
  if (!fetcher_or) return failure(kExitInternal, "init app: " + fetcher_or.error().message);
  fetcher = std::move(*fetcher_or);
  auto authenticator_or = services::make_authenticator(auth_options(config), {.clock = &clock, .http = fetcher.get()});
  if (!authenticator_or) return failure(kExitConfig, "invalid config: " + authenticator_or.error().message);
  authenticator = std::move(*authenticator_or);
  return {};
}

// `any_port`: where a port is taken, another one will do.
std::expected<void, StartFailure> Server::Parts::open_streams(bool any_port) {
  transport::GrpcOptions options;
  const auto listen = [&](const std::string& address, bool workers) -> Result<void> {
    if (address.empty()) return {};
    CODEQ_TRY(const auto parsed, parse_listen_address(address));
    options.listeners.push_back(
        {.host = parsed.host, .port = parsed.port, .producers = !workers, .workers = workers, .tls = tls->streams()});
    return {};
  };
  for (const bool workers : {true, false})
    if (const auto good = listen(workers ? config.worker_stream_addr : config.producer_stream_addr, workers); !good)
      return failure(kExitConfig, "invalid config: " + good.error().message);
  if (options.listeners.empty()) return {};
  const auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };
  options.io_threads = static_cast<unsigned>(config.stream_io_threads);
  options.connections_max = std::min(size(config.stream_connections_max), connections_allowed() / 4);  // the rest is for HTTP
  options.streams_max = static_cast<std::uint32_t>(config.streams_per_connection_max);
  options.header_bytes_max = size(config.stream_header_bytes_max);
  options.in_flight_bytes_max = size(config.stream_in_flight_bytes_max);
  options.reset_burst = static_cast<std::uint64_t>(config.stream_reset_burst);
  options.reset_per_second = static_cast<std::uint64_t>(config.stream_resets_per_second);
  options.continuations_max = size(config.stream_continuations_max);
  options.settings_max = size(config.stream_settings_max);
  options.idle_frames_per_second = size(config.stream_idle_frames_per_second);
  options.keepalive_after = seconds(config.stream_keepalive_seconds);
  options.calls.in_flight_max = size(config.stream_in_flight_max);
  options.calls.credits_max = size(config.stream_credits_max);
  options.calls.ready_count_max = size(config.stream_ready_count_max);
  options.calls.json_depth_max = size(config.http_json_depth_max);
  options.calls.hello_timeout_ns = config.stream_hello_timeout_seconds * kNanosPerSecond;
  const transport::grpc::CallDeps deps{.broker = *partition,
                                       .authenticator = *authenticator,
                                       .clock = clock,
                                       .metrics = &metrics,
                                       .rates = rates.get(),
                                       .limits = {}};
  auto started = transport::GrpcServer::start(options, deps);
  if (!started && any_port) {
    for (auto& listener : options.listeners) listener.port = 0;
    started = transport::GrpcServer::start(options, deps);
  }
  if (!started) return failure(kExitBind, "stream server: " + started.error().message);
  streams = std::move(*started);
  for (std::size_t i = 0; i < options.listeners.size(); ++i) {
    (options.listeners[i].workers ? worker_port : producer_port) = streams->port(i);
    spdlog::info("{} streaming gRPC enabled on port {}", options.listeners[i].workers ? "worker" : "producer",
                 streams->port(i));
  }
  return {};
}

std::expected<void, StartFailure> Server::Parts::open_http(bool zoned) {
  transport::HttpOptions options;
  options.host = config.listen_host;
  options.port = static_cast<std::uint16_t>(config.port);
  options.tls = tls->http();
  options.io_threads = static_cast<unsigned>(config.http_io_threads);
  options.header_bytes_max = static_cast<std::size_t>(config.http_header_bytes_max);
  options.body_bytes_max = static_cast<std::size_t>(config.http_body_bytes_max);
  options.json_depth_max = static_cast<std::size_t>(config.http_json_depth_max);
  const auto allowed = connections_allowed();
  options.connections_max =
      std::min(static_cast<std::size_t>(config.http_connections_max), streams ? allowed - allowed / 4 : allowed);
  if (options.connections_max < static_cast<std::size_t>(config.http_connections_max))
    spdlog::warn("httpConnectionsMax is {} here: the limit of open files (ulimit -n) leaves no room for more",
                 options.connections_max);
  options.parked_polls_max = static_cast<std::size_t>(config.http_parked_polls_max);
  options.in_flight_bytes_max = static_cast<std::size_t>(config.http_in_flight_bytes_max);
  options.header_timeout = seconds(config.http_header_timeout_seconds);
  options.body_timeout = seconds(config.http_body_timeout_seconds);
  options.idle_timeout = seconds(config.http_idle_timeout_seconds);
  options.write_timeout = seconds(config.http_write_timeout_seconds);
  if (zoned) options.zone_offset_seconds = zone_offset_seconds;
  options.dev_role_header = config.dev_role_header;
  options.artifacts_dir = config.local_artifacts_dir;
  options.version_json = std::string(R"({"name":"codeq","version":")") + kVersion + R"(","durability":")" +
                         durability_text(config.durability) + "\"}";
  auto started = transport::HttpServer::start(
      std::move(options),
      {.broker = *partition,
       .authenticator = *authenticator,
       .tracer = *tracer,
       .clock = clock,
       .rng = rng,
       .metrics = [this](services::Done<observe::MetricsPage> done) { exposition(std::move(done)); },
       .readiness =
           [] { return transport::Readiness{.ready = true, .checks = {{"log", true}, {"partition", true}}}; },
       .rates = rates.get(),
       .counters = &metrics});
  if (!started) return failure(kExitBind, "http server: " + started.error().message);
  http = std::move(*started);
  serving = http.get();
  return {};
}

std::expected<void, StartFailure> Server::Parts::open(const GetEnv& getenv, bool local_view) {
  const bool zoned = use_timezone(config.timezone);
  auto opened_tls = Tls::open(config);  // first: a wrong file should be told before a long recovery
  if (!opened_tls) return failure(kExitConfig, "invalid config: " + opened_tls.error().message);
  tls = std::move(*opened_tls);
  rates = services::make_rate_limiter(rate_limits(config), clock);
  if (auto done = open_tracer(getenv, local_view); !done) return done;
  if (auto done = open_partition(zoned); !done) return done;
  open_control();
  if (auto done = open_auth(); !done) return done;
  if (auto done = open_streams(local_view); !done) return done;
  return open_http(zoned);
}

// Serving does not need it: some file systems have no sockets.
void Server::Parts::open_control() {
  clear_backup_staging(config.data_path);
  auto started = Control::start(config.data_path, [this](std::string_view line, const auto& send, const auto& stop) {
    control_line(line, send, stop);
  });
  if (started)
    control = std::move(*started);
  else
    spdlog::warn("`codeq backup` will not work while this broker runs: {}", started.error().message);
}

void Server::Parts::control_line(std::string_view line, const Control::Send& send, const std::stop_token& stop) {
  constexpr std::string_view kBackup = "backup ";
  if (!line.starts_with(kBackup)) {
    send(fmt::format("error {} this broker knows no such command", kExitUsage));
    return;
  }
  const std::string to(line.substr(kBackup.size()));
  spdlog::info("backup to {} begins", to);
  const auto began = clock.steady_ns();
  bool gone = false;
  const auto made = back_up_running({.log = *log,
                                     .store = *store,
                                     .partition = *partition,
                                     .data = config.data_path,
                                     .reserve_bytes = static_cast<std::uint64_t>(config.disk_reserve_bytes)},
                                    to, [&] { return gone || stop.stop_requested(); },
                                    [&](const BackupProgress& at) {
                                      gone = !send(fmt::format("progress {} {}", at.bytes_done, at.bytes_total));
                                    });
  if (!made) {
    spdlog::warn("backup to {} failed: {}", to, made.error().message);
    const int status = made.error().code == Code::kInvalidArgument ? kExitConfig : exit_status_of(made.error().code);
    send(fmt::format("error {} {}", status, made.error().message));
    return;
  }
  spdlog::info("backup to {} is whole: {} files, {} bytes, up to group {} of the log, {} ms", to, made->files, made->bytes,
               made->last_group, (clock.steady_ns() - began) / kNanosPerMilli);
  send(fmt::format("done backed up to {}: {} files, {} bytes", to, made->files, made->bytes));
}

Result<void> check_data_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::absolute(path, error).parent_path(), error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(Code::kIo, "cannot make " + path + ": " + std::strerror(errno));
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const auto name = entry.path().filename().string();
    if (name == "log" || name == "store" || name == "store.new" || name == "dev-tokens" || name == "artifacts" ||
        name == "control.sock" || name == "backup.staging")
      continue;
    return fail(Code::kInvalidArgument,
                path + " holds " + name +
                    ", which is not CodeQ's; nothing was changed. A store of the reference broker cannot be read: "
                    "let that broker drain its queues, then start here with an empty folder");
  }
  return {};  // empty or ours
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() { stop(); }

std::expected<std::unique_ptr<Server>, StartFailure> Server::start(const Config& config, const GetEnv& getenv,
                                                                   bool local_view) {
  auto parts = std::make_unique<Parts>();
  parts->config = config;
  auto server = std::unique_ptr<Server>(new Server(std::move(parts)));  // its stop() closes whatever was opened
  if (auto opened = server->parts_->open(getenv, local_view); !opened)
    return std::unexpected(std::move(opened).error());
  return server;
}

std::uint16_t Server::port() const { return parts_->http->port(); }
std::optional<std::uint16_t> Server::worker_stream_port() const { return parts_->worker_port; }
std::optional<std::uint16_t> Server::producer_stream_port() const { return parts_->producer_port; }
bool Server::secure() const { return parts_->tls->http() != nullptr; }
void Server::reload_certificates() { parts_->tls->reload_now(); }

void Server::stop() {
  auto& p = *parts_;
  if (std::exchange(p.stopped, true)) return;
  if (p.http) p.http->stop_accepting();
  if (p.streams) p.streams->stop_accepting();
  p.control.reset();
  const auto began = p.clock.steady_ns();
  const auto left = [&] {
    const auto rest = seconds(10) - std::chrono::nanoseconds(p.clock.steady_ns() - began);
    return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(rest));
  };
  if (p.streams) p.streams->begin_drain();
  if (p.partition) p.partition->begin_drain();
  if (p.http) p.http->drain(left());
  p.http.reset();
  if (p.streams) p.streams->drain(std::min(left(), milliseconds(3'000)));
  p.streams.reset();
  p.fetcher.reset();  // nobody asks the authenticator any more
  if (p.partition) p.partition->wait_deliveries(left());
  if (p.partition) p.partition->stop();
  p.webhooks.reset();
  p.partition.reset();
  p.store.reset();
  p.log.reset();
  if (p.exporter != nullptr) p.exporter->shutdown(seconds(5));
}

}  // namespace codeq::app
