#include "services/auth/jwk.h"

#include <gtest/gtest.h>

#include "services/auth/base64url.h"
#include "services/auth/test_jwt.h"

namespace codeq::services::auth {
namespace {

using Kind = TestKey::Kind;

std::size_t usable(const std::string& keys) {
  const auto set = Jwks::read(R"({"keys":[)" + keys + "]}");
  EXPECT_TRUE(set) << (set ? "" : set.error().message);
  return set ? set->size() : 999;
}

bool accepted(const TestKey& key, const std::string& jwk, const std::string& alg, const std::string& signature,
              const std::string& text = "text") {
  const auto set = Jwks::read(R"({"keys":[)" + jwk + "]}");
  const auto algorithm = algorithm_of(alg);
  if (!set || !algorithm) return false;
  const auto* found = set->find(key.kid(), *algorithm);
  return found != nullptr && signature_is_good(*found, *algorithm, text, signature);
}

TEST(Base64Url, BytesHaveOneSpelling) {
  EXPECT_EQ(decode_base64url(""), "");
  EXPECT_EQ(decode_base64url("Zg"), "f");
  EXPECT_EQ(decode_base64url("Zm8"), "fo");
  EXPECT_EQ(decode_base64url("Zm9v"), "foo");
  EXPECT_EQ(decode_base64url("-_-_"), "\xfb\xff\xbf");
  for (const char* bad : {"Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm 9v", "Zm9v\n", "Zm9vZ"})
    EXPECT_EQ(decode_base64url(bad), std::nullopt) << bad;
}

TEST(Jwk, EverySignatureIsCheckedByItsKey) {
  const TestKey rsa(Kind::kRsa);
  const TestKey ec(Kind::kP256);
  const TestKey ed(Kind::kEd25519);
  for (const char* alg : {"RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA"}) {
    const auto& key = alg[0] == 'E' ? (alg[1] == 'S' ? ec : ed) : rsa;
    auto signature = key.sign(alg, "text");
    EXPECT_TRUE(accepted(key, key.jwk(), alg, signature)) << alg;
    EXPECT_FALSE(accepted(key, key.jwk(), alg, signature, "texT")) << alg;
    for (const auto at : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
      auto tampered = signature;
      tampered[at] = static_cast<char>(tampered[at] ^ 1);
      EXPECT_FALSE(accepted(key, key.jwk(), alg, tampered)) << alg << " " << at;
    }
    EXPECT_FALSE(accepted(key, key.jwk(), alg, signature + '\0')) << alg;
    EXPECT_FALSE(accepted(key, key.jwk(), alg, signature.substr(1))) << alg;
    EXPECT_FALSE(accepted(key, key.jwk(), alg, "")) << alg;
  }
}

TEST(Jwk, ANullSignatureOfES256IsRefused) {
  const TestKey ec(Kind::kP256);
  EXPECT_FALSE(accepted(ec, ec.jwk(), "ES256", std::string(64, '\0')));
  EXPECT_FALSE(accepted(ec, ec.jwk(), "ES256", std::string(64, '\xff')));
}

TEST(Jwk, TheSaltOfPS256IsAsLongAsTheDigest) {
  TestKey rsa(Kind::kRsa);
  for (const int other : {0, 20, 64}) {
    rsa.salt_length = other;
    EXPECT_FALSE(accepted(rsa, rsa.jwk(), "PS256", rsa.sign("PS256", "text"))) << other;
  }
}

TEST(Jwk, TheKeyDecidesOnTheAlgorithm) {
  const TestKey rsa(Kind::kRsa);
  const TestKey ec(Kind::kP256);
  EXPECT_TRUE(accepted(rsa, rsa.jwk(R"("alg":"RS256")"), "RS256", rsa.sign("RS256", "text")));
  // The key says RS256, so that a good PS256 or RS512 signature of it is none.
  EXPECT_FALSE(accepted(rsa, rsa.jwk(R"("alg":"RS256")"), "PS256", rsa.sign("PS256", "text")));
  EXPECT_FALSE(accepted(rsa, rsa.jwk(R"("alg":"RS256")"), "RS512", rsa.sign("RS512", "text")));
  EXPECT_FALSE(accepted(ec, ec.jwk(), "RS256", ec.sign("ES256", "text")));
  EXPECT_EQ(algorithm_of("none"), std::nullopt);
  EXPECT_EQ(algorithm_of("HS256"), std::nullopt);
  EXPECT_EQ(algorithm_of("rs256"), std::nullopt);
}

TEST(Jwk, KeysThatCannotBeUsedAreLeftOut) {
  const TestKey rsa(Kind::kRsa);
  const TestKey ec(Kind::kP256);
  const TestKey ed(Kind::kEd25519);
  EXPECT_EQ(usable(rsa.jwk() + "," + ec.jwk() + "," + ed.jwk()), 3U);
  EXPECT_EQ(usable(rsa.jwk(R"("use":"sig")")), 1U);
  EXPECT_EQ(usable(rsa.jwk(R"("use":"enc")")), 0U);
  EXPECT_EQ(usable(rsa.jwk(R"("use":7)")), 0U);
  EXPECT_EQ(usable(rsa.jwk(R"("key_ops":["sign","verify"])")), 1U);
  EXPECT_EQ(usable(rsa.jwk(R"("key_ops":["encrypt"])")), 0U);
  EXPECT_EQ(usable(rsa.jwk(R"("alg":"ES256")")), 0U);
  EXPECT_EQ(usable(rsa.jwk(R"("alg":"HS256")")), 0U);
  EXPECT_EQ(usable(rsa.jwk(R"("alg":null)")), 0U);
  EXPECT_EQ(usable(ec.jwk(R"("alg":"RS256")")), 0U);
  EXPECT_EQ(usable(ed.jwk(R"("alg":"EdDSA")")), 1U);
  EXPECT_EQ(usable(TestKey(Kind::kRsa1024).jwk()), 0U);
  EXPECT_EQ(usable(TestKey(Kind::kP384).jwk()), 0U);
  EXPECT_EQ(usable(TestKey(Kind::kRsa, "").jwk()), 0U);
  EXPECT_EQ(usable(TestKey(Kind::kEd25519, std::string(257, 'k')).jwk()), 0U);
  EXPECT_EQ(usable(R"({"kid":"a","kty":"oct","k":"c2VjcmV0"},{"kid":"b"},7,null,[])"), 0U);
  // e = 1 makes every text its own signature; an even modulus is no RSA.
  EXPECT_EQ(usable(R"({"kid":"a","kty":"RSA","n":")" + rsa.number("n") + R"(","e":"AQ"})"), 0U);
  EXPECT_EQ(usable(R"({"kid":"a","kty":"RSA","n":")" + base64url(std::string(256, '\xfe')) + R"(","e":"AQAB"})"), 0U);
  EXPECT_EQ(usable(R"({"kid":"a","kty":"RSA","n":")" + base64url(std::string(2048, '\xff')) + R"(","e":"AQAB"})"), 0U);
  // Not on the curve.
  EXPECT_EQ(usable(R"({"kid":"a","kty":"EC","crv":"P-256","x":")" + base64url(std::string(32, 'x')) + R"(","y":")" +
                   base64url(std::string(32, 'y')) + "\"}"),
            0U);
  EXPECT_EQ(usable(R"({"kid":"a","kty":"OKP","crv":"Ed25519","x":"AAAA"})"), 0U);
}

TEST(Jwk, WhatIsNoSetIsAnError) {
  for (const char* bad : {"", "{", "[]", "7", "{}", R"({"keys":7})", R"({"keys":{}})", "<html>"})
    EXPECT_FALSE(Jwks::read(bad)) << bad;
  EXPECT_TRUE(Jwks::read(R"({"keys":[]})"));
  EXPECT_FALSE(Jwks::read(R"({"keys":[]})" + std::string(kJwksBytesMax, ' ')));
  EXPECT_FALSE(Jwks::read(R"({"keys":)" + std::string(100, '[') + std::string(100, ']') + "}"));
}

TEST(Jwk, OfTwoKeysOfOneNameTheOneThatFitsIsTaken) {
  const TestKey rsa(Kind::kRsa, "same");
  const TestKey ec(Kind::kP256, "same");
  const auto set = Jwks::read(R"({"keys":[)" + rsa.jwk() + "," + ec.jwk() + "]}");
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->find("same", Algorithm::kRs256)->fits(Algorithm::kRs256));
  EXPECT_TRUE(set->find("same", Algorithm::kEs256)->fits(Algorithm::kEs256));
  EXPECT_FALSE(set->find("same", Algorithm::kEdDsa)->fits(Algorithm::kEdDsa));
  EXPECT_EQ(set->find("other", Algorithm::kRs256), nullptr);
}

}  // namespace
}  // namespace codeq::services::auth
