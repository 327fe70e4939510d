// The keys of a JWK set, and the one thing that is done with them. Internal to services/auth.
//
// Source   RFC 7517 (JWK), RFC 7518 sections 3 and 6 (RSA, EC), RFC 8037 (Ed25519)
// Shape    a key that cannot check one of our algorithms is left out: no `kid`, another `use` than `sig`, `key_ops` without
//          `verify`, an `alg` that is not ours or does not fit `kty` and `crv`, RSA below 2048 bits, a point off the curve
// Bounds   kJwksBytesMax, kJwksKeysMax (usable ones), kRsaBitsMax
// Threads  a set and its keys are never changed after they were read
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "services/sha256.h"

using EVP_PKEY = struct evp_pkey_st;

namespace codeq::services::auth {

inline constexpr std::size_t kJwksBytesMax = std::size_t{256} << 10;
inline constexpr std::size_t kJwksKeysMax = 256;
inline constexpr std::size_t kKidBytesMax = 256;
inline constexpr int kRsaBitsMin = 2048;
inline constexpr int kRsaBitsMax = 8192;  // checking a signature gets dear beyond

enum class Algorithm : std::uint8_t { kRs256, kRs384, kRs512, kPs256, kEs256, kEdDsa };
inline constexpr std::size_t kAlgorithms = 6;
std::optional<Algorithm> algorithm_of(std::string_view alg);

struct FreeKey {
  void operator()(EVP_PKEY* key) const;
};

struct Key {
  std::string kid;
  std::uint8_t algorithms = 0;  // bits by Algorithm: an RSA key without `alg` fits four of them, every other key one
  std::unique_ptr<EVP_PKEY, FreeKey> key;
  Digest fingerprint{};  // of everything that counts
  [[nodiscard]] bool fits(Algorithm algorithm) const {
    return (algorithms >> static_cast<unsigned>(algorithm) & 1U) != 0;
  }
};

class Jwks {
 public:
  // Errors: kInvalidArgument: not a JWK set, or larger than the bounds. Keys that are of no use are no error.
  static Result<Jwks> read(std::string_view json);

  // The key of that name for that algorithm; of the name alone where none fits; null: no such name.
  [[nodiscard]] const Key* find(std::string_view kid, Algorithm algorithm) const;
  [[nodiscard]] bool holds(const Digest& fingerprint) const;
  [[nodiscard]] bool knows(std::string_view kid) const;
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  [[nodiscard]] const std::vector<Key>& keys() const { return keys_; }

 private:
  std::vector<Key> keys_;
};

// Whether `signature` (as in a JWS: r and s side by side for ES256) is `key`'s over `text`; false also for a key that does
// not fit.
bool signature_is_good(const Key& key, Algorithm algorithm, std::string_view text, std::string_view signature);

}  // namespace codeq::services::auth
