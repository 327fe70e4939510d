// One token, known by its hash.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include "services/auth/claims.h"
#include "services/auth/config_json.h"
#include "services/auth/words.h"

namespace codeq::services::auth {
namespace {

class StaticValidator final : public Validator {
 public:
  StaticValidator(const Digest& token, Identity identity)
      : token_(token), identity_(std::make_shared<const Identity>(std::move(identity))) {}
  std::optional<Result<IdentityPtr>> validate(const Presented& presented, Needs&) const override {
    if (CRYPTO_memcmp(presented.digest.data(), token_.data(), token_.size()) != 0 || token_ == Digest{}) {
      return fail(Code::kUnauthenticated, "invalid token");
    }
    return identity_;
  }

 private:
  Digest token_;
  IdentityPtr identity_;
};

struct StaticConfig {
  std::string token;
  std::string subject;
  std::vector<std::string> scopes, event_types;
  TenantClaims claims;
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
      config.claims = read_tenant_claims(raw);
    } else {
      // A mistyped `scopes` or `eventTypes` must not go unnoticed.
      return refuse(fmt::format("unknown key `{}`", field.key));
    }
  }
  return config;
}

}  // namespace

Result<std::unique_ptr<Validator>> make_static(const std::optional<Json>& json) {
  if (!json || json->is_null()) return refuse("static auth: missing config");
  auto read = read_static(*json);
  if (!read) return refuse("static auth: invalid config: " + read.error().message);
  StaticConfig& config = *read;
  if (trimmed(config.token).empty()) return refuse("static auth: token is required");

  Identity identity;
  identity.who.subject = config.subject.empty() ? "static" : std::move(config.subject);
  identity.who.scopes = std::move(config.scopes);
  identity.who.event_types = std::move(config.event_types);
  settle_tenant(config.claims, identity);
  return std::make_unique<StaticValidator>(sha256(trimmed(config.token)), std::move(identity));
}

}  // namespace codeq::services::auth
