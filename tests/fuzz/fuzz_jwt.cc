// fuzz-room: codeq_services
// A JWT from a stranger, and its claims at some instant; nothing is signed, so nothing may come of it but an answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "services/auth/jwk.h"
#include "services/auth/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace codeq::services::auth;
  const std::string_view token(reinterpret_cast<const char*>(data), size);
  const auto jwt = read_jwt(token);
  if (!jwt) {
    CHECK(jwt.error().code == codeq::Code::kUnauthenticated && jwt.error().message.size() < 200);
    return 0;
  }
  CHECK(token.size() <= kJwtBytesMax && token.starts_with(jwt->signed_text));
  const ClaimRules rules{.issuer = "https://id.test", .audience = "codeq", .skew_ns = 60'000'000'000};
  for (const std::int64_t now : {std::int64_t{0}, std::int64_t{1'700'000'000'000'000'000}, INT64_MAX}) {
    const auto good = check_claims(*jwt, rules, now);
    if (good) CHECK(jwt->exp.good && jwt->issuer == rules.issuer && !jwt->audience.empty());
    if (!good) CHECK(good.error().message.size() < 1000);
  }
  // Any key refuses what it did not sign.
  static const auto keys = Jwks::read(
      R"({"keys":[{"kid":"ed","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})");
  CHECK(keys && keys->size() == 1);
  CHECK(!signature_is_good(keys->keys().front(), Algorithm::kEdDsa, jwt->signed_text, jwt->signature));
  return 0;
}
