#include "services/auth/jwt.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include "services/auth/base64url.h"
#include "services/auth/claims.h"
#include "services/auth/words.h"

namespace codeq::services::auth {
namespace {

constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kShownMax = 256;  // bytes of a claim in a message
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

std::unexpected<Error> refused(std::string why) { return fail(Code::kUnauthenticated, std::move(why)); }

std::unexpected<Error> malformed(std::string_view why) { return refused(fmt::format("token is malformed: {}", why)); }

std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? kForever : -kForever) : sum;
}

TimeClaim time_of(const simdjson::dom::element& value) {
  TimeClaim time{.there = true};
  double seconds = 0;
  if (!value.is_number() || value.get(seconds)) return time;
  time.good = true;
  constexpr double kSecondsMax = 9.2e9;  // of nanoseconds in 64 bits, about the year 2261
  if (seconds >= kSecondsMax) {
    time.ns = kForever;
  } else if (seconds <= -kSecondsMax) {
    time.ns = -kForever;
  } else if (std::int64_t whole = 0; !value.get(whole)) {
    time.ns = whole * kNanosPerSecond;
  } else {
    time.ns = static_cast<std::int64_t>(seconds * 1e9);
  }
  return time;
}

std::string text_of(const simdjson::dom::element& value) {
  std::string_view text;
  return value.get(text) ? std::string() : std::string(text);
}

// The strings among the elements; nothing for what is no array.
std::vector<std::string> texts_of(const simdjson::dom::element& value) {
  std::vector<std::string> texts;
  simdjson::dom::array array;
  if (value.get(array)) return texts;
  for (const auto item : array) {
    std::string_view text;
    if (!item.get(text)) texts.emplace_back(text);
  }
  return texts;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  for (std::size_t at = 0; (at = text.find_first_not_of(kSpace, at)) != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(kSpace, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

Result<> read_header(const std::string& json, Jwt& jwt) {
  simdjson::dom::parser parser;
  simdjson::dom::object header;
  if (parser.allocate(json.size() + 1, kDepthMax) || parser.parse(simdjson::padded_string(json)).get(header))
    return malformed("could not JSON decode header");
  bool has_alg = false;
  bool has_kid = false;
  for (const auto field : header) {
    // Twice the same name, and two readers may not read the same token.
    if (field.key == "alg" && std::exchange(has_alg, true)) return malformed("alg stands twice in the header");
    if (field.key == "kid" && std::exchange(has_kid, true)) return malformed("kid stands twice in the header");
    if (field.key == "alg") jwt.alg = text_of(field.value);
    if (field.key == "kid") jwt.kid = text_of(field.value);
    if (field.key == "crit") return refused("token is unverifiable: critical header parameters are not supported");
  }
  return {};
}

Result<> read_claims(const std::string& json, Jwt& jwt) {
  simdjson::dom::parser parser;
  simdjson::dom::object claims;
  if (parser.allocate(json.size() + 1, kDepthMax) || parser.parse(simdjson::padded_string(json)).get(claims))
    return malformed("could not JSON decode claim");
  Principal& who = jwt.identity.who;
  for (const auto field : claims) {  // of a name that stands twice the last counts, as in the reference
    const auto& value = field.value;
    if (field.key == "exp") jwt.exp = time_of(value);
    if (field.key == "nbf") jwt.nbf = time_of(value);
    if (field.key == "iat") jwt.iat = time_of(value);
    if (field.key == "iss") jwt.issuer = text_of(value);
    if (field.key == "sub") who.subject = text_of(value);
    if (field.key == "scope") who.scopes = words_of(text_of(value));
    if (field.key == "eventTypes") who.event_types = texts_of(value);
    if (field.key == "aud") {
      jwt.audience = texts_of(value);
      if (value.is_string()) jwt.audience = {text_of(value)};
    }
  }
  settle_tenant(read_tenant_claims(claims), jwt.identity);
  return {};
}

}  // namespace

Result<Jwt> read_jwt(std::string_view token) {
  if (std::ranges::count(token, '.') != 2) return malformed("token contains an invalid number of segments");
  if (token.size() > kJwtBytesMax) return malformed("token is too long");
  const auto first = token.find('.');
  const auto second = token.find('.', first + 1);
  const auto header = decode_base64url(token.substr(0, first));
  if (!header) return malformed("could not base64 decode header: illegal base64 data");
  Jwt jwt;
  CODEQ_TRY_VOID(read_header(*header, jwt));
  const auto claims = decode_base64url(token.substr(first + 1, second - first - 1));
  if (!claims) return malformed("could not base64 decode claim: illegal base64 data");
  CODEQ_TRY_VOID(read_claims(*claims, jwt));
  auto signature = decode_base64url(token.substr(second + 1));
  if (!signature) return malformed("could not base64 decode signature: illegal base64 data");
  jwt.signed_text = token.substr(0, second);
  jwt.signature = *std::move(signature);
  return jwt;
}

Result<> check_claims(const Jwt& jwt, const ClaimRules& rules, std::int64_t now_ns) {
  std::vector<std::string_view> wrong;
  // At its end instant a token is over, as a lease is.
  if (!jwt.exp.there) wrong.emplace_back("token is missing required claim: exp claim is required");
  if (jwt.exp.there && !jwt.exp.good) wrong.emplace_back("invalid type for claim: exp is invalid");
  if (jwt.exp.good && now_ns >= saturating_add(jwt.exp.ns, rules.skew_ns)) wrong.emplace_back("token is expired");
  if (jwt.nbf.there && !jwt.nbf.good) wrong.emplace_back("invalid type for claim: nbf is invalid");
  if (jwt.nbf.good && saturating_add(now_ns, rules.skew_ns) < jwt.nbf.ns) wrong.emplace_back("token is not valid yet");
  if (jwt.iat.there && !jwt.iat.good) wrong.emplace_back("invalid type for claim: iat is invalid");
  if (jwt.iat.good && saturating_add(now_ns, rules.skew_ns) < jwt.iat.ns)
    wrong.emplace_back("token used before issued");
  if (!wrong.empty()) return refused(fmt::format("token has invalid claims: {}", fmt::join(wrong, ", ")));
  if (jwt.issuer != rules.issuer)
    return refused(fmt::format("invalid issuer: {}", beginning_of(jwt.issuer, kShownMax)));
  if (std::ranges::find(jwt.audience, rules.audience) == jwt.audience.end())
    return refused(fmt::format("invalid audience: [{}]",
                               beginning_of(fmt::format("{}", fmt::join(jwt.audience, " ")), kShownMax)));
  return {};
}

}  // namespace codeq::services::auth
