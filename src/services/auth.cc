#include "services/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <simdjson.h>

namespace codeq::services {
namespace {

using Digest = std::array<unsigned char, 32>;

constexpr std::array<std::string_view, 6> kWorkerScopes{"codeq:claim", "codeq:heartbeat", "codeq:abandon",
                                                        "codeq:nack",  "codeq:result",    "codeq:subscribe"};
constexpr std::array<std::string_view, 5> kTenantClaims{"tid", "tenantId", "tenant_id", "organizationId",
                                                        "organization_id"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// ^[a-z][a-z0-9-]{1,62}$
bool is_tenant(std::string_view name) {
  const auto small = [](char c) { return c >= 'a' && c <= 'z'; };
  return name.size() >= 2 && name.size() <= 63 && small(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return small(c) || (c >= '0' && c <= '9') || c == '-'; });
}

// SHA-256. The algorithm is fetched once and the context kept per thread: OpenSSL 3 looks both up anew otherwise.
class Sha256 {
 public:
  static Digest of(std::string_view text) {
    static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                       EVP_MD_CTX_free);
    Digest digest{};
    if (algorithm == nullptr || context == nullptr || EVP_DigestInit_ex2(context.get(), algorithm, nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), text.data(), text.size()) != 1 ||
        EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
      // Without a hash nobody may be let in: an all-zero digest is no token's.
      return Digest{};
    }
    return digest;
  }
};

struct Presented {
  std::string_view token;
  Digest digest;  // of the trimmed token
};

struct Identity {
  Principal who;
  bool has_tenant = false;
};

class Validator {
 public:
  virtual ~Validator() = default;
  // Who the token names. The pointer is the validator's.
  [[nodiscard]] virtual Result<const Identity*> validate(const Presented& presented) const = 0;
};

class StaticValidator final : public Validator {
 public:
  StaticValidator(const Digest& token, Identity identity) : token_(token), identity_(std::move(identity)) {}
  Result<const Identity*> validate(const Presented& presented) const override {
    if (CRYPTO_memcmp(presented.digest.data(), token_.data(), token_.size()) != 0 || token_ == Digest{}) {
      return fail(Code::kUnauthenticated, "invalid token");
    }
    return &identity_;
  }

 private:
  Digest token_;
  Identity identity_;
};

class MultiValidator final : public Validator {
 public:
  explicit MultiValidator(std::vector<std::unique_ptr<Validator>> children) : children_(std::move(children)) {}
  Result<const Identity*> validate(const Presented& presented) const override {
    std::string refusals;
    for (const auto& child : children_) {
      auto identity = child->validate(presented);
      if (identity) return identity;
      refusals += (refusals.empty() ? "" : "\n") + identity.error().message;
    }
    return fail(Code::kUnauthenticated, "multi auth: token rejected by every provider: " + refusals);
  }

 private:
  std::vector<std::unique_ptr<Validator>> children_;
};

using Json = simdjson::dom::element;

std::unexpected<Error> refuse(std::string why) { return fail(Code::kInvalidArgument, std::move(why)); }

// The text of a member, or the complaint.
Result<std::string> text_of(std::string_view name, const Json& value) {
  if (value.is_null()) return std::string();
  std::string_view text;
  if (value.get(text)) return refuse(fmt::format("`{}` is not a string", name));
  return std::string(text);
}

Result<std::vector<std::string>> texts_of(std::string_view name, const Json& value) {
  std::vector<std::string> texts;
  if (value.is_null()) return texts;
  simdjson::dom::array array;
  if (value.get(array)) return refuse(fmt::format("`{}` is not a list of strings", name));
  for (const Json item : array) {
    std::string_view text;
    if (item.get(text)) return refuse(fmt::format("`{}` is not a list of strings", name));
    texts.emplace_back(text);
  }
  return texts;
}

struct Claims {
  std::optional<std::string> tenant;  // nothing: no usable one
  bool any_tenant_claim = false;
  bool admin_role = false;
};

// Every tenant claim that is present must be good, and all must agree; otherwise there is none, and no falling back.
Claims read_claims(const simdjson::dom::object& raw) {
  Claims claims;
  bool good = true;
  for (const std::string_view name : kTenantClaims) {
    for (const auto field : raw) {
      if (field.key != name) continue;
      claims.any_tenant_claim = true;
      std::string_view text;
      const bool is_text = !field.value.get(text);
      const std::string_view tenant = is_text ? trimmed(text) : std::string_view();
      good = good && is_text && is_tenant(tenant) && (!claims.tenant || *claims.tenant == tenant);
      if (is_text) claims.tenant = std::string(tenant);
    }
  }
  if (!good) claims.tenant.reset();
  for (const auto field : raw) {
    std::string_view role;
    if (field.key == "role" && !field.value.get(role)) claims.admin_role = same_word(trimmed(role), "ADMIN");
  }
  return claims;
}

struct StaticConfig {
  std::string token;
  std::string subject;
  std::vector<std::string> scopes, event_types;
  Claims claims;
};

