#include "services/auth/jwks_validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/webhook_url.h"
#include "services/auth/config_json.h"
#include "services/auth/words.h"

namespace codeq::services::auth {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kSkewNsMax = 86'400 * kNanosPerSecond;
constexpr milliseconds kTimeoutDefault{5'000};
constexpr milliseconds kTimeoutMax{60'000};

std::unexpected<Error> refused(std::string why) { return fail(Code::kUnauthenticated, std::move(why)); }

std::unexpected<Error> unverifiable(std::string_view why) {
  return refused(fmt::format("token is unverifiable: error while executing keyfunc: {}", why));
}

std::string_view bad_signature(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEs256: return "token signature is invalid: crypto/ecdsa: verification error";
    case Algorithm::kEdDsa: return "token signature is invalid: ed25519: verification error";
    case Algorithm::kRs256:
    case Algorithm::kRs384:
    case Algorithm::kRs512:
    case Algorithm::kPs256: break;
  }
  return "token signature is invalid: crypto/rsa: verification error";
}

std::int64_t end_of(const Jwt& jwt, std::int64_t skew_ns) {
  constexpr auto kForever = std::numeric_limits<std::int64_t>::max();
  return jwt.exp.ns > kForever - skew_ns ? kForever : jwt.exp.ns + skew_ns;
}

}  // namespace

IdentityPtr GoodTokens::find(const Digest& token, std::int64_t now_ns, const KeySet::View& keys) {
  const std::scoped_lock lock(mutex_);
  auto found = young_.find(token);
  if (found == young_.end()) {
    auto node = old_.extract(token);
    if (node.empty()) return nullptr;
    if (young_.size() >= kHalf) old_ = std::exchange(young_, {});
    found = young_.insert(std::move(node)).position;
  }
  auto& entry = found->second;
  const bool signed_by_ours =
      keys.keys != nullptr && (entry.generation == keys.generation || keys.keys->holds(entry.key));
  if (now_ns >= entry.until_ns || !signed_by_ours) {
    young_.erase(found);
    return nullptr;
  }
  entry.generation = keys.generation;
  return entry.identity;
}

void GoodTokens::put(const Digest& token, Entry entry) {
  const std::scoped_lock lock(mutex_);
  if (young_.size() >= kHalf) old_ = std::exchange(young_, {});
  young_.insert_or_assign(token, std::move(entry));
}

std::optional<Result<IdentityPtr>> JwksValidator::validate(const Presented& presented, Needs& needs) const {
  if (presented.digest == Digest{}) return refused("invalid token");
  const auto now = clock_.wall_ns();
  const auto view = keys_->view();
  if (auto known = good_.find(presented.digest, now, view)) return known;

  auto jwt = read_jwt(presented.token);
  if (!jwt) return std::unexpected(jwt.error());
  const auto algorithm = algorithm_of(jwt->alg);
  if (!algorithm) return unverifiable(fmt::format("unexpected signing method: {}", beginning_of(jwt->alg, 32)));
  if (jwt->kid.empty()) return unverifiable("missing kid in token header");
  if (jwt->kid.size() > kKidBytesMax) return refused("token is malformed: kid is too long");

  const Key* key = view.keys ? view.keys->find(jwt->kid, *algorithm) : nullptr;
  if (key == nullptr) {
    const auto unknown = keys_->unknown(jwt->kid);
    if (unknown == KeySet::Unknown::kUnreachable) return unverifiable("failed to fetch JWKS");
    // A token that no key could save is not worth a fetch: only tokens made for us can cause one. (The first fetch of all is
    // under way whoever asks.)
    if (unknown == KeySet::Unknown::kNotFound || (view.keys && !check_claims(*jwt, rules_, now)))
      return unverifiable(fmt::format("key {} not found in JWKS", jwt->kid));
    needs = {.keys = keys_, .kid = jwt->kid};
    return std::nullopt;
  }
  // The algorithm is the key's; what the token says must agree with it.
  if (!key->fits(*algorithm)) return refused("token signature is invalid: key is of invalid type");
  if (!signature_is_good(*key, *algorithm, jwt->signed_text, jwt->signature))
    return refused(std::string(bad_signature(*algorithm)));
  if (auto good = check_claims(*jwt, rules_, now); !good) return std::unexpected(good.error());

  const auto until = end_of(*jwt, rules_.skew_ns);
  jwt->identity.who.expires_unix_ns = until;
  auto identity = std::make_shared<const Identity>(std::move(jwt->identity));
  good_.put(presented.digest,
            {.identity = identity, .until_ns = until, .generation = view.generation, .key = key->fingerprint});
  return identity;
}

Result<std::unique_ptr<Validator>> make_jwks(const std::optional<Json>& json, Shared& shared) {
  const auto invalid = [](std::string_view why) { return refuse(fmt::format("invalid JWKS config: {}", why)); };
  simdjson::dom::object object;
  if (!json || json->is_null()) return invalid("missing config");
  if (json->get(object)) return invalid("an object is expected");
  std::string url;
  ClaimRules rules;
  std::int64_t timeout_ns = 0;
  const auto read = [&]() -> Result<> {
    for (const auto field : object) {
      if (same_word(field.key, "jwksUrl")) {
        CODEQ_TRY(url, text_of("jwksUrl", field.value));
      } else if (same_word(field.key, "issuer")) {
        CODEQ_TRY(rules.issuer, text_of("issuer", field.value));
      } else if (same_word(field.key, "audience")) {
        CODEQ_TRY(rules.audience, text_of("audience", field.value));
      } else if (same_word(field.key, "clockSkew")) {
        CODEQ_TRY(rules.skew_ns, integer_of("clockSkew", field.value));
      } else if (same_word(field.key, "httpTimeout")) {
        CODEQ_TRY(timeout_ns, integer_of("httpTimeout", field.value));
      } else {
        return refuse(fmt::format("unknown key `{}`", field.key));
      }
    }
    return {};
  };
  if (const auto done = read(); !done) return invalid(done.error().message);
  if (url.empty()) return refuse("jwksURL is required");
  if (rules.issuer.empty()) return refuse("issuer is required");
  if (rules.audience.empty()) return refuse("audience is required");
  if (!core::webhook_host(url)) return invalid("`jwksUrl` must be a valid http(s) URL");
  if (rules.skew_ns < 0 || rules.skew_ns > kSkewNsMax)
    return invalid("`clockSkew` is in nanoseconds, from 0 to 86400000000000 (a day)");
  if (timeout_ns < 0) return invalid("`httpTimeout` is in nanoseconds and not below 0");
  const auto timeout = timeout_ns == 0
                           ? kTimeoutDefault
                           : std::clamp(std::chrono::duration_cast<milliseconds>(std::chrono::nanoseconds(timeout_ns)),
                                        milliseconds(1), kTimeoutMax);
  auto& sets = shared.key_sets;
  auto set =
      std::ranges::find_if(sets, [&](const auto& one) { return one->url() == url && one->timeout() == timeout; });
  if (set == sets.end()) {
    sets.push_back(std::make_shared<KeySet>(url, timeout, shared.clock, shared.http));
    set = std::prev(sets.end());
  }
  return std::make_unique<JwksValidator>(std::move(rules), *set, shared.clock);
}

}  // namespace codeq::services::auth
