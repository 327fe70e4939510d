#include "app/client/login.h"

#include <gtest/gtest.h>

#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

Settings settings() {
  Settings out;
  out.iam_base_url = "https://iam/v1";
  out.iam_api_key = "k&1";
  return out;
}

TEST(Login, WithoutTemplatesTheReferencesRequestsAreMadeWithEscapedValues) {
  const auto login = login_request(settings(), {}, {.email = "a@b", .password = "p\"w", .payload = ""});
  ASSERT_TRUE(login);
  EXPECT_EQ(login->http.method, "POST");
  EXPECT_EQ(login->http.url, "https://iam/v1/signInWithPassword?key=k%261");
  EXPECT_EQ(login->token_path, "idToken");
  EXPECT_EQ(login->http.body, R"({"email":"a@b","password":"p\"w"})");
  const auto exchange = exchange_request(settings(), {}, "id");
  ASSERT_TRUE(exchange);
  EXPECT_EQ(exchange->http.url, "https://iam/v1/token/exchange?key=k%261");
  EXPECT_EQ(exchange->http.body, R"({"idToken":"id","audience":"codeq-producer"})");
  EXPECT_EQ(exchange->token_path, "accessToken");
}

TEST(Login, FlagsBeatTheProfile) {
  auto stored = settings();
  stored.profile.login.url_template = "https://profile";
  stored.profile.login.headers = {{"X-Key", "{{apiKey}}"}, {"X-Other", "o"}};
  stored.profile.exchange.scopes = {"s"};
  stored.profile.exchange.tenant_id = "acme";
  LoginArguments flags;
  flags.url = "https://flag/{{email}}";
  flags.headers = {"X-Other:  mine"};
  const auto login = login_request(stored, flags, {.email = "a@b", .password = "p", .payload = ""});
  ASSERT_TRUE(login);
  EXPECT_EQ(login->http.url, "https://flag/a%40b");
  EXPECT_EQ(login->http.headers[0], (std::pair<std::string, std::string>("X-Key", "k&1")))
      << "a key may go in a header";
  EXPECT_EQ(login->http.headers[1].second, "mine");
  const auto exchange = exchange_request(stored, flags, "id");
  EXPECT_EQ(exchange->http.body, R"({"idToken":"id","audience":"codeq-producer","tenantId":"acme","scopes":["s"]})");
}

TEST(Login, APayloadThatIsNoJsonIsRefusedAndAFormIsEncoded) {
  EXPECT_FALSE(login_request(settings(), {}, {.email = "a", .password = "p", .payload = "{{email}}}"}));
  LoginArguments form;
  form.content_type = "application/x-www-form-urlencoded";
  const auto login =
      login_request(settings(), form, {.email = "a@b", .password = "p&w", .payload = "u={{email}}&p={{password}}"});
  ASSERT_TRUE(login);
  EXPECT_EQ(login->http.body, "u=a%40b&p=p%26w");
  form.headers = {"no colon"};
  EXPECT_FALSE(login_request(settings(), form, {.email = "a", .password = "p", .payload = "x"}));
}

TEST(Login, ATokenIsFoundByItsPathAndNoAnswerIsQuoted) {
  EXPECT_EQ(*token_in(R"({"a":{"b.c":1,"t":"x\u0041"}})", "a.t"), "xA");
  for (const auto* wrong : {R"({"a":{"t":1}})", R"({"a":{"t":""}})", R"({"a":"secret-one"})", "secret-one", ""}) {
    const auto token = token_in(wrong, "a.t");
    ASSERT_FALSE(token) << wrong;
    EXPECT_EQ(token.error().message.find("secret-one"), std::string::npos);
  }
}

}  // namespace
}  // namespace codeq::app::client
