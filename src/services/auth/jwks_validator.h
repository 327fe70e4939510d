// Judges JWTs by the keys of a JWKS address, and remembers those that were good. Internal to services/auth.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "services/auth/jwt.h"
#include "services/auth/key_set.h"
#include "services/auth/validator.h"

namespace codeq::services::auth {

// Tokens whose signature was good, by hash, until they end: 8192 of them at least, 16384 at most.
class GoodTokens {
 public:
  static constexpr std::size_t kHalf = 8192;
  struct Entry {
    IdentityPtr identity;
    std::int64_t until_ns = 0;  // wall
    std::uint64_t generation = 0;
    Digest key{};  // the fingerprint of the key that signed it: it dies with that
  };
  // `now_ns`: wall. Nothing where it is over or its key has gone.
  IdentityPtr find(const Digest& token, std::int64_t now_ns, const KeySet::View& keys);
  void put(const Digest& token, Entry entry);

 private:
  using Entries = std::unordered_map<Digest, Entry, DigestHash>;
  std::mutex mutex_;
  Entries young_, old_;  // full, the young ones take the place of the old ones
};

class JwksValidator final : public Validator {
 public:
  JwksValidator(ClaimRules rules, std::shared_ptr<KeySet> keys, Clock& clock)
      : rules_(std::move(rules)), keys_(std::move(keys)), clock_(clock) {}
  std::optional<Result<IdentityPtr>> validate(const Presented& presented, Needs& needs) const override;

 private:
  ClaimRules rules_;
  std::shared_ptr<KeySet> keys_;  // shared with other validators of the same address
  Clock& clock_;
  mutable GoodTokens good_;
};

}  // namespace codeq::services::auth
