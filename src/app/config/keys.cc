#include "app/config/keys.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include <fmt/format.h>

namespace codeq::app {
namespace {

using enum KeyStatus;
using enum KeyType;

constexpr std::int64_t kYearSeconds = 366 * 86'400;
constexpr std::string_view kNoRedis = "without meaning here, ignored: the store is embedded";
constexpr std::string_view kNoUse = "without meaning here, ignored";
constexpr std::string_view kOneNode =
    "this version runs as one node with one partition; remove the key or set it to false, and run one broker";

constexpr Key kServer[] = {
    {.name = "port",
     .member = &Config::port,
     .help = "TCP port of the HTTP API.",
     .min = 1,
     .max = 65'535,
     .low_is_default = true},
    {.name = "listenHost",
     .member = &Config::listen_host,
     .help = "IP address to listen on, or `localhost`. Empty: every interface.",
     .default_note = "all interfaces"},
    {.name = "env",
     .member = &Config::env,
     .help = "Name of the environment. Outside `dev` a warning says what is left open. It grants no right to anyone."},
    {.name = "timezone",
     .member = &Config::timezone,
     .help =
         "IANA name of the zone whose offset timestamps in answers carry. The reference's default is `America/Sao_Paulo`."},
    {.name = "logLevel", .member = &Config::log_level, .help = "The least severe lines that are logged."},
    {.name = "logFormat", .member = &Config::log_format, .help = "One JSON object a line, or text."},
};

constexpr Key kTls[] = {
    {.name = "tlsCertFile",
     .member = &Config::tls_cert_file,
     .help = "PEM file of the server's certificate and the intermediate ones. With it the HTTP port speaks TLS (1.2 and 1.3) "
             "only. It and the files below are read again when they change, and at SIGHUP; see [tls.md](tls.md).",
     .default_note = "no TLS"},
    {.name = "tlsKeyFile",
     .member = &Config::tls_key_file,
     .help = "PEM file of the certificate's key, not encrypted.",
     .default_note = "no TLS"},
    {.name = "tlsClientCaFile",
     .member = &Config::tls_client_ca_file,
     .help = "PEM file of those who may have signed clients' certificates.",
     .default_note = "none"},
    {.name = "tlsClientAuth",
     .member = &Config::tls_client_auth,
     .help = "Whether clients show a certificate: not asked, `optional` (one that comes has to be right), or `require`. It comes "
             "before the token and does not replace it.",
     .default_note = "`require` with `tlsClientCaFile`, else `none`"},
    {.name = "streamTlsCertFile",
     .member = &Config::stream_tls_cert_file,
     .help = "As `tlsCertFile`, for the streams' ports; `none`: plaintext there although HTTP has TLS.",
     .default_note = "as `tlsCertFile`"},
    {.name = "streamTlsKeyFile",
     .member = &Config::stream_tls_key_file,
     .help = "As `tlsKeyFile`, for the streams; it goes with `streamTlsCertFile`.",
     .default_note = "as `tlsKeyFile`"},
    {.name = "streamTlsClientCaFile",
     .member = &Config::stream_tls_client_ca_file,
     .help = "As `tlsClientCaFile`, for the streams.",
     .default_note = "as `tlsClientCaFile`"},
    {.name = "streamTlsClientAuth",
     .member = &Config::stream_tls_client_auth,
     .help = "As `tlsClientAuth`, for the streams.",
     .default_note = "`require` with `streamTlsClientCaFile`, else as `tlsClientAuth`"},
};

constexpr Key kStore[] = {
    {.name = "persistenceProvider",
     .member = &Config::persistence_provider,
     .help =
         "`embedded`, or `pebble`, which means the same with the reference's default path. Everything else is refused."},
    {.name = "persistenceConfig",
     .type = kJson,
     .help =
         "The three keys below as a YAML mapping or as JSON text. The variable replaces the whole mapping of the file."},
    {.name = "persistenceConfig.path",
     .member = &Config::data_path,
     .help = "The data folder; created with mode 0700, held by one process at a time.",
     .default_note = "`./codeq-data`, with `pebble` `./codeq-pebble`"},
    {.name = "persistenceConfig.fsyncOnCommit",
     .member = &Config::fsync_on_commit,
     .help = "The reference's switch. An explicit `false` means `durability: interval`, unless `durability` is set.",
     .default_note = "not set"},
    {.name = "persistenceConfig.numShards",
     .member = &Config::num_shards,
     .help = "Number of partitions. This version runs one and says so in the log when more are asked for.",
     .min = 1,
     .max = 1024,
     .low_is_default = true},
    {.name = "persistenceConfig.addr",
     .status = kIgnored,
     .help = "Address of the reference's Redis.",
     .advice = kNoRedis},
    {.name = "persistenceConfig.password",
     .status = kIgnored,
     .help = "Password of the reference's Redis.",
     .advice = kNoRedis,
     .secret = true},
    {.name = "durability",
     .member = &Config::durability,
     .help =
         "When an answer counts as kept. `sync`: after fdatasync, nothing acknowledged is lost on a power failure. `interval`: "
         "synced every `durabilityIntervalMs`; a killed process loses nothing, a power failure up to that much. `none`: when the "
         "system writes its buffers."},
    {.name = "durabilityIntervalMs",
     .member = &Config::durability_interval_ms,
     .help = "The most that `durability: interval` can lose on a power failure.",
     .unit = "ms",
     .min = 1,
     .max = 60'000},
    {.name = "diskReserveBytes",
     .member = &Config::disk_reserve_bytes,
     .help =
         "Creates are answered 503 `disk-full` while the data folder's disk has less room than this; everything else goes on.",
     .unit = "bytes"},
    {.name = "commandQueueMax",
     .member = &Config::command_queue_max,
     .help = "Commands that may wait for the partition; past it the answer is 503 `overloaded`.",
     .min = 16,
     .max = 1'048'576},
    {.name = "memoryBudgetBytes",
     .member = &Config::memory_budget_bytes,
     .help = "What the broker may use for queues, tasks at work, requests, and the store's buffers and cache. Where it is "
             "spent, creates are answered 503 `overloaded` until there is room. A quarter is for the queues: 8 bytes a waiting "
             "task.",
     .unit = "bytes",
     .min = std::int64_t{64} << 20,
     .max = std::int64_t{1} << 40},
    {.name = "storeWriteBufferBytes",
     .member = &Config::store_write_buffer_bytes,
     .help = "Part of the budget: rows that wait to be written to the store's files.",
     .unit = "bytes",
     .min = 0,
     .max = std::int64_t{1} << 36,
     .default_note = "an eighth of `memoryBudgetBytes`"},
    {.name = "storeCacheBytes",
     .member = &Config::store_cache_bytes,
     .help = "Part of the budget: what the store keeps of its files, indexes included.",
     .unit = "bytes",
     .min = 0,
     .max = std::int64_t{1} << 36,
     .default_note = "an eighth of `memoryBudgetBytes`"},
    {.name = "logBytesMax",
     .member = &Config::log_bytes_max,
     .help = "How much log may collect before the store is flushed and the log's room is used again; bounds what a start after "
             "a crash has to read.",
     .unit = "bytes",
     .min = std::int64_t{1} << 20,
     .max = std::int64_t{1} << 40},
    {.name = "logSegmentBytes",
     .member = &Config::log_segment_bytes,
     .help = "Size of a log segment; the first ones are smaller. A segment is used again as a whole.",
     .unit = "bytes",
     .min = 65'536,
     .max = std::int64_t{1} << 30},
    {.name = "logSpareSegments",
     .member = &Config::log_spare_segments,
     .help = "Log segments that nobody needs any more and that are kept to be used again; the others are removed.",
     .min = 1,
     .max = 64},
    {.name = "imageCutMs",
     .member = &Config::image_cut_ms,
     .help = "How long changes collect in memory before they go to the store. A task that comes and goes within it is written once.",
     .unit = "ms",
     .min = 1,
     .max = 60'000},
    {.name = "imageCutBytes",
     .member = &Config::image_cut_bytes,
     .help = "Changes go to the store earlier when there are this many bytes of them.",
     .unit = "bytes",
     .min = 4096,
     .max = std::int64_t{1} << 30},
};

constexpr Key kTasks[] = {
    {.name = "defaultLeaseSeconds",
     .member = &Config::default_lease_seconds,
     .help = "Lease of a claim that names none.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds,
     .low_is_default = true},
    {.name = "maxAttemptsDefault",
     .member = &Config::max_attempts_default,
     .help = "Attempts of a task that names none.",
     .min = 1,
     .max = 1'000'000,
     .low_is_default = true},
    {.name = "attemptCounting",
     .member = &Config::attempt_counting,
     .help =
         "`delivery`: a claim is one attempt. `reference`: a nack or an expired lease counts once more, as the reference does, so a "
         "task runs about half as often."},
    {.name = "backoffPolicy",
     .member = &Config::backoff_policy,
     .help = "Wait before a nacked or expired task is tried again."},
    {.name = "backoffBaseSeconds",
     .member = &Config::backoff_base_seconds,
     .help = "Base of the back-off.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds,
     .low_is_default = true},
    {.name = "backoffMaxSeconds",
     .member = &Config::backoff_max_seconds,
     .help = "Longest back-off; also the longest delay that a nack may ask for.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds,
     .low_is_default = true},
    {.name = "idempotencyTtlSeconds",
     .member = &Config::idempotency_ttl_seconds,
     .help = "How long an idempotency key leads to its first task.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds},
    {.name = "retentionSeconds",
     .member = &Config::retention_seconds,
     .help = "How long a finished task and its result can be read, from the moment it finished.",
     .unit = "s",
     .min = 1,
     .max = 10 * kYearSeconds},
    {.name = "localArtifactsDir",
     .member = &Config::local_artifacts_dir,
     .help = "Folder that uploaded artifacts are written to."},
    {.name = "requeueInspectLimit",
     .status = kIgnored,
     .type = kInt,
     .help = "The reference's scan limit; timers need none.",
     .advice = kNoUse},
    {.name = "cleanupIntervalSeconds",
     .status = kIgnored,
     .type = kInt,
     .help = "From the reference's sample file; it is read by neither.",
     .advice = kNoUse},
};

constexpr Key kAuth[] = {
    {.name = "producerAuthProvider",
     .member = &Config::producer_auth_provider,
     .help = "`static`, `jwks` or `multi`; see [auth.md](auth.md). Without one, and without an identity service, `codeq serve` does "
             "not start.",
     .default_note = "`jwks` with `identityServiceUrl` or `identityJwksUrl`, else none"},
    {.name = "producerAuthConfig",
     .member = JsonMember{&Config::producer_auth_config},
     .help =
         "Of the provider, as a YAML mapping or as JSON text. `static`: `token` (required), `subject`, `email`, `scopes`, "
         "`eventTypes`, `raw` (claims such as `tenantId`, `role`), or the token alone. `jwks`: `jwksUrl`, `issuer`, `audience` "
         "(required), `clockSkew`, `httpTimeout` (nanoseconds). `multi`: `providers`, two to four of `{type, config}`.",
     .default_note = "for `jwks` from the `identity*` keys, else none",
     .secret = true},
    {.name = "workerAuthProvider",
     .member = &Config::worker_auth_provider,
     .help = "As `producerAuthProvider`. Without one the worker routes answer 500, as in the reference.",
     .default_note = "`jwks` with `workerJwksUrl`, else none"},
    {.name = "workerAuthConfig",
     .member = JsonMember{&Config::worker_auth_config},
     .help = "As `producerAuthConfig`; a worker needs at least one scope and one event type.",
     .default_note = "for `jwks` from the `worker*` keys, else none",
     .secret = true},
    {.name = "allowProducerAsWorker",
     .member = &Config::allow_producer_as_worker,
     .help = "A producer's token also works on worker routes, with every worker scope and event type."},
    {.name = "devRoleHeader",
     .member = &Config::dev_role_header,
     .help = "A producer whose token names no role is an admin with the request header `X-Role: ADMIN`, as in the reference's dev mode. "
             "Refused outside `env: dev`."},
    {.name = "identityServiceUrl",
     .member = &Config::identity_service_url,
     .help = "Base URL of the identity service: where the key set and the issuer of producers' tokens are, unless the two keys below say it.",
     .default_note = "none"},
    {.name = "identityServiceApiKey", .status = kIgnored, .help = "Used by neither.", .advice = kNoUse, .secret = true},
    {.name = "identityJwksUrl",
     .member = &Config::identity_jwks_url,
     .help = "Key set of producers' tokens.",
     .default_note = "`<identityServiceUrl>/v1/.well-known/jwks.json`"},
    {.name = "identityIssuer",
     .member = &Config::identity_issuer,
     .help = "Issuer of producers' tokens.",
     .default_note = "`identityServiceUrl` without a trailing slash"},
    {.name = "identityAudience",
     .member = &Config::identity_audience,
     .help = "Audience of producers' tokens; required where the keys above are used.",
     .default_note = "none"},
    {.name = "workerJwksUrl", .member = &Config::worker_jwks_url, .help = "Key set of workers' tokens.", .default_note = "none"},
    {.name = "workerIssuer",
     .member = &Config::worker_issuer,
     .help = "Issuer of workers' tokens; required with `workerJwksUrl`.",
     .default_note = "none"},
    {.name = "workerAudience", .member = &Config::worker_audience, .help = "Audience of workers' tokens."},
    {.name = "allowedClockSkewSeconds",
     .member = &Config::allowed_clock_skew_seconds,
     .help = "Leeway for the times of a token, where its provider is made from the keys above; `clockSkew` of a provider's own "
             "configuration is in nanoseconds.",
     .unit = "s",
     .min = 1,
     .max = 86'400,
     .low_is_default = true},
    {.name = "auth",
     .status = kIgnored,
     .type = kAny,
     .help = "From the reference's sample file; it is read by neither.",
     .advice = "read by no version, ignored: tokens are configured with producerAuthProvider and workerAuthProvider"},
};

constexpr Key kWebhooks[] = {
    {.name = "webhookHmacSecret",
     .member = &Config::webhook_hmac_secret,
     .help =
         "Key of the signatures on webhooks. After a leading `whsec_` it is base64, else its bytes. Empty: not signed.",
     .default_note = "none",
     .secret = true},
    {.name = "webhookSigningRequired",
     .member = &Config::webhook_signing_required,
     .help = "Refuse to start without `webhookHmacSecret`."},
    {.name = "webhookAllowedNetworks",
     .member = &Config::webhook_allowed_networks,
     .help =
         "Networks in CIDR form that webhooks may reach although IANA does not list them as global, such as `10.1.0.0/16`. In the "
         "variable they are separated by commas.",
     .default_note = "none"},
    {.name = "webhookPerHostConcurrency",
     .member = &Config::webhook_per_host_concurrency,
     .help = "Deliveries under way to one host at the same time.",
     .min = 1,
     .max = 1024},
    {.name = "webhookTimeoutSeconds",
     .member = &Config::webhook_timeout_seconds,
     .help = "Limit of one delivery.",
     .unit = "s",
     .min = 1,
     .max = 300},
    {.name = "resultWebhookMaxAttempts",
     .member = &Config::result_webhook_max_attempts,
     .help = "Deliveries tried before one is kept as failed.",
     .min = 1,
     .max = 1000,
     .low_is_default = true},
    {.name = "resultWebhookBaseBackoffSeconds",
     .member = &Config::result_webhook_base_backoff_seconds,
     .help = "Wait after the first failed delivery; it doubles.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds,
     .low_is_default = true},
    {.name = "resultWebhookMaxBackoffSeconds",
     .member = &Config::result_webhook_max_backoff_seconds,
     .help = "Longest wait between two deliveries.",
     .unit = "s",
     .min = 1,
     .max = kYearSeconds,
     .low_is_default = true},
    {.name = "subscriptionMinIntervalSeconds",
     .member = &Config::subscription_min_interval_seconds,
     .help = "Least time between two queue-ready webhooks to one subscription that names none.",
     .unit = "s",
     .min = 1,
     .max = 86'400,
     .low_is_default = true},
    {.name = "subscriptionCleanupIntervalSeconds",
     .member = &Config::subscription_cleanup_interval_seconds,
     .help = "Least time between two sweeps of subscriptions that are over; they are not called meanwhile.",
     .unit = "s",
     .min = 1,
     .max = 86'400,
     .low_is_default = true},
    {.name = "webhookHandlers",
     .status = kIgnored,
     .type = kAny,
     .help = "From the reference's sample file; it is read by neither.",
     .advice = kNoUse},
};

constexpr Key kHttp[] = {
    {.name = "httpIoThreads",
     .member = &Config::http_io_threads,
     .help = "Threads that read requests and write answers.",
     .min = 1,
     .max = 256},
    {.name = "httpConnectionsMax",
     .member = &Config::http_connections_max,
     .help = "Open connections; further ones get 503 and are closed.",
     .min = 1,
     .max = 1'000'000},
    {.name = "httpInFlightBytesMax",
     .member = &Config::http_in_flight_bytes_max,
     .help = "Part of the memory budget: request bodies that are being read and answers that are not yet written, over all "
             "connections; past it requests are answered 503 `overloaded`.",
     .unit = "bytes",
     .min = 0,
     .max = std::int64_t{1} << 40,
     .default_note = "an eighth of `memoryBudgetBytes`"},
    {.name = "httpParkedPollsMax",
     .member = &Config::http_parked_polls_max,
     .help = "Claims and result reads that may wait at the same time; past it they are answered 503 `overloaded`.",
     .min = 0,
     .max = 1'000'000},
    {.name = "httpHeaderBytesMax",
     .member = &Config::http_header_bytes_max,
     .help = "Request line and headers together.",
     .unit = "bytes",
     .min = 1024,
     .max = 1 << 20},
    {.name = "httpBodyBytesMax",
     .member = &Config::http_body_bytes_max,
     .help = "A request's body; past it 413.",
     .unit = "bytes",
     .min = 1024,
     .max = 16 << 20},
    {.name = "httpJsonDepthMax",
     .member = &Config::http_json_depth_max,
     .help = "Levels of a JSON body.",
     .min = 4,
     .max = 1024},
    {.name = "httpHeaderTimeoutSeconds",
     .member = &Config::http_header_timeout_seconds,
     .help = "From a request's first byte to the end of its headers.",
     .unit = "s",
     .min = 1,
     .max = 3600},
    {.name = "httpBodyTimeoutSeconds",
     .member = &Config::http_body_timeout_seconds,
     .help = "Without 16 KiB of progress of a body; past it 408.",
     .unit = "s",
     .min = 1,
     .max = 3600},
    {.name = "httpWriteTimeoutSeconds",
     .member = &Config::http_write_timeout_seconds,
     .help = "Without 16 KiB of an answer taken; then the client is cut.",
     .unit = "s",
     .min = 1,
     .max = 3600},
    {.name = "httpIdleTimeoutSeconds",
     .member = &Config::http_idle_timeout_seconds,
     .help = "A kept connection without a request is closed after this long.",
     .unit = "s",
     .min = 1,
     .max = 86'400},
};

constexpr Key kTracing[] = {
    {.name = "tracingEnabled",
     .member = &TracingValues::enabled,
     .help = "Make and export spans. Off, the context that came with a task is still kept and handed on.",
     .default_note = "`false`"},
    {.name = "tracingServiceName",
     .member = &TracingValues::service_name,
     .help = "`service.name` of the spans. `OTEL_SERVICE_NAME` comes between the variable and the file.",
     .default_note = "`codeq`"},
    {.name = "tracingOtlpEndpoint",
     .member = &TracingValues::otlp_endpoint,
     .help =
         "Where spans go, by OTLP over gRPC: `host:port` or a URL whose scheme decides on TLS. `OTEL_EXPORTER_OTLP_ENDPOINT` comes "
         "between the variable and the file.",
     .default_note = "`localhost:4317`"},
    {.name = "tracingOtlpInsecure",
     .member = &TracingValues::otlp_insecure,
     .help = "No TLS. `OTEL_EXPORTER_OTLP_INSECURE` comes between the variable and the file.",
     .default_note = "`false`"},
    {.name = "tracingSampleRatio",
     .member = &TracingValues::sample_ratio,
     .help = "Share of the traces begun here that are kept, 0 to 1. A trace that a caller sampled is always kept.",
     .default_note = "`1`"},
};

constexpr Key kRates[] = {
    {.name = "rateLimit.producer.requestsPerMinute",
     .member = RateMember{&Config::rate_producer, &RateLimit::requests_per_minute},
     .help = "Creates of one token, per minute; a batch counts once. Both numbers of a limit must be above 0, else it is off.",
     .low_is_default = true},
    {.name = "rateLimit.producer.burstSize",
     .member = RateMember{&Config::rate_producer, &RateLimit::burst},
     .help = "Creates of one token that may come at once.",
     .low_is_default = true},
    {.name = "rateLimit.worker.requestsPerMinute",
     .member = RateMember{&Config::rate_worker, &RateLimit::requests_per_minute},
     .help = "Claims of one token, per minute; a batch counts once.",
     .low_is_default = true},
    {.name = "rateLimit.worker.burstSize",
     .member = RateMember{&Config::rate_worker, &RateLimit::burst},
     .help = "Claims of one token that may come at once.",
     .low_is_default = true},
    {.name = "rateLimit.webhook.requestsPerMinute",
     .member = RateMember{&Config::rate_webhook, &RateLimit::requests_per_minute},
     .help = "Deliveries to one address, per minute; a result webhook beyond it waits its turn.",
     .low_is_default = true},
    {.name = "rateLimit.webhook.burstSize",
     .member = RateMember{&Config::rate_webhook, &RateLimit::burst},
     .help = "Deliveries to one address that may go out at once.",
     .low_is_default = true},
    {.name = "rateLimit.admin.requestsPerMinute",
     .member = RateMember{&Config::rate_admin, &RateLimit::requests_per_minute},
     .help = "Clean-ups, redrives and purges of one token, per minute.",
     .low_is_default = true},
    {.name = "rateLimit.admin.burstSize",
     .member = RateMember{&Config::rate_admin, &RateLimit::burst},
     .help = "Clean-ups, redrives and purges of one token that may come at once.",
     .low_is_default = true},
};

constexpr Key kStreams[] = {
    {.name = "workerStreamAddr",
     .member = &Config::worker_stream_addr,
     .help = "gRPC listener for workers, e.g. `:9091` or `127.0.0.1:9091`. Port 0 takes any free one; the log says which.",
     .default_note = "off"},
    {.name = "producerStreamAddr",
     .member = &Config::producer_stream_addr,
     .help = "gRPC listener for producers, e.g. `:9092`.",
     .default_note = "off"},
    {.name = "streamIoThreads",
     .member = &Config::stream_io_threads,
     .help = "Threads that read and write the connections of streams.",
     .min = 1,
     .max = 64},
    {.name = "streamConnectionsMax",
     .member = &Config::stream_connections_max,
     .help = "Connections of both listeners; further ones are closed.",
     .min = 1},
    {.name = "streamsPerConnectionMax",
     .member = &Config::streams_per_connection_max,
     .help = "Streams of one connection. Clients on grpc-go wait without a word for a stream beyond.",
     .min = 1,
     .max = 10'000},
    {.name = "streamInFlightMax",
     .member = &Config::stream_in_flight_max,
     .help = "Creates, results and other calls of one stream without an answer. Beyond, the stream is not read until answers have left.",
     .min = 1},
    {.name = "streamCreditsMax",
     .member = &Config::stream_credits_max,
     .help = "Credits (`Ready`) of one stream. A further one is refused with `ResourceExhausted`.",
     .min = 1},
    {.name = "streamReadyCountMax",
     .member = &Config::stream_ready_count_max,
     .help = "Tasks of one `Ready`; a larger `count` means this.",
     .min = 1},
    {.name = "streamHelloTimeoutSeconds",
     .member = &Config::stream_hello_timeout_seconds,
     .help = "A stream without a `Hello` by then ends.",
     .unit = "seconds",
     .min = 1},
    {.name = "streamKeepaliveSeconds",
     .member = &Config::stream_keepalive_seconds,
     .help = "After so much silence the broker sends a PING; a client that does not answer within 20 seconds is cut.",
     .unit = "seconds",
     .min = 1},
    {.name = "streamHeaderBytesMax",
     .member = &Config::stream_header_bytes_max,
     .help = "Of the headers of one stream, uncompressed.",
     .unit = "bytes",
     .min = 1024},
    {.name = "streamInFlightBytesMax",
     .member = &Config::stream_in_flight_bytes_max,
     .help = "Part of the memory budget: messages that are being read or wait for their answer, and answers that are not yet written, over all streams. Beyond, new streams end with `RESOURCE_EXHAUSTED`, and streams whose clients do not read are reset.",
     .unit = "bytes",
     .default_note = "a sixteenth of `memoryBudgetBytes`"},
    {.name = "streamResetBurst",
     .member = &Config::stream_reset_burst,
     .help = "Streams that a client may cancel at once, and streams that it may make the broker end early; a client that goes beyond is cut (rapid reset).",
     .min = 1},
    {.name = "streamResetsPerSecond",
     .member = &Config::stream_resets_per_second,
     .help = "How fast that allowance comes back.",
     .min = 1},
    {.name = "streamContinuationsMax",
     .member = &Config::stream_continuations_max,
     .help = "CONTINUATION frames of one header block.",
     .min = 1},
    {.name = "streamSettingsMax",
     .member = &Config::stream_settings_max,
     .help = "Entries of one SETTINGS frame.",
     .min = 1},
    {.name = "streamIdleFramesPerSecond",
     .member = &Config::stream_idle_frames_per_second,
     .help = "PING, SETTINGS, PRIORITY and empty DATA frames of a connection to which nothing is being sent; beyond, it ends with ENHANCE_YOUR_CALM.",
     .min = 1},
};

constexpr Key kScale[] = {
    {.name = "raft.enabled", .status = kRefused, .type = kBool, .help = "Replication.", .advice = kOneNode},
    {.name = "raft.selfId", .status = kIgnored, .advice = kNoUse},
    {.name = "raft.bindAddr", .status = kIgnored, .advice = kNoUse},
    {.name = "raft.bootstrap", .status = kIgnored, .type = kBool, .advice = kNoUse},
    {.name = "raft.peers", .status = kIgnored, .type = kAny, .advice = kNoUse},
    {.name = "raft.muxEnabled", .status = kIgnored, .type = kBool, .advice = kNoUse},
    {.name = "raft.peerHTTPAddrs", .status = kIgnored, .type = kAny, .advice = kNoUse},
    {.name = "raft.heartbeatMS", .status = kIgnored, .type = kInt, .advice = kNoUse},
    {.name = "raft.electionMS", .status = kIgnored, .type = kInt, .advice = kNoUse},
    {.name = "raft.leaderLeaseMS", .status = kIgnored, .type = kInt, .advice = kNoUse},
    {.name = "raft.commitMS", .status = kIgnored, .type = kInt, .advice = kNoUse},
    {.name = "raft.applyTimeoutSeconds", .status = kIgnored, .type = kInt, .advice = kNoUse},
    {.name = "raft.topicCatalogProtocol", .status = kIgnored, .advice = kNoUse},
    {.name = "cluster.enabled",
     .status = kRefused,
     .type = kBool,
     .help = "Several nodes that forward to each other.",
     .advice = kOneNode},
    {.name = "cluster.selfId", .status = kIgnored, .advice = kNoUse},
    {.name = "cluster.grpcAddr", .status = kIgnored, .advice = kNoUse},
    {.name = "cluster.nodes", .status = kIgnored, .type = kAny, .advice = kNoUse},
    {.name = "sharding.enabled",
     .status = kRefused,
     .type = kBool,
     .help = "Queues spread over several Redis servers.",
     .advice = kOneNode},
    {.name = "sharding.defaultShard", .status = kIgnored, .advice = kNoUse},
    {.name = "sharding.commandMappings", .status = kIgnored, .type = kAny, .advice = kNoUse},
    {.name = "sharding.tenantOverrides", .status = kIgnored, .type = kAny, .advice = kNoUse},
    {.name = "sharding.backends", .status = kIgnored, .type = kAny, .advice = kNoUse, .secret = true},
    {.name = "redisAddr", .status = kIgnored, .help = "Address of the reference's Redis.", .advice = kNoRedis},
    {.name = "redisPassword",
     .status = kIgnored,
     .help = "Password of the reference's Redis.",
     .advice = kNoRedis,
     .other_env = "KVROCKS_PASSWORD",
     .secret = true},
};

constexpr KeyGroup kGroups[] = {
    {"Server", kServer},     {"TLS", kTls},
    {"Store", kStore},       {"Tasks", kTasks},       {"Who may", kAuth},
    {"Webhooks", kWebhooks}, {"HTTP limits", kHttp},
    {"Tracing", kTracing},   {"Rate limits", kRates},
    {"Streams", kStreams},   {"Keys of the reference for several nodes and for Redis", kScale},
};

constexpr std::string_view kDurabilities[] = {"sync", "interval", "none"};
constexpr std::string_view kCountings[] = {"delivery", "reference"};
constexpr std::string_view kBackoffs[] = {"fixed", "linear", "exponential", "exp_equal_jitter", "exp_full_jitter"};
constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
constexpr std::string_view kFormats[] = {"json", "text"};
constexpr std::string_view kTlsAuths[] = {"none", "optional", "require"};

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

const TracingValues& tracing_shown(const Config& config, bool from_env) {
  return from_env ? config.tracing_env : config.tracing_file;
}

std::string as_text(bool value) { return value ? "true" : "false"; }
std::string as_text(double value) { return fmt::format("{}", value); }
std::string as_text(const std::string& value) { return value; }

template <class T>
std::string tracing_text(std::optional<T> TracingValues::* member, const Config& config) {
  for (const bool env : {true, false}) {
    if (const auto& value = tracing_shown(config, env).*member) return as_text(*value);
  }
  return "";
}

}  // namespace

std::span<const KeyGroup> key_groups() { return kGroups; }

const Key* find_key(std::string_view name) {
  for (const KeyGroup& group : kGroups) {
    for (const Key& key : group.keys) {
      if (key.name == name) return &key;
    }
  }
  return nullptr;
}

bool is_key_group(std::string_view name) {
  for (const KeyGroup& group : kGroups) {
    for (const Key& key : group.keys) {
      if (key.name.size() > name.size() && key.name.starts_with(name) && key.name[name.size()] == '.') return true;
    }
  }
  return false;
}

std::span<const std::string_view> key_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const KeyGroup& group : kGroups) {
      for (const Key& key : group.keys) all.push_back(key.name);
    }
    return all;
  }();
  return names;
}

KeyType type_of(const Key& key) {
  return std::visit(
      Overloaded{
          [&](std::monostate) { return key.type; }, [](bool Config::*) { return kBool; },
          [](std::optional<bool> Config::*) { return kBool; },
          [](std::optional<bool> TracingValues::*) { return kBool; }, [](std::int64_t Config::*) { return kInt; },
          [](RateMember) { return kInt; }, [](std::optional<double> TracingValues::*) { return kFloat; },
          [](std::string Config::*) { return kString; },
          [](std::optional<std::string> TracingValues::*) { return kString; },
          [](std::vector<std::string> Config::*) { return kList; }, [](JsonMember) { return kJson; },
          [](auto) { return kChoice; },  // the enumerations
      },
      key.member);
}

std::string_view type_name(const Key& key) {
  switch (type_of(key)) {
    case kBool: return "true or false";
    case kInt: return "integer";
    case kFloat: return "number";
    case kString: return "text";
    case kChoice: return "one of";
    case kList: return "list of text";
    case kJson: return "mapping or JSON text";
    case kAny: return "anything";
  }
  return "";
}

std::span<const std::string_view> choices_of(const Key& key) {
  using Span = std::span<const std::string_view>;
  return std::visit(Overloaded{
                        [](Durability Config::*) { return Span(kDurabilities); },
                        [](AttemptCounting Config::*) { return Span(kCountings); },
                        [](Backoff Config::*) { return Span(kBackoffs); },
                        [](LogLevel Config::*) { return Span(kLevels); },
                        [](LogFormat Config::*) { return Span(kFormats); },
                        [](TlsAuth Config::*) { return Span(kTlsAuths); },
                        [](auto) { return Span(); },
                    },
                    key.member);
}

std::string env_name(std::string_view key) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const char c = key[i];
    if (c == '.') {
      out += '_';
      continue;
    }
    // A word begins at a capital after a small letter, and at the last capital of several: HTTP|Addrs.
    const bool begins =
        upper(c) && i > 0 && (lower(key[i - 1]) || (upper(key[i - 1]) && i + 1 < key.size() && lower(key[i + 1])));
    if (begins) out += '_';
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

std::string value_text(const Key& key, const Config& config) {
  return std::visit(
      Overloaded{
          [](std::monostate) { return std::string(); },
          [&](bool Config::* m) { return as_text(config.*m); },
          [&](std::optional<bool> Config::* m) { return config.*m ? as_text(*(config.*m)) : std::string(); },
          [&](std::int64_t Config::* m) { return std::to_string(config.*m); },
          [&](RateMember m) { return std::to_string(config.*m.bucket.*m.number); },
          [&](std::string Config::* m) { return config.*m; },
          [&](JsonMember m) { return config.*m.text; },
          [&](std::vector<std::string> Config::* m) { return fmt::format("{}", fmt::join(config.*m, ", ")); },
          [&](std::optional<bool> TracingValues::* m) { return tracing_text(m, config); },
          [&](std::optional<double> TracingValues::* m) { return tracing_text(m, config); },
          [&](std::optional<std::string> TracingValues::* m) { return tracing_text(m, config); },
          [&](auto m) { return std::string(choices_of(key)[static_cast<std::size_t>(config.*m)]); },
      },
      key.member);
}

std::string default_text(const Key& key) {
  if (!key.default_note.empty()) return std::string(key.default_note);
  if (std::holds_alternative<std::monostate>(key.member)) return "";
  const std::string text = value_text(key, Config{});
  return text.empty() ? "empty" : fmt::format("`{}`", text);
}

bool Config::is_dev() const {
  std::string_view name = env;
  const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!name.empty() && space(name.front())) name.remove_prefix(1);
  while (!name.empty() && space(name.back())) name.remove_suffix(1);
  return name.size() == 3 && (name[0] | 0x20) == 'd' && (name[1] | 0x20) == 'e' && (name[2] | 0x20) == 'v';
}

}  // namespace codeq::app
