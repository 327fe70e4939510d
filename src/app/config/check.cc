#include "app/config/check.h"

#include <arpa/inet.h>

#include <algorithm>

#include <fmt/format.h>

#include "app/config/check_auth.h"
#include "app/config/listen_address.h"

namespace codeq::app {
namespace {

using Messages = std::vector<std::string>;

void settle_store(LoadedConfig& loaded, Messages& wrong) {
  Config& config = loaded.config;
  const std::string provider = lower_trimmed(config.persistence_provider);
  if (!provider.empty()) config.persistence_provider = provider;
  if (config.persistence_provider == "memory") {
    wrong.push_back(
        where(loaded, "persistenceProvider") +
        "there is no memory store; use `embedded` with a temporary persistenceConfig.path and `durability: none`");
  } else if (config.persistence_provider != "embedded" && config.persistence_provider != "pebble") {
    wrong.push_back(
        where(loaded, "persistenceProvider") +
        "this broker keeps tasks in its own folder and talks to no database; remove the key or set it to `embedded`, and "
        "choose the folder with persistenceConfig.path");
  }
  if (config.data_path.empty())
    config.data_path = config.persistence_provider == "pebble" ? "./codeq-pebble" : "./codeq-data";
  if (config.num_shards > 1) {
    loaded.warnings.push_back(fmt::format("{}{} partitions asked for; this version runs one",
                                          where(loaded, "persistenceConfig.numShards"), config.num_shards));
  }
  if (config.fsync_on_commit == false && !loaded.origins.contains("durability")) {
    config.durability = Durability::kInterval;
    loaded.origins.emplace("durability", loaded.origins.at("persistenceConfig.fsyncOnCommit"));
  }
}

bool is_zone_name(const std::string& name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '-' || c == '+';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '/' && std::ranges::all_of(name, letter);
}

void settle_memory(LoadedConfig& loaded, Messages& wrong) {
  Config& config = loaded.config;
  const auto share = config.memory_budget_bytes / 8;
  for (auto* part : {&config.store_write_buffer_bytes, &config.store_cache_bytes, &config.http_in_flight_bytes_max})
    if (*part == 0) *part = share;
  if (config.stream_in_flight_bytes_max == 0) config.stream_in_flight_bytes_max = share / 2;
  // Half of the budget is for queues and tasks; the rest must hold the three parts.
  const auto parts = config.store_write_buffer_bytes + config.store_cache_bytes + config.http_in_flight_bytes_max;
  if (parts > config.memory_budget_bytes / 2)
    wrong.push_back(fmt::format(
        "{}{} bytes cannot hold storeWriteBufferBytes ({}), storeCacheBytes ({}) and httpInFlightBytesMax ({}): together they "
        "may take half of it",
        where(loaded, "memoryBudgetBytes"), config.memory_budget_bytes, config.store_write_buffer_bytes,
        config.store_cache_bytes, config.http_in_flight_bytes_max));
}

void settle_server(LoadedConfig& loaded, Messages& wrong) {
  Config& config = loaded.config;
  config.timezone = config.timezone.empty() ? "UTC" : config.timezone;
  if (!is_zone_name(config.timezone))
    wrong.push_back(where(loaded, "timezone") + "not the name of a zone such as `Europe/Lisbon`");
  if (lower_trimmed(config.listen_host) == "localhost") config.listen_host = "127.0.0.1";
  unsigned char bytes[16];
  if (!config.listen_host.empty() && inet_pton(AF_INET, config.listen_host.c_str(), bytes) != 1 &&
      inet_pton(AF_INET6, config.listen_host.c_str(), bytes) != 1) {
    wrong.push_back(where(loaded, "listenHost") +
                    "an IP address is expected, `localhost`, or nothing for every interface");
  }
}

void settle_streams(LoadedConfig& loaded, Messages& wrong) {
  const Config& config = loaded.config;
  const auto check = [&](std::string_view key, const std::string& address, std::string_view kind, bool has_validator) {
    if (address.empty()) return;
    if (const auto parsed = parse_listen_address(address); !parsed)
      wrong.push_back(where(loaded, key) + parsed.error().message);
    if (!has_validator) wrong.push_back(fmt::format("{}{} set but no {} validator configured", where(loaded, key), key, kind));
  };
  check("workerStreamAddr", config.worker_stream_addr, "worker", !config.worker_auth_provider.empty());
  check("producerStreamAddr", config.producer_stream_addr, "producer", !config.producer_auth_provider.empty());
}

// One listener's four keys; `prefix` is "tls" or "streamTls".
void settle_tls(LoadedConfig& loaded, Messages& wrong, const std::string& prefix, const std::string& cert,
                const std::string& key, const std::string& ca, TlsAuth& auth) {
  const auto said = [&](const char* part) { return where(loaded, prefix + part); };
  if (!loaded.origins.contains(prefix + "ClientAuth") && loaded.origins.contains(prefix + "ClientCaFile"))
    auth = TlsAuth::kRequire;
  if (cert.empty() != key.empty()) {
    const bool no_key = key.empty();
    wrong.push_back(fmt::format("{}{}{} is not set; TLS needs both", said(no_key ? "CertFile" : "KeyFile"), prefix,
                                no_key ? "KeyFile" : "CertFile"));
  } else if (cert.empty() && (!ca.empty() || auth != TlsAuth::kNone)) {
    wrong.push_back(fmt::format("{}clients show certificates only where {}CertFile and {}KeyFile are set",
                                said(ca.empty() ? "ClientAuth" : "ClientCaFile"), prefix, prefix));
  } else if (auth != TlsAuth::kNone && ca.empty()) {
    wrong.push_back(
        fmt::format("{}{}ClientCaFile is not set; it says whose certificates count", said("ClientAuth"), prefix));
  } else if (auth == TlsAuth::kNone && !ca.empty()) {
    loaded.warnings.push_back(fmt::format("{}not used, since {}ClientAuth is none", said("ClientCaFile"), prefix));
  }
}

void settle_tls(LoadedConfig& loaded, Messages& wrong) {
  Config& c = loaded.config;
  settle_tls(loaded, wrong, "tls", c.tls_cert_file, c.tls_key_file, c.tls_client_ca_file, c.tls_client_auth);
  const auto own = [&](std::string_view key) { return loaded.origins.contains(key); };
  if (c.stream_tls_cert_file == "none") {
    c.stream_tls_cert_file.clear();
  } else {  // what the streams do not say for themselves is as for HTTP
    if (!own("streamTlsCertFile") && !own("streamTlsKeyFile")) {
      c.stream_tls_cert_file = c.tls_cert_file;
      c.stream_tls_key_file = c.tls_key_file;
    }
    if (!own("streamTlsClientCaFile")) c.stream_tls_client_ca_file = c.tls_client_ca_file;
    if (!own("streamTlsClientAuth")) c.stream_tls_client_auth = c.tls_client_auth;
  }
  const bool all_http = !own("streamTlsCertFile") && !own("streamTlsKeyFile") && !own("streamTlsClientCaFile") &&
                        !own("streamTlsClientAuth");  // was looked at above
  if (!all_http)
    settle_tls(loaded, wrong, "streamTls", c.stream_tls_cert_file, c.stream_tls_key_file, c.stream_tls_client_ca_file,
               c.stream_tls_client_auth);
}

void settle_webhooks(LoadedConfig& loaded, Messages& wrong) {
  const Config& config = loaded.config;
  if (lower_trimmed(config.webhook_hmac_secret).empty()) {
    if (config.webhook_signing_required) {
      wrong.push_back(where(loaded, "webhookSigningRequired") +
                      "webhookHmacSecret is required when webhooks must be signed");
    } else if (!config.is_dev()) {
      loaded.warnings.push_back("webhookHmacSecret is not set: webhooks go out unsigned");
    }
  }
}

void settle_rates(LoadedConfig& loaded) {
  const Config& config = loaded.config;
  const auto half = [&](std::string_view name, const RateLimit& limit) {
    if ((limit.requests_per_minute > 0) == (limit.burst > 0)) return;
    loaded.warnings.push_back(fmt::format("rateLimit.{}: requestsPerMinute is {} and burstSize is {}; a limit is off unless both are above 0",
                                          name, limit.requests_per_minute, limit.burst));
  };
  half("producer", config.rate_producer);
  half("worker", config.rate_worker);
  half("webhook", config.rate_webhook);
  half("admin", config.rate_admin);
}

}  // namespace

void settle(LoadedConfig& loaded, Messages& wrong) {
  Config& config = loaded.config;
  settle_server(loaded, wrong);
  settle_store(loaded, wrong);
  settle_memory(loaded, wrong);
  settle_auth(loaded, wrong);
  settle_streams(loaded, wrong);
  settle_webhooks(loaded, wrong);
  settle_tls(loaded, wrong);
  settle_rates(loaded);
  if (!config.producer_auth_provider.empty() && config.worker_auth_provider.empty()) {
    loaded.warnings.push_back("workerAuthProvider is not set: worker routes answer 500");
  }
}

Result<void> check_ready_to_serve(const Config& config) {
  if (!config.producer_auth_provider.empty()) return {};
  return fail(
      Code::kInvalidArgument,
      "invalid config: config validation failed: nobody can authenticate, because producerAuthProvider is not set. Set "
      "PRODUCER_AUTH_PROVIDER=static and PRODUCER_AUTH_CONFIG='{\"token\":\"<secret>\",\"raw\":{\"tenantId\":\"<tenant>\"}}' "
      "(in YAML producerAuthProvider and producerAuthConfig), and the same with WORKER_ for workers, with \"scopes\" and "
      "\"eventTypes\" and the same tenant; or name an identity service whose JWTs to accept (IDENTITY_SERVICE_URL, "
      "IDENTITY_AUDIENCE, WORKER_JWKS_URL, WORKER_ISSUER); or try `codeq dev`, which makes tokens by itself");
}

}  // namespace codeq::app
