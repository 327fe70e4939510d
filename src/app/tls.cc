#include "app/tls.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>
#include <vector>

namespace codeq::app {
namespace {

using transport::TlsContext;

constexpr auto kLookEvery = std::chrono::seconds(2);
constexpr std::int64_t kExpirySoonSeconds = std::int64_t{14} * 86'400;

transport::TlsClientAuth client_auth(TlsAuth auth) {
  switch (auth) {
    case TlsAuth::kNone: return transport::TlsClientAuth::kNone;
    case TlsAuth::kOptional: return transport::TlsClientAuth::kOptional;
    case TlsAuth::kRequire: return transport::TlsClientAuth::kRequire;
  }
  return transport::TlsClientAuth::kRequire;
}

void tell_expiry(const TlsContext& context) {
  const auto expires = static_cast<std::time_t>(context.stats().not_after_s);
  std::tm utc{};
  gmtime_r(&expires, &utc);
  char day[32];
  std::strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%SZ", &utc);
  const auto left = expires - std::time(nullptr);
  const auto& file = context.options().certificate_file;
  if (left <= 0)
    spdlog::error("the certificate in {} has expired at {}: clients will refuse it", file, day);
  else if (left < kExpirySoonSeconds)
    spdlog::warn("the certificate in {} expires soon, at {}", file, day);
  else
    spdlog::info("the certificate in {} is good until {}", file, day);
}

void tell_reload(const TlsContext& context, const Result<void>& reloaded) {
  if (!reloaded) {
    spdlog::error("the TLS files have changed but cannot be used, what was there before stays in use: {}",
                  reloaded.error().message);
    return;
  }
  spdlog::info("the TLS files were read again");
  tell_expiry(context);
}

observe::Gauges::Tls gauge(const char* listener, const TlsContext& context) {
  const auto stats = context.stats();
  return {.listener = listener,
          .handshakes = stats.handshakes,
          .handshakes_failed = stats.handshakes_failed,
          .reloads = stats.reloads,
          .reloads_failed = stats.reloads_failed,
          .not_after_s = static_cast<std::uint64_t>(std::max<std::int64_t>(0, stats.not_after_s))};
}

}  // namespace

Result<std::unique_ptr<Tls>> Tls::open(const Config& config) {
  auto tls = std::make_unique<Tls>();
  std::vector<std::shared_ptr<TlsContext>> all;
  const auto listener = [&](const char* prefix, transport::TlsOptions options) -> Result<std::shared_ptr<TlsContext>> {
    if (options.certificate_file.empty()) return nullptr;
    auto opened = TlsContext::open(std::move(options));
    if (!opened)
      return fail(opened.error().code, fmt::format("{}CertFile and its like: {}", prefix, opened.error().message));
    tell_expiry(**opened);
    all.push_back(*opened);
    return *opened;
  };
  transport::TlsOptions http{.certificate_file = config.tls_cert_file,
                             .key_file = config.tls_key_file,
                             .client_ca_file = config.tls_client_ca_file,
                             .client_auth = client_auth(config.tls_client_auth),
                             .alpn = {"http/1.1", "http/1.0"}};
  CODEQ_TRY(tls->http_, listener("tls", std::move(http)));
  if (!config.worker_stream_addr.empty() || !config.producer_stream_addr.empty()) {
    transport::TlsOptions streams{.certificate_file = config.stream_tls_cert_file,
                                  .key_file = config.stream_tls_key_file,
                                  .client_ca_file = config.stream_tls_client_ca_file,
                                  .client_auth = client_auth(config.stream_tls_client_auth),
                                  .alpn = {"h2"}};
    CODEQ_TRY(tls->streams_, listener("streamTls", std::move(streams)));
  }
  if (!all.empty()) tls->watcher_ = std::make_unique<transport::TlsWatcher>(std::move(all), kLookEvery, tell_reload);
  return tls;
}

void Tls::reload_now() {
  if (watcher_) watcher_->reload_now();
}

void Tls::add_to(observe::Gauges& gauges) const {
  if (http_) gauges.tls.push_back(gauge("http", *http_));
  if (streams_) gauges.tls.push_back(gauge("streams", *streams_));
}

}  // namespace codeq::app
