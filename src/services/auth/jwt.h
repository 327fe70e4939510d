// A JWT as bytes: cut apart, decoded, not yet believed. Internal to services/auth.
//
// Source   RFC 7515 (compact serialization), RFC 7519 section 4
// Errors   kUnauthenticated with the reference's text; `crit` is refused, `jwk`, `jku`, `x5c` and `x5u` are never looked at
// Bounds   kJwtBytesMax, 32 levels of JSON
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "services/auth/validator.h"

namespace codeq::services::auth {

inline constexpr std::size_t kJwtBytesMax = std::size_t{16} << 10;

// A NumericDate claim, in nanoseconds; far-off dates saturate.
struct TimeClaim {
  bool there = false;
  bool good = false;  // it is a number
  std::int64_t ns = 0;
};

struct Jwt {
  std::string alg;
  std::string kid;
  std::string_view signed_text;  // borrows the token
  std::string signature;
  TimeClaim exp, nbf, iat;
  std::string issuer;
  std::vector<std::string> audience;
  Identity identity;  // what it says about its bearer
};
Result<Jwt> read_jwt(std::string_view token);

struct ClaimRules {
  std::string issuer;
  std::string audience;
  std::int64_t skew_ns = 0;
};
// Whether the claims hold at `now_ns` (wall time).
Result<> check_claims(const Jwt& jwt, const ClaimRules& rules, std::int64_t now_ns);

}  // namespace codeq::services::auth
