#include "services/auth/jwk.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include <simdjson.h>

#include "services/auth/base64url.h"

namespace codeq::services::auth {
namespace {

constexpr std::size_t kDepthMax = 16;
constexpr std::size_t kExponentBytesMax = 8;
constexpr std::size_t kCoordinateBytes = 32;  // of P-256 and Ed25519
constexpr std::array<std::string_view, kAlgorithms> kNames{"RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA"};

template <auto free>
struct Free {
  template <class T>
  void operator()(T* thing) const {
    free(thing);
  }
};
using Bignum = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using HashContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, FreeKey>;

// What OpenSSL noted about our failures is not left on the thread for the next TLS connection to find.
struct CleanErrors {
  ~CleanErrors() { ERR_clear_error(); }
};

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Bignum number_of(std::string_view big_endian) {
  return Bignum(BN_bin2bn(bytes(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

OwnedKey key_from(const char* type, OSSL_PARAM_BLD* built) {
  const Params params(OSSL_PARAM_BLD_to_param(built));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return OwnedKey(key);
}

OwnedKey rsa_key(std::string_view n_bytes, std::string_view e_bytes) {
  if (n_bytes.size() > kRsaBitsMax / 8 || e_bytes.empty() || e_bytes.size() > kExponentBytesMax) return nullptr;
  const Bignum n = number_of(n_bytes);
  const Bignum e = number_of(e_bytes);
  if (!n || !e || BN_num_bits(n.get()) < kRsaBitsMin || !BN_is_odd(n.get()) || !BN_is_odd(e.get()) ||
      BN_is_one(e.get()))
    return nullptr;
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return nullptr;
  }
  return key_from("RSA", builder.get());
}

OwnedKey p256_key(std::string_view x, std::string_view y) {
  if (x.size() != kCoordinateBytes || y.size() != kCoordinateBytes) return nullptr;
  std::string point(1, '\x04');  // uncompressed, SEC 1
  point.append(x).append(y);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return nullptr;
  }
  auto key = key_from("EC", builder.get());
  if (!key) return nullptr;
  const KeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  return check && EVP_PKEY_public_check(check.get()) == 1 ? std::move(key) : nullptr;
}

OwnedKey ed25519_key(std::string_view x) {
  if (x.size() != kCoordinateBytes) return nullptr;
  return OwnedKey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(x), x.size()));
}

using Object = simdjson::dom::object;

std::string_view member(const Object& object, std::string_view name) {
  std::string_view text;
  return object.at_key(name).get(text) ? std::string_view() : text;
}

bool has(const Object& object, std::string_view name) { return object.at_key(name).error() == simdjson::SUCCESS; }

// `use` and `key_ops` where they are there.
bool may_verify(const Object& jwk) {
  if (has(jwk, "use") && member(jwk, "use") != "sig") return false;
  if (!has(jwk, "key_ops")) return true;
  simdjson::dom::array operations;
  if (jwk.at_key("key_ops").get(operations)) return false;
  return std::ranges::any_of(operations, [](const simdjson::dom::element& operation) {
    std::string_view name;
    return !operation.get(name) && name == "verify";
  });
}

constexpr std::uint8_t bit(Algorithm algorithm) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(algorithm));
}

// What keys of that kind can check.
std::uint8_t algorithms_of(std::string_view kty, std::string_view crv) {
  using enum Algorithm;
  if (kty == "RSA") return bit(kRs256) | bit(kRs384) | bit(kRs512) | bit(kPs256);
  if (kty == "EC" && crv == "P-256") return bit(kEs256);
  if (kty == "OKP" && crv == "Ed25519") return bit(kEdDsa);
  return 0;
}