Result<StaticConfig> read_static(const Json& json) {
  StaticConfig config;
  std::string_view token;
  if (!json.get(token)) {
    config.token = std::string(token);
    return config;
  }
  simdjson::dom::object object;
  if (json.get(object)) return refuse("a string or an object is expected");
  for (const auto field : object) {
    if (same_word(field.key, "token")) {
      CODEQ_TRY(config.token, text_of("token", field.value));
    } else if (same_word(field.key, "subject")) {
      CODEQ_TRY(config.subject, text_of("subject", field.value));
    } else if (same_word(field.key, "email")) {
      CODEQ_TRY_VOID(text_of("email", field.value));
    } else if (same_word(field.key, "scopes")) {
      CODEQ_TRY(config.scopes, texts_of("scopes", field.value));
    } else if (same_word(field.key, "eventTypes")) {
      CODEQ_TRY(config.event_types, texts_of("eventTypes", field.value));
    } else if (same_word(field.key, "raw")) {
      simdjson::dom::object raw;
      if (field.value.is_null()) continue;
      if (field.value.get(raw)) return refuse("`raw` is not an object");
      config.claims = read_claims(raw);
    } else {
      // A mistyped `scopes` or `eventTypes` must not go unnoticed.
      return refuse(fmt::format("unknown key `{}`", field.key));
    }
  }
  return config;
}

Result<std::unique_ptr<Validator>> make_static(const std::optional<Json>& json) {
  if (!json || json->is_null()) return refuse("static auth: missing config");
  auto read = read_static(*json);
  if (!read) return refuse("static auth: invalid config: " + read.error().message);
  StaticConfig& config = *read;
  if (trimmed(config.token).empty()) return refuse("static auth: token is required");

  Identity identity;
  Principal& who = identity.who;
  who.subject = config.subject.empty() ? "static" : std::move(config.subject);
  who.scopes = std::move(config.scopes);
  who.event_types = std::move(config.event_types);
  who.admin = who.has_scope("codeq:admin") || config.claims.admin_role;
  if (config.claims.any_tenant_claim) {
    identity.has_tenant = config.claims.tenant.has_value();
    who.tenant = config.claims.tenant.value_or("");
  } else if (is_tenant(trimmed(who.subject))) {
    identity.has_tenant = true;
    who.tenant = std::string(trimmed(who.subject));
  }
  return std::make_unique<StaticValidator>(Sha256::of(trimmed(config.token)), std::move(identity));
}

Result<std::unique_ptr<Validator>> make_validator(std::string_view type, const std::optional<Json>& json);

Result<std::unique_ptr<Validator>> make_multi(const std::optional<Json>& json) {
  if (!json || json->is_null()) return refuse("multi auth: missing config");
  simdjson::dom::object object;
  if (json->get(object)) return refuse("multi auth: invalid config: an object is expected");
  simdjson::dom::array providers;
  if (object.at_key_case_insensitive("providers").get(providers) || providers.size() < 2 || providers.size() > 4) {
    return refuse("multi auth: providers must contain between 2 and 4 entries");
  }
  std::vector<std::unique_ptr<Validator>> children;
  std::size_t number = 0;
  for (const Json provider : providers) {
    ++number;
    std::string_view type;
    if (provider.at_key("type").get(type) || trimmed(type).empty() || same_word(trimmed(type), "multi")) {
      return refuse(fmt::format("multi auth: provider {} has an invalid type", number));
    }
    Json config;
    const bool has_config = !provider.at_key("config").get(config);
    auto child = make_validator(trimmed(type), has_config ? std::optional(config) : std::nullopt);
    if (!child) return refuse(fmt::format("multi auth: configure provider {}: {}", number, child.error().message));
    children.push_back(std::move(*child));
  }
  return std::make_unique<MultiValidator>(std::move(children));
}

Result<std::unique_ptr<Validator>> make_validator(std::string_view type, const std::optional<Json>& json) {
  if (type == "static") return make_static(json);
  if (type == "multi") return make_multi(json);
  if (type == "jwks") return refuse("jwks tokens come with a later release; use static");
  return refuse(fmt::format("unknown auth provider type: {}", type));
}

Result<std::unique_ptr<Validator>> make_validator(std::string_view type, std::string_view config) {
  constexpr std::size_t kDepthMax = 32;
  if (type.empty()) return std::unique_ptr<Validator>();
  if (trimmed(config).empty()) return make_validator(type, std::nullopt);
  simdjson::dom::parser parser;
  Json json;
  if (parser.allocate(config.size() + 1, kDepthMax) || parser.parse(simdjson::padded_string(config)).get(json)) {
    return refuse(fmt::format("{} auth: invalid config: not valid JSON", type));
  }
  return make_validator(type, std::optional(json));
}

