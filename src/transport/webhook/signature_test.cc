#include "transport/webhook/signature.h"

#include <gtest/gtest.h>

namespace codeq::transport {
namespace {

WebhookSigner signer(std::string_view secret) {
  auto made = WebhookSigner::from_secret(secret);
  EXPECT_TRUE(made.has_value());
  return made ? *made : WebhookSigner{};
}

// The known answer of the Standard Webhooks reference libraries.
constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kBody = R"({"test": 2432232314})";

TEST(WebhookSigner, GivesTheKnownAnswerOfStandardWebhooks) {
  EXPECT_EQ(signer(kSecret).standard_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, kBody),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(WebhookSigner, UsesThePlainSecretsBytesAsTheKey) {
  // printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac s3cret
  EXPECT_EQ(signer("s3cret").codeq_signature(1700000000, R"({"a":1})"),
            "1698a50bc74d1ff1db85c4e0a5297c2ad9fdba245d5737cdb789e4cc6e098940");
}

TEST(WebhookSigner, DecodesAWhsecSecretForBothFormats) {
  // "whsec_czNjcmV0" carries the bytes "s3cret"; the padding of base64 may be there or not.
  const auto plain = signer("s3cret");
  const auto decoded = signer("whsec_czNjcmV0");
  EXPECT_EQ(plain.codeq_signature(1, "x"), decoded.codeq_signature(1, "x"));
  EXPECT_EQ(plain.standard_signature("m", 1, "x"), decoded.standard_signature("m", 1, "x"));
  EXPECT_EQ(signer("whsec_czNjcg==").codeq_signature(1, "x"), signer("s3cr").codeq_signature(1, "x"));
  EXPECT_EQ(signer("whsec_czNjcg").codeq_signature(1, "x"), signer("s3cr").codeq_signature(1, "x"));
}

TEST(WebhookSigner, SignsNothingWithABlankSecret) {
  EXPECT_FALSE(signer("").signs());
  EXPECT_FALSE(signer(" \t\n").signs());
  EXPECT_TRUE(signer(" x ").signs());
}

TEST(WebhookSigner, RefusesAWhsecSecretThatIsNotBase64WithoutRepeatingIt) {
  for (const auto* secret :
       {"whsec_", "whsec_====", "whsec_a", "whsec_ab=", "whsec_abc$", "whsec_ab c", "whsec_abcd====", "whsec_a=bc"}) {
    const auto made = WebhookSigner::from_secret(secret);
    ASSERT_FALSE(made.has_value()) << secret;
    EXPECT_EQ(made.error().code, Code::kInvalidArgument);
    EXPECT_EQ(made.error().message, "webhook secret: what follows whsec_ is not base64");
  }
}

}  // namespace
}  // namespace codeq::transport