std::optional<Key> read_key(const Object& jwk) {
  Key key;
  key.kid = std::string(member(jwk, "kid"));
  if (key.kid.empty() || key.kid.size() > kKidBytesMax || !may_verify(jwk)) return std::nullopt;
  const auto kty = member(jwk, "kty");
  key.algorithms = algorithms_of(kty, member(jwk, "crv"));
  if (has(jwk, "alg")) {
    const auto named = algorithm_of(member(jwk, "alg"));
    key.algorithms &= named ? bit(*named) : 0;
  }
  if (key.algorithms == 0) return std::nullopt;
  const auto first = decode_base64url(member(jwk, kty == "RSA" ? "n" : "x"));
  const auto second = decode_base64url(member(jwk, kty == "RSA" ? "e" : "y"));
  if (!first || !second) return std::nullopt;
  key.key = kty == "RSA" ? rsa_key(*first, *second) : kty == "EC" ? p256_key(*first, *second) : ed25519_key(*first);
  if (!key.key) return std::nullopt;
  std::string all = key.kid + '\n' + std::to_string(key.algorithms) + '\n' + std::string(kty) + '\n';
  all += std::to_string(first->size()) + '\n' + *first + *second;
  key.fingerprint = sha256(all);
  return key;
}

// r and s side by side become the structure that OpenSSL reads.
std::string der_of(std::string_view raw) {
  if (raw.size() != 2 * kCoordinateBytes) return {};
  const EcSignature signature(ECDSA_SIG_new());
  Bignum r = number_of(raw.substr(0, kCoordinateBytes));
  Bignum s = number_of(raw.substr(kCoordinateBytes));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return {};
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

const char* hash_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRs384: return "SHA384";
    case Algorithm::kRs512: return "SHA512";
    case Algorithm::kEdDsa: return nullptr;  // hashes by itself
    case Algorithm::kRs256:
    case Algorithm::kPs256:
    case Algorithm::kEs256: return "SHA256";
  }
  return nullptr;
}

}  // namespace

void FreeKey::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

std::optional<Algorithm> algorithm_of(std::string_view alg) {
  const auto found = std::ranges::find(kNames, alg);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Algorithm>(found - kNames.begin());
}

Result<Jwks> Jwks::read(std::string_view json) {
  const CleanErrors clean;
  if (json.size() > kJwksBytesMax) return fail(Code::kInvalidArgument, "it is too large");
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  simdjson::dom::array array;
  if (parser.allocate(json.size() + 1, kDepthMax) || parser.parse(simdjson::padded_string(json)).get(object) ||
      object.at_key("keys").get(array)) {
    return fail(Code::kInvalidArgument, "it is not a JWK set");
  }
  Jwks set;
  for (const auto item : array) {
    Object jwk;
    if (item.get(jwk)) continue;
    auto key = read_key(jwk);
    if (!key) continue;
    if (set.keys_.size() == kJwksKeysMax) return fail(Code::kInvalidArgument, "it has too many keys");
    set.keys_.push_back(*std::move(key));
  }
  return set;
}

const Key* Jwks::find(std::string_view kid, Algorithm algorithm) const {
  const Key* named = nullptr;
  for (const auto& key : keys_) {
    if (key.kid != kid) continue;
    if (key.fits(algorithm)) return &key;
    if (named == nullptr) named = &key;
  }
  return named;
}

bool Jwks::holds(const Digest& fingerprint) const {
  return std::ranges::find(keys_, fingerprint, &Key::fingerprint) != keys_.end();
}

bool Jwks::knows(std::string_view kid) const { return std::ranges::find(keys_, kid, &Key::kid) != keys_.end(); }

bool signature_is_good(const Key& key, Algorithm algorithm, std::string_view text, std::string_view signature) {
  const CleanErrors clean;
  if (!key.fits(algorithm)) return false;
  std::string der;
  if (algorithm == Algorithm::kEs256) {
    der = der_of(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const HashContext hash(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;  // the hash context's
  if (!hash ||
      EVP_DigestVerifyInit_ex(hash.get(), &context, hash_of(algorithm), nullptr, nullptr, key.key.get(), nullptr) != 1)
    return false;
  if (algorithm == Algorithm::kPs256 && (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1 ||
                                         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_DigestVerify(hash.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
}

}  // namespace codeq::services::auth
