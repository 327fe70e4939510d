#include "app/config/check_auth.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "app/config/suggest.h"
#include "app/config/tree.h"

namespace codeq::app {
namespace {

using Messages = std::vector<std::string>;

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::int64_t kTimeoutNanos = 5 * kNanos;

// What makes a `jwks` provider where it has no configuration of its own.
struct Jwks {
  std::string_view kind;  // "producer"
  std::string* provider;
  std::string* config;
  std::string_view url_key, issuer_key, audience_key;
  std::string url, issuer, audience;
};

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// A scheme and something behind it; whether that is a host is judged where the provider is made.
bool is_http_url(const std::string& url) {
  const std::string small = lower_trimmed(url);
  const auto host = small.starts_with("http://")    ? small.substr(7)
                    : small.starts_with("https://") ? small.substr(8)
                                                    : "";
  return !host.empty() && host.front() != '/' && host.front() != '?' && host.front() != ':' &&
         url.find_first_of(" \t\r\n") == std::string::npos;
}

std::string json_of(const Jwks& jwks, std::int64_t skew_seconds) {
  Tree tree{.kind = Tree::Kind::kMapping};
  const auto add = [&](const char* key, std::string text, bool quoted) {
    tree.keys.emplace_back(key);
    tree.items.push_back({.kind = Tree::Kind::kScalar, .quoted = quoted, .text = std::move(text)});
  };
  add("jwksUrl", jwks.url, true);
  add("issuer", jwks.issuer, true);
  add("audience", jwks.audience, true);
  add("clockSkew", std::to_string(skew_seconds * kNanos), false);
  add("httpTimeout", std::to_string(kTimeoutNanos), false);
  return to_json(tree);
}

void settle_type(LoadedConfig& loaded, Messages& wrong, const Jwks& jwks) {
  static constexpr std::array<std::string_view, 3> kTypes{"static", "multi", "jwks"};
  const std::string key = fmt::format("{}AuthProvider", jwks.kind);
  std::string& provider = *jwks.provider;
  provider = lower_trimmed(provider);
  if (!provider.empty() && std::ranges::find(kTypes, provider) == kTypes.end()) {
    const auto near = nearest(provider, kTypes);
    wrong.push_back(fmt::format("{}unknown auth provider type: {}{}", where(loaded, key), provider,
                                near ? fmt::format("; did you mean `{}`?", *near) : "; use static, jwks or multi"));
  } else if (provider.empty() && !jwks.config->empty()) {
    wrong.push_back(fmt::format("{}{} is not set; set it to `static`, `jwks` or `multi` to use this",
                                where(loaded, fmt::format("{}AuthConfig", jwks.kind)), key));
  }
}

void settle_jwks(LoadedConfig& loaded, Messages& wrong, const Jwks& jwks) {
  const Config& config = loaded.config;
  const bool asked = *jwks.provider == "jwks";
  if (!jwks.config->empty() || (!asked && (!jwks.provider->empty() || jwks.url.empty()))) return;
  const auto required = [&](std::string_view key, std::string_view what) {
    // Outside dev these are the reference's own words.
    wrong.push_back(config.is_dev() ? fmt::format("{} is required: {}", key, what)
                                    : fmt::format("{} is required in non-dev", key));
  };
  const auto before = wrong.size();
  if (jwks.url.empty())
    required(jwks.url_key,
             fmt::format("where the key set of {}s' tokens is (or set {}AuthConfig)", jwks.kind, jwks.kind));
  else if (!is_http_url(jwks.url))
    wrong.push_back(fmt::format("{}{} must be a valid http(s) URL", where(loaded, jwks.url_key), jwks.url_key));
  if (jwks.issuer.empty())
    required(jwks.issuer_key, fmt::format("who makes {}s' tokens, as in their `iss`", jwks.kind));
  // Without one the tokens of every other service of that issuer would be good here.
  if (jwks.audience.empty())
    wrong.push_back(fmt::format("{} is required: what {}s' tokens carry as their `aud`", jwks.audience_key, jwks.kind));
  if (wrong.size() != before) return;
  *jwks.config = json_of(jwks, config.allowed_clock_skew_seconds);
  if (asked) return;
  *jwks.provider = "jwks";
  const auto origin = loaded.origins.find(jwks.url_key);
  loaded.origins.insert_or_assign(
      fmt::format("{}AuthProvider", jwks.kind),
      Origin{origin != loaded.origins.end() ? origin->second.where : loaded.origins.at("identityServiceUrl").where,
             "jwks"});
}

}  // namespace

std::string lower_trimmed(std::string_view text) {
  std::string out;
  for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr const char* kSpace = " \t\r\n";
  out.erase(0, std::min(out.find_first_not_of(kSpace), out.size()));
  out.erase(out.find_last_not_of(kSpace) + 1);
  return out;
}

std::string where(const LoadedConfig& loaded, std::string_view key) {
  const auto origin = loaded.origins.find(key);
  return origin == loaded.origins.end() ? fmt::format("`{}`: ", key)
                                        : fmt::format("{}: `{}`: ", origin->second.where, key);
}

void settle_auth(LoadedConfig& loaded, Messages& wrong) {
  Config& config = loaded.config;
  const auto service = without_slash(config.identity_service_url);
  Jwks producer{.kind = "producer",
                .provider = &config.producer_auth_provider,
                .config = &config.producer_auth_config,
                .url_key = "identityJwksUrl",
                .issuer_key = "identityIssuer",
                .audience_key = "identityAudience",
                .url = config.identity_jwks_url,
                .issuer = config.identity_issuer,
                .audience = config.identity_audience};
  if (producer.url.empty() && !service.empty()) producer.url = service + "/v1/.well-known/jwks.json";
  if (producer.issuer.empty()) producer.issuer = service;
  const Jwks worker{.kind = "worker",
                    .provider = &config.worker_auth_provider,
                    .config = &config.worker_auth_config,
                    .url_key = "workerJwksUrl",
                    .issuer_key = "workerIssuer",
                    .audience_key = "workerAudience",
                    .url = config.worker_jwks_url,
                    .issuer = config.worker_issuer,
                    .audience = config.worker_audience};
  for (const auto& jwks : {producer, worker}) {
    settle_type(loaded, wrong, jwks);
    settle_jwks(loaded, wrong, jwks);
  }
  if (config.dev_role_header && !config.is_dev())
    wrong.push_back(where(loaded, "devRoleHeader") + "a role from a request header is for `env: dev` only");
  if (config.dev_role_header && config.is_dev())
    loaded.warnings.push_back(
        "devRoleHeader is on: whoever may create tasks and sends `X-Role: ADMIN` is an admin of their tenant");
}

}  // namespace codeq::app
