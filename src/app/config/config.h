// Every setting of the broker with its type and default. What a key is called, which variable it has and what it means
// is in keys.cc; docs/configuration.md is made from both.
//
// Unit     in the member's name
// Errors   a Config that load_config returned is within every range and rule of keys.cc and check.cc
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace codeq::app {

// The enumerators stand in the order of `choices` in keys.cc.
enum class Durability : std::uint8_t { kSync, kInterval, kNone };
enum class AttemptCounting : std::uint8_t { kDelivery, kReference };
enum class Backoff : std::uint8_t { kFixed, kLinear, kExponential, kExpEqualJitter, kExpFullJitter };
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : std::uint8_t { kJson, kText };
enum class TlsAuth : std::uint8_t { kNone, kOptional, kRequire };

// As written in one place, so that `observe` can put the OTEL_* variables between the two.
struct TracingValues {
  std::optional<bool> enabled;
  std::optional<std::string> service_name;
  std::optional<std::string> otlp_endpoint;
  std::optional<bool> otlp_insecure;
  std::optional<double> sample_ratio;  // 0..1
};

struct RateLimit {
  std::int64_t requests_per_minute = 0;  // 0: off
  std::int64_t burst = 0;                // 0: off
};

struct Config {
  // Server
  std::string env = "dev";
  std::string listen_host;               // an IP address; empty: all interfaces
  std::int64_t port = 8080;
  std::string timezone = "UTC";          // IANA name
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kJson;

  // TLS; after loading `stream_tls_*` is what holds for the streams
  std::string tls_cert_file;             // PEM; empty: plaintext, and so below
  std::string tls_key_file;
  std::string tls_client_ca_file;
  TlsAuth tls_client_auth = TlsAuth::kNone;
  std::string stream_tls_cert_file;
  std::string stream_tls_key_file;
  std::string stream_tls_client_ca_file;
  TlsAuth stream_tls_client_auth = TlsAuth::kNone;

  // Store
  std::string persistence_provider = "embedded";  // or "pebble", which means the same
  std::string data_path;                          // never empty after loading
  std::optional<bool> fsync_on_commit;            // already counted in `durability`
  std::int64_t num_shards = 1;                    // this version runs one partition
  Durability durability = Durability::kSync;
  std::int64_t durability_interval_ms = 100;
  std::int64_t disk_reserve_bytes = std::int64_t{256} << 20;
  std::int64_t command_queue_max = 8192;
  std::int64_t memory_budget_bytes = std::int64_t{512} << 20;
  std::int64_t store_write_buffer_bytes = 0;  // after loading: never 0, and so for the two below
  std::int64_t store_cache_bytes = 0;
  std::int64_t http_in_flight_bytes_max = 0;
  std::int64_t log_bytes_max = std::int64_t{256} << 20;
  std::int64_t log_segment_bytes = std::int64_t{64} << 20;
  std::int64_t log_spare_segments = 1;
  std::int64_t image_cut_ms = 250;
  std::int64_t image_cut_bytes = std::int64_t{16} << 20;

  // Tasks
  std::int64_t default_lease_seconds = 300;
  std::int64_t max_attempts_default = 5;
  AttemptCounting attempt_counting = AttemptCounting::kDelivery;
  Backoff backoff_policy = Backoff::kExpFullJitter;
  std::int64_t backoff_base_seconds = 5;
  std::int64_t backoff_max_seconds = 900;
  std::int64_t idempotency_ttl_seconds = 86'400;
  std::int64_t retention_seconds = 86'400;
  std::string local_artifacts_dir = "/tmp/codeq-artifacts";

  // Who may
  std::string producer_auth_provider;    // "static", "jwks", "multi"; empty: none, and `serve` refuses to start
  std::string producer_auth_config;      // JSON text; a secret
  std::string worker_auth_provider;      // empty: none, and worker routes answer 500
  std::string worker_auth_config;        // JSON text; a secret
  bool allow_producer_as_worker = false;
  bool dev_role_header = false;
  std::string identity_service_url, identity_jwks_url, identity_issuer, identity_audience;
  std::string worker_jwks_url, worker_issuer;
  std::string worker_audience = "codeq-worker";
  std::int64_t allowed_clock_skew_seconds = 60;

  // Webhooks
  std::string webhook_hmac_secret;       // empty: not signed
  bool webhook_signing_required = false;
  std::vector<std::string> webhook_allowed_networks;  // CIDRs, address and prefix length checked
  std::int64_t webhook_per_host_concurrency = 8;
  std::int64_t webhook_timeout_seconds = 15;
  std::int64_t result_webhook_max_attempts = 5;
  std::int64_t result_webhook_base_backoff_seconds = 2;
  std::int64_t result_webhook_max_backoff_seconds = 60;
  std::int64_t subscription_min_interval_seconds = 5;
  std::int64_t subscription_cleanup_interval_seconds = 60;

  // HTTP limits
  std::int64_t http_io_threads = 1;
  std::int64_t http_connections_max = 10'000;
  std::int64_t http_parked_polls_max = 10'000;
  std::int64_t http_header_bytes_max = 32'768;
  std::int64_t http_body_bytes_max = 1'048'576;
  std::int64_t http_json_depth_max = 64;
  std::int64_t http_header_timeout_seconds = 5;
  std::int64_t http_body_timeout_seconds = 30;
  std::int64_t http_write_timeout_seconds = 30;
  std::int64_t http_idle_timeout_seconds = 120;

  // Tracing
  TracingValues tracing_file;            // the YAML keys
  TracingValues tracing_env;             // the TRACING_* variables

  // Rate limits
  RateLimit rate_producer, rate_worker, rate_webhook, rate_admin;

  // Streams
  std::string worker_stream_addr;        // "host:port" or ":port"; empty: off
  std::string producer_stream_addr;
  std::int64_t stream_io_threads = 1;
  std::int64_t stream_connections_max = 10'000;
  std::int64_t streams_per_connection_max = 1'000;
  std::int64_t stream_in_flight_max = 4'096;
  std::int64_t stream_credits_max = 16'384;
  std::int64_t stream_ready_count_max = 1'024;
  std::int64_t stream_hello_timeout_seconds = 10;
  std::int64_t stream_keepalive_seconds = 60;
  std::int64_t stream_header_bytes_max = 16'384;
  std::int64_t stream_in_flight_bytes_max = 0;  // after loading: never 0
  std::int64_t stream_reset_burst = 1'000;
  std::int64_t stream_resets_per_second = 33;
  std::int64_t stream_continuations_max = 8;
  std::int64_t stream_settings_max = 32;
  std::int64_t stream_idle_frames_per_second = 2'000;

  [[nodiscard]] bool is_dev() const;     // `env` is "dev" in any case; grants no right to anyone
};

}  // namespace codeq::app
