// One way to judge a token, and the three that there are: static, jwks, multi. Internal to services/auth.
//
// Threads  `validate` from any
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "services/auth.h"
#include "services/sha256.h"

namespace codeq::services::auth {

class KeySet;

struct Presented {
  std::string_view token;  // trimmed
  Digest digest;
};

struct Identity {
  Principal who;
  bool has_tenant = false;
};
// Shared by the validator, which may forget it, and whoever is looking at it just now.
using IdentityPtr = std::shared_ptr<const Identity>;

// What has to be fetched before a token can be judged.
struct Needs {
  std::shared_ptr<KeySet> keys;  // shared with its validators
  std::string kid;
};

class Validator {
 public:
  virtual ~Validator() = default;
  // Who the token names. Nothing: not known before what `needs` says.
  [[nodiscard]] virtual std::optional<Result<IdentityPtr>> validate(const Presented& presented, Needs& needs) const = 0;
};

// What the validators of one authenticator share.
struct Shared {
  Clock& clock;
  HttpGet* http;
  std::vector<std::shared_ptr<KeySet>> key_sets;  // one per address: shared with the validators that use it
};

// Null for an empty type.
Result<std::unique_ptr<Validator>> make_validator(std::string_view type, std::string_view config, Shared& shared);

}  // namespace codeq::services::auth
