// Keys and signed tokens for tests, and the other side of HttpGet as a test wants it. Tests only.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "services/http_get.h"

namespace codeq::services::auth {

inline std::string base64url(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  unsigned bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = (bits << 8U | static_cast<unsigned char>(c)) & 0xffffffU;
    for (held += 8; held >= 6; held -= 6) out += kDigits[bits >> (held - 6) & 63U];
  }
  if (held > 0) out += kDigits[bits << (6 - held) & 63U];
  return out;
}

class TestKey {
 public:
  enum class Kind { kRsa, kRsa1024, kP256, kP384, kEd25519 };
  explicit TestKey(Kind kind, std::string kid = "k1") : kind_(kind), kid_(std::move(kid)) {
    EVP_PKEY* key = nullptr;
    switch (kind) {
      case Kind::kRsa: key = EVP_RSA_gen(2048); break;
      case Kind::kRsa1024: key = EVP_RSA_gen(1024); break;
      case Kind::kP256: key = EVP_EC_gen("P-256"); break;
      case Kind::kP384: key = EVP_EC_gen("P-384"); break;
      case Kind::kEd25519: key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
    }
    key_.reset(key);
  }

  [[nodiscard]] const std::string& kid() const { return kid_; }
  // `more`: further members, such as `"alg":"RS256"`.
  [[nodiscard]] std::string jwk(const std::string& more = "") const {
    std::string out = R"({"kid":")" + kid_ + "\"," + (more.empty() ? "" : more + ",");
    if (kind_ == Kind::kRsa || kind_ == Kind::kRsa1024)
      return out + R"("kty":"RSA","n":")" + number("n") + R"(","e":")" + number("e") + "\"}";
    if (kind_ == Kind::kEd25519) {
      std::string raw(32, '\0');
      std::size_t size = raw.size();
      EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &size);
      return out + R"("kty":"OKP","crv":"Ed25519","x":")" + base64url(raw) + "\"}";
    }
    const int size = kind_ == Kind::kP384 ? 48 : 32;
    return out + R"("kty":"EC","crv":")" + (size == 48 ? "P-384" : "P-256") + R"(","x":")" + number("qx", size) +
           R"(","y":")" + number("qy", size) + "\"}";
  }
  [[nodiscard]] std::string sign(const std::string& alg, const std::string& text) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const char* hash = alg == "EdDSA"         ? nullptr
                       : alg.ends_with("384") ? "SHA384"
                       : alg.ends_with("512") ? "SHA512"
                                              : "SHA256";
    EVP_PKEY_CTX* options = nullptr;
    EVP_DigestSignInit_ex(context.get(), &options, hash, nullptr, nullptr, key_.get(), nullptr);
    if (alg.starts_with("PS")) {
      EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt_length);
    }
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, text.size());
    signature.resize(size);
    return kind_ == Kind::kP256 ? raw_of(signature) : signature;
  }
  // `header`: members beside `alg` and `kid`.
  [[nodiscard]] std::string token(const std::string& alg, const std::string& claims,
                                  const std::string& header = "") const {
    const auto text =
        base64url(R"({"alg":")" + alg + R"(","kid":")" + kid_ + "\"" + header + "}") + "." + base64url(claims);
    return text + "." + base64url(sign(alg, text));
  }
  [[nodiscard]] std::string number(const char* name, int size = 0) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &value);
    std::string bytes(static_cast<std::size_t>(size == 0 ? BN_num_bytes(value) : size), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    BN_free(value);
    return base64url(bytes);
  }

  int salt_length = RSA_PSS_SALTLEN_DIGEST;

 private:
  static std::string raw_of(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string raw(64, '\0');
    auto* out = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + 32, 32);
    ECDSA_SIG_free(signature);
    return raw;
  }

  Kind kind_;
  std::string kid_;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_{nullptr, EVP_PKEY_free};
};

// Keeps what it is asked for; the test answers, and lets time pass.
class HeldHttp final : public HttpGet {
 public:
  struct Asked {
    HttpGetRequest request;
    std::move_only_function<void(HttpGetAnswer)> done;
  };
  struct Timer {
    std::chrono::nanoseconds wait;
    std::move_only_function<void()> then;
  };
  void get(HttpGetRequest request, std::move_only_function<void(HttpGetAnswer)> done) override {
    ++count;
    asked.push_back({std::move(request), std::move(done)});
  }
  void after(std::chrono::nanoseconds wait, std::move_only_function<void()> then) override {
    timers.push_back({wait, std::move(then)});
  }
  void answer(HttpGetAnswer answer) {
    ASSERT_FALSE(asked.empty());
    auto first = std::move(asked.front());
    asked.erase(asked.begin());
    first.done(std::move(answer));
  }
  void answer_keys(const std::string& keys) {
    answer({.http_status = 200, .error = {}, .body = R"({"keys":[)" + keys + "]}"});
  }
  void fail(std::string_view error = "connect") { answer({.http_status = 0, .error = error, .body = {}}); }
  // The newest timer's wait; it goes off when the test says so.
  void go_off() {
    ASSERT_FALSE(timers.empty());
    auto last = std::move(timers.back());
    timers.pop_back();
    last.then();
  }

  std::vector<Asked> asked;
  std::vector<Timer> timers;
  int count = 0;
};

}  // namespace codeq::services::auth