// The bearer token of the header's value.
Result<Presented> read_header(std::string_view header) {
  header = trimmed(header);
  if (header.empty()) return fail(Code::kUnauthenticated, "missing Authorization header");
  const std::size_t space = header.find(' ');
  if (space == std::string_view::npos || !same_word(header.substr(0, space), "Bearer")) {
    return fail(Code::kUnauthenticated, "invalid Authorization format");
  }
  const std::string_view token = trimmed(header.substr(space + 1));
  return Presented{token, Sha256::of(token)};
}

Result<Principal> with_tenant(const Identity& identity) {
  if (!identity.has_tenant) return fail(Code::kForbidden, "invalid tenant claims");
  return identity.who;
}

class TokenAuthenticator final : public Authenticator {
 public:
  TokenAuthenticator(std::unique_ptr<Validator> producer, std::unique_ptr<Validator> worker, bool producer_as_worker)
      : producer_(std::move(producer)), worker_(std::move(worker)), producer_as_worker_(producer_as_worker) {}

  std::optional<Result<Principal>> check(TokenUse use, std::string_view token) const override {
    const Presented presented{trimmed(token), Sha256::of(trimmed(token))};
    switch (use) {
      case TokenUse::kProducer: return producer(presented);
      case TokenUse::kWorker: return worker(presented);
      case TokenUse::kAny: return any(presented);
    }
    std::unreachable();
  }
  void check_later(TokenUse use, std::string token, Done<Principal> done) const override { done(*check(use, token)); }

  Result<Principal> producer(std::string_view header) const override {
    CODEQ_TRY_VOID(configured(producer_, "producer"));
    CODEQ_TRY(const Presented presented, read_header(header));
    return producer(presented);
  }
  Result<Principal> worker(std::string_view header) const override {
    CODEQ_TRY_VOID(configured(worker_, "worker"));
    CODEQ_TRY(const Presented presented, read_header(header));
    return worker(presented);
  }
  Result<Principal> any(std::string_view header) const override {
    const auto presented = read_header(header);
    if (!presented) return fail(Code::kUnauthenticated, "invalid token");
    return any(*presented);
  }

 private:
  static Result<void> configured(const std::unique_ptr<Validator>& validator, std::string_view kind) {
    if (validator == nullptr) return fail(Code::kInternal, fmt::format("{} validator not configured", kind));
    return {};
  }

  Result<Principal> producer(const Presented& presented) const {
    CODEQ_TRY_VOID(configured(producer_, "producer"));
    CODEQ_TRY(const Identity* identity, producer_->validate(presented));
    return with_tenant(*identity);
  }

  Result<Principal> worker(const Presented& presented) const {
    CODEQ_TRY_VOID(configured(worker_, "worker"));
    const auto worker = as_worker(presented);
    if (worker) {
      CODEQ_TRY(Principal who, with_tenant(**worker));
      who.admin = false;  // admin is a producer's
      return who;
    }
    if (!producer_as_worker_ || producer_ == nullptr) return std::unexpected(worker.error());
    const auto stand_in = producer_->validate(presented);
    if (!stand_in) return std::unexpected(worker.error());
    CODEQ_TRY(Principal who, with_tenant(**stand_in));
    who.scopes.assign(kWorkerScopes.begin(), kWorkerScopes.end());
    who.event_types = {"*"};
    who.admin = false;
    return who;
  }

  Result<Principal> any(const Presented& presented) const {
    if (worker_ != nullptr) {
      const auto worker = worker_->validate(presented);
      if (worker && !(*worker)->who.event_types.empty()) {
        CODEQ_TRY(Principal who, with_tenant(**worker));
        who.admin = false;
        return who;
      }
    }
    if (producer_ != nullptr) {
      if (const auto producer = producer_->validate(presented)) return with_tenant(**producer);
    }
    return fail(Code::kUnauthenticated, "invalid token");
  }

  Result<const Identity*> as_worker(const Presented& presented) const {
    CODEQ_TRY(const Identity* identity, worker_->validate(presented));
    if (identity->who.event_types.empty()) return fail(Code::kUnauthenticated, "missing eventTypes");
    if (identity->who.scopes.empty()) return fail(Code::kUnauthenticated, "missing scope");
    return identity;
  }

  std::unique_ptr<Validator> producer_, worker_;  // null: not configured
  bool producer_as_worker_;
};

}  // namespace

bool Principal::has_scope(std::string_view scope) const { return std::ranges::find(scopes, scope) != scopes.end(); }

bool Principal::may_handle(std::string_view command) const {
  return std::ranges::any_of(event_types,
                             [&](const std::string& type) { return type == "*" || same_word(type, command); });
}

bool Principal::any_event_type() const { return std::ranges::find(event_types, "*") != event_types.end(); }

Result<std::unique_ptr<Authenticator>> make_authenticator(const AuthOptions& options) {
  CODEQ_TRY(auto producer, make_validator(options.producer_type, std::string_view(options.producer_config)));
  CODEQ_TRY(auto worker, make_validator(options.worker_type, std::string_view(options.worker_config)));
  return std::make_unique<TokenAuthenticator>(std::move(producer), std::move(worker), options.allow_producer_as_worker);
}

}  // namespace codeq::services
