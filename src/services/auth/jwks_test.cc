// JWTs from the token to the principal, and the life of a key set.
#include <gtest/gtest.h>

#include "services/auth.h"
#include "services/auth/key_set.h"
#include "services/auth/test_jwt.h"

namespace codeq::services::auth {
namespace {

using Kind = TestKey::Kind;

constexpr std::int64_t kNow = 1'700'000'000;  // ManualClock's start, in seconds
const std::string kBadKey = "401: token is unverifiable: error while executing keyfunc: ";

std::string claims(const std::string& rest = "", std::int64_t exp = kNow + 600) {
  return R"({"iss":"https://id.test","aud":"codeq","sub":"alice","exp":)" + std::to_string(exp) +
         (rest.empty() ? "" : "," + rest) + "}";
}

std::string said(const Result<Principal>& who) {
  if (who) return who->subject + "@" + who->tenant;
  const char* code = who.error().code == Code::kUnauthenticated ? "401: "
                     : who.error().code == Code::kForbidden     ? "403: "
                     : who.error().code == Code::kOverloaded    ? "503: "
                                                                : "500: ";
  return code + who.error().message;
}

struct Jwt : testing::Test {
  // `more`: further members of the configuration.
  void make(const std::string& more = "", const std::string& worker = "") {
    auto made = make_authenticator(
        {.producer_type = "jwks",
         .producer_config =
             R"({"jwksUrl":"https://id.test/keys","issuer":"https://id.test","audience":"codeq")" + more + "}",
         .worker_type = worker.empty() ? "" : "jwks",
         .worker_config = worker},
        {.clock = &clock, .http = &http});
    ASSERT_TRUE(made) << made.error().message;
    auth = *std::move(made);
  }
  std::string ask(const std::string& token, TokenUse use = TokenUse::kProducer) {
    const auto verdict = auth->check(use, token);
    return verdict ? said(*verdict) : "a key is needed";
  }
  // What comes of it later; "" until then.
  std::shared_ptr<std::string> later(const std::string& token, TokenUse use = TokenUse::kProducer) {
    auto told = std::make_shared<std::string>();
    auth->check_later(use, token, [told](const Result<Principal>& who) { *told = said(who); });
    return told;
  }
  void pass(std::int64_t seconds) { clock.advance_ns(seconds * kNanosPerSecond); }

  ManualClock clock;
  HeldHttp http;
  TestKey rsa{Kind::kRsa, "rsa"};
  TestKey ec{Kind::kP256, "ec"};
  TestKey ed{Kind::kEd25519, "ed"};
  std::unique_ptr<Authenticator> auth;
};

TEST_F(Jwt, TokensOfEveryAlgorithmAreKnownOnceTheKeysAreThere) {
  make();
  ASSERT_EQ(http.count, 1);  // at the start, before anybody asks
  EXPECT_EQ(http.asked[0].request.url, "https://id.test/keys");
  EXPECT_EQ(http.asked[0].request.timeout, std::chrono::seconds(5));
  EXPECT_EQ(ask(rsa.token("RS256", claims())), "a key is needed");
  http.answer_keys(rsa.jwk() + "," + ec.jwk() + "," + ed.jwk());
  for (const char* alg : {"RS256", "RS384", "RS512", "PS256"})
    EXPECT_EQ(ask(rsa.token(alg, claims(R"("tid":"acme")"))), "alice@acme") << alg;
  EXPECT_EQ(ask(ec.token("ES256", claims())), "alice@alice");
  EXPECT_EQ(ask(ed.token("EdDSA", claims())), "alice@alice");
  EXPECT_EQ(ask(" " + ed.token("EdDSA", claims()) + " "), "alice@alice");
  EXPECT_EQ(http.count, 1);
}

TEST_F(Jwt, WhatTheTokenClaimsBecomesThePrincipal) {
  make(R"(,"clockSkew":5000000000)");
  http.answer_keys(rsa.jwk());
  const auto who = *auth->check(
      TokenUse::kProducer,
      rsa.token("RS256",
                claims(R"("scope":" codeq:claim  codeq:admin ","eventTypes":["A","b",7],"organizationId":" acme ",
                                          "role":"user","scopes":["x"],"scp":"y")")));
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_EQ(who->tenant, "acme");
  EXPECT_EQ(who->scopes, (std::vector<std::string>{"codeq:claim", "codeq:admin"}));
  EXPECT_EQ(who->event_types, (std::vector<std::string>{"A", "b"}));
  EXPECT_TRUE(who->admin);
  EXPECT_TRUE(who->names_role);
  EXPECT_EQ(who->expires_unix_ns, (kNow + 605) * kNanosPerSecond);
  EXPECT_EQ(ask(rsa.token("RS256", claims(R"("tid":7)"))), "403: invalid tenant claims");
  EXPECT_EQ(ask(rsa.token("RS256", claims(R"("tid":"acme","tenantId":"other")"))), "403: invalid tenant claims");
}

TEST_F(Jwt, AWorkerNeedsAListOfEventTypesAndAScope) {
  make("", R"({"jwksUrl":"https://id.test/keys","issuer":"https://id.test","audience":"codeq"})");
  EXPECT_EQ(http.count, 1);  // one address, one set of keys
  http.answer_keys(rsa.jwk());
  const auto worker = [&](const std::string& rest) { return ask(rsa.token("RS256", claims(rest)), TokenUse::kWorker); };
  EXPECT_EQ(worker(R"("eventTypes":["*"],"scope":"codeq:claim")"), "alice@alice");
  EXPECT_EQ(worker(R"("eventTypes":"*","scope":"codeq:claim")"),
            "401: missing eventTypes");  // a plain string is ignored
  EXPECT_EQ(worker(R"("eventTypes":["*"],"scope":["codeq:claim"])"), "401: missing scope");
  EXPECT_EQ(ask(rsa.token("RS256", claims()), TokenUse::kAny), "alice@alice");
  EXPECT_EQ(ask("x.y.z", TokenUse::kAny), "401: invalid token");
}

TEST_F(Jwt, TokensThatAreNoneAreToldSoInTheReferencesWords) {
  make();
  http.answer_keys(rsa.jwk());
  const std::string malformed = "401: token is malformed: ";
  for (const char* bad : {"", "abc", "a.b", "a.b.c.d"})
    EXPECT_EQ(ask(bad), malformed + "token contains an invalid number of segments") << bad;
  EXPECT_EQ(ask("a!.b.c"), malformed + "could not base64 decode header: illegal base64 data");
  EXPECT_EQ(ask(base64url("[]") + ".b.c"), malformed + "could not JSON decode header");
  const auto header = base64url(R"({"alg":"RS256","kid":"rsa"})");
  EXPECT_EQ(ask(header + ".!.c"), malformed + "could not base64 decode claim: illegal base64 data");
  EXPECT_EQ(ask(header + "." + base64url("7") + ".c"), malformed + "could not JSON decode claim");
  EXPECT_EQ(ask(header + "." + base64url(claims()) + ".!"),
            malformed + "could not base64 decode signature: illegal base64 data");
  EXPECT_EQ(ask(header + "." + base64url(claims()) + "."),
            "401: token signature is invalid: crypto/rsa: verification error");
  EXPECT_EQ(ask(std::string(20'000, 'a') + ".b.c"), malformed + "token is too long");
  EXPECT_EQ(ask(rsa.token("RS256", claims(), R"(,"alg":"RS256")")), malformed + "alg stands twice in the header");
  EXPECT_EQ(ask(rsa.token("RS256", claims(), R"(,"crit":["b64"],"b64":false)")),
            "401: token is unverifiable: critical header parameters are not supported");
}

TEST_F(Jwt, TheAlgorithmIsTheKeysAndNeverTheTokensAlone) {
  make();
  http.answer_keys(rsa.jwk() + "," + ec.jwk() + "," + ed.jwk());
  const auto unsigned_token = [&](const std::string& alg, const std::string& kid) {
    return base64url(R"({"alg":")" + alg + R"(","kid":")" + kid + "\"}") + "." + base64url(claims()) + ".";
  };
  for (const char* alg : {"none", "None", "HS256", "ES384", "PS512", "RS1", ""})
    EXPECT_EQ(ask(unsigned_token(alg, "rsa")), kBadKey + "unexpected signing method: " + alg) << alg;
  // Signed by the RSA key, but told to be of another kind, and the other way round.
  for (const char* kid : {"ec", "ed"}) {
    const auto text = base64url(R"({"alg":"RS256","kid":")" + std::string(kid) + "\"}") + "." + base64url(claims());
    EXPECT_EQ(ask(text + "." + base64url(rsa.sign("RS256", text))),
              "401: token signature is invalid: key is of invalid type");
  }
  EXPECT_EQ(ask(unsigned_token("ES256", "rsa")), "401: token signature is invalid: key is of invalid type");
  EXPECT_EQ(ask(unsigned_token("EdDSA", "ec")), "401: token signature is invalid: key is of invalid type");
  EXPECT_EQ(ask(unsigned_token("ES256", "ec")), "401: token signature is invalid: crypto/ecdsa: verification error");
  EXPECT_EQ(ask(unsigned_token("EdDSA", "ed")), "401: token signature is invalid: ed25519: verification error");
  const auto text = base64url(R"({"alg":"RS256"})") + "." + base64url(claims());
  EXPECT_EQ(ask(text + "." + base64url(rsa.sign("RS256", text))), kBadKey + "missing kid in token header");
}

TEST_F(Jwt, TheTimesOfATokenAreJudgedWithTheSkewThatWasAskedFor) {
  make(R"(,"clockSkew":60000000000)");
  http.answer_keys(rsa.jwk());
  const auto token = [&](const std::string& rest, std::int64_t exp) {
    return ask(rsa.token("RS256", claims(rest, exp)));
  };
  const auto at = [](const char* name, std::int64_t seconds) {
    return "\"" + std::string(name) + "\":" + std::to_string(kNow + seconds);
  };
  EXPECT_EQ(token("", kNow - 59), "alice@alice");
  EXPECT_EQ(token("", kNow - 60), "401: token has invalid claims: token is expired");
  EXPECT_EQ(token(at("nbf", 60), kNow + 600), "alice@alice");
  EXPECT_EQ(token(at("nbf", 61), kNow + 600), "401: token has invalid claims: token is not valid yet");
  EXPECT_EQ(token(at("nbf", 61), kNow - 60), "401: token has invalid claims: token is expired, token is not valid yet");
  EXPECT_EQ(token(at("iat", 60), kNow + 600), "alice@alice");
  EXPECT_EQ(token(at("iat", 61), kNow + 600), "401: token has invalid claims: token used before issued");
  EXPECT_EQ(token(R"("nbf":"soon")", kNow + 600),
            "401: token has invalid claims: invalid type for claim: nbf is invalid");
  const std::string mine = R"({"iss":"https://id.test","aud":"codeq","sub":"alice")";
  EXPECT_EQ(ask(rsa.token("RS256", mine + "}")),
            "401: token has invalid claims: token is missing required claim: exp claim is required");
  EXPECT_EQ(ask(rsa.token("RS256", mine + R"(,"exp":"1800000000"})")),
            "401: token has invalid claims: invalid type for claim: exp is invalid");
  EXPECT_EQ(ask(rsa.token("RS256", mine + R"(,"exp":1700000000.5})")), "alice@alice");
  EXPECT_EQ(ask(rsa.token("RS256", mine + R"(,"exp":1e300})")), "alice@alice");
  EXPECT_EQ(ask(rsa.token("RS256", mine + R"(,"exp":-1e300})")), "401: token has invalid claims: token is expired");
}

TEST_F(Jwt, WithoutASkewThereIsNone) {
  make();
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(ask(rsa.token("RS256", claims("", kNow))), "401: token has invalid claims: token is expired");
  EXPECT_EQ(ask(rsa.token("RS256", claims("", kNow + 1))), "alice@alice");
}

TEST_F(Jwt, IssuerAndAudienceMustBeOurs) {
  make();
  http.answer_keys(rsa.jwk());
  const auto token = [&](const std::string& rest) {
    return ask(rsa.token("RS256", R"({"sub":"alice","exp":1700000600)" + rest + "}"));
  };
  EXPECT_EQ(token(R"(,"iss":"https://id.test/","aud":"codeq")"), "401: invalid issuer: https://id.test/");
  EXPECT_EQ(token(R"(,"aud":"codeq")"), "401: invalid issuer: ");
  EXPECT_EQ(token(R"(,"iss":"https://id.test","aud":["a","b"])"), "401: invalid audience: [a b]");
  EXPECT_EQ(token(R"(,"iss":"https://id.test")"), "401: invalid audience: []");
  EXPECT_EQ(token(R"(,"iss":"https://id.test","aud":["a","codeq"])"), "alice@alice");
  const auto long_issuer = token(R"(,"iss":")" + std::string(5000, 'i') + "\"");
  EXPECT_LT(long_issuer.size(), 400U);
  // What is shown is never cut within a character.
  std::string umlauts;
  for (int i = 0; i < 300; ++i) umlauts += "\xc3\xbc";
  EXPECT_TRUE(token(R"(,"iss":"x)" + umlauts + "\"").ends_with("\xc3\xbc"));
}

TEST_F(Jwt, AGoodTokenIsRememberedUntilItEnds) {
  make();
  http.answer_keys(rsa.jwk());
  const auto token = rsa.token("RS256", claims("", kNow + 100));
  EXPECT_EQ(ask(token), "alice@alice");
  pass(99);
  EXPECT_EQ(ask(token), "alice@alice");
  pass(1);
  EXPECT_EQ(ask(token), "401: token has invalid claims: token is expired");
}

TEST_F(Jwt, ARememberedTokenDiesWithItsKey) {
  make();
  http.answer_keys(rsa.jwk() + "," + ec.jwk());
  const auto by_rsa = rsa.token("RS256", claims());
  const auto by_ec = ec.token("ES256", claims());
  EXPECT_EQ(ask(by_rsa), "alice@alice");
  EXPECT_EQ(ask(by_ec), "alice@alice");
  http.go_off();  // time to refresh
  http.answer_keys(ec.jwk());
  EXPECT_EQ(ask(by_ec), "alice@alice");
  EXPECT_EQ(ask(by_rsa), "a key is needed");
  const auto told = later(by_rsa);
  pass(1);
  http.go_off();  // the pace
  http.answer_keys(ec.jwk());
  EXPECT_EQ(*told, kBadKey + "key rsa not found in JWKS");
  // Another key under the same name is another key.
  pass(20);
  http.timers.clear();
  const auto again = later(by_rsa);
  http.answer_keys(TestKey(Kind::kRsa, "rsa").jwk());
  EXPECT_EQ(*again, "401: token signature is invalid: crypto/rsa: verification error");
}

TEST_F(Jwt, ANewKeyIsFetchedOnceForAllWhoAskForIt) {
  make();
  http.answer_keys(rsa.jwk());
  pass(2);
  const auto token = ec.token("ES256", claims());
  std::vector<std::shared_ptr<std::string>> told;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(ask(token), "a key is needed");
    told.push_back(later(token));
  }
  EXPECT_EQ(http.count, 2);
  http.answer_keys(rsa.jwk() + "," + ec.jwk());
  for (const auto& one : told) EXPECT_EQ(*one, "alice@alice");
  EXPECT_EQ(ask(token), "alice@alice");
  EXPECT_EQ(http.count, 2);
}

TEST_F(Jwt, AnUnknownNameIsNotAskedForAgainForTenSeconds) {
  make();
  http.answer_keys(rsa.jwk());
  pass(2);
  const auto token = ec.token("ES256", claims());
  const auto told = later(token);
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(*told, kBadKey + "key ec not found in JWKS");
  EXPECT_EQ(ask(token), *told);
  pass(9);
  EXPECT_EQ(ask(token), *told);
  EXPECT_EQ(http.count, 2);
  pass(1);
  EXPECT_EQ(ask(token), "a key is needed");
}

TEST_F(Jwt, ManyUnknownNamesCostOneFetchASecond) {
  make();
  http.answer_keys(rsa.jwk());
  pass(2);
  const auto named = [&](const std::string& kid) {
    const auto text = base64url(R"({"alg":"ES256","kid":")" + kid + "\"}") + "." + base64url(claims());
    return text + "." + base64url(ec.sign("ES256", text));
  };
  const auto first = later(named("a"));
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(http.count, 2);
  std::vector<std::shared_ptr<std::string>> told;
  const auto timers = http.timers.size();
  for (int i = 0; i < 100; ++i) told.push_back(later(named("b" + std::to_string(i))));
  // Nor is anybody refused in haste: a key that is new in just this second is found by the next fetch.
  const auto good = later(named("ec"));
  EXPECT_EQ(http.count, 2);
  EXPECT_EQ(http.timers.size(), timers + 1);
  EXPECT_EQ(*good, "");
  pass(1);
  http.go_off();
  EXPECT_EQ(http.count, 3);
  http.answer_keys(rsa.jwk() + "," + ec.jwk());
  EXPECT_EQ(*good, "alice@alice");
  EXPECT_EQ(*told[7], kBadKey + "key b7 not found in JWKS");
}

TEST_F(Jwt, ATokenThatNoKeyCouldSaveCausesNoFetch) {
  make();
  http.answer_keys(rsa.jwk());
  pass(2);
  EXPECT_EQ(ask(ec.token("ES256", claims("", kNow - 1))), kBadKey + "key ec not found in JWKS");
  EXPECT_EQ(ask(ec.token("ES256", R"({"iss":"x","aud":"codeq","exp":1800000000})")),
            kBadKey + "key ec not found in JWKS");
  EXPECT_EQ(http.count, 1);
}

TEST_F(Jwt, BeforeTheFirstKeysNobodyIsToldThatOneIsMissing) {
  make();
  const auto told = later(ec.token("ES256", claims("", kNow - 1)));
  EXPECT_EQ(*told, "");
  http.answer_keys(ec.jwk());
  EXPECT_EQ(*told, "401: token has invalid claims: token is expired");
}

TEST_F(Jwt, KeysServeOnWhileTheirServerIsDownButNotForEver) {
  make();
  http.answer_keys(rsa.jwk());
  const auto token = rsa.token("RS256", claims("", kNow + 100'000));
  pass(240);
  http.go_off();
  http.fail();
  EXPECT_EQ(ask(token), "alice@alice");
  // It is tried again by itself, less and less often, and nobody who asks for an unknown key hastens or waits for it.
  EXPECT_EQ(http.timers.back().wait, std::chrono::seconds(1));
  EXPECT_EQ(ask(ec.token("ES256", claims())), kBadKey + "failed to fetch JWKS");
  for (const int wait : {2, 4, 8, 10, 10}) {
    http.go_off();
    http.answer({.http_status = 500, .error = {}, .body = {}});
    EXPECT_EQ(http.timers.back().wait, std::chrono::seconds(wait));
  }
  pass(6 * 3600 - 241);
  EXPECT_EQ(ask(token), "alice@alice");
  EXPECT_EQ(ask(rsa.token("RS256", claims("", kNow + 99'999))), "alice@alice");
  pass(1);
  EXPECT_EQ(ask(token), kBadKey + "failed to fetch JWKS");
  http.go_off();
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(ask(token), "alice@alice");
  EXPECT_EQ(http.timers.back().wait, std::chrono::seconds(240));
}

TEST_F(Jwt, AServerThatIsDownAtTheStartIsToldWithoutItsAddress) {
  make();
  const auto token = rsa.token("RS256", claims());
  const auto told = later(token);
  EXPECT_EQ(*told, "");
  http.fail("dns");
  EXPECT_EQ(*told, kBadKey + "failed to fetch JWKS");
  EXPECT_EQ(ask(token), *told);
  http.go_off();
  const auto second = later(token);
  http.answer({.http_status = 200, .error = {}, .body = "<html>"});
  EXPECT_EQ(*second, kBadKey + "failed to fetch JWKS");
  http.go_off();
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(ask(token), "alice@alice");
}

TEST_F(Jwt, MoreThanSoManyDoNotWait) {
  make();
  const auto token = rsa.token("RS256", claims());
  std::vector<std::shared_ptr<std::string>> told;
  for (std::size_t i = 0; i < KeySet::kWaitersMax; ++i) told.push_back(later(token));
  EXPECT_EQ(*later(token), "503: overloaded, try again");
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(*told.front() + " " + *told.back(), "alice@alice alice@alice");
}

TEST_F(Jwt, MultiAsksTheNextOneWhereAKeySetCannotHelp) {
  const auto jwks = [](const std::string& host) {
    return R"({"type":"jwks","config":{"jwksUrl":"https://)" + host + R"(/keys","issuer":"https://)" + host +
           R"(","audience":"codeq"}})";
  };
  auto made = make_authenticator({.producer_type = "multi",
                                  .producer_config = R"({"providers":[)" + jwks("other.test") + "," + jwks("id.test") +
                                                     R"(,{"type":"static","config":{"token":"s","subject":"bob"}}]})",
                                  .worker_type = "",
                                  .worker_config = ""},
                                 {.clock = &clock, .http = &http});
  ASSERT_TRUE(made);
  auth = *std::move(made);
  ASSERT_EQ(http.count, 2);
  EXPECT_EQ(ask("s"), "bob@bob");  // no key is needed for that
  const auto told = later(rsa.token("RS256", claims()));
  http.fail();  // the other one, which this token is not for
  http.answer_keys(rsa.jwk());
  EXPECT_EQ(*told, "alice@alice");
  EXPECT_EQ(ask("nobody"),
            "401: multi auth: token rejected by every provider: "
            "token is malformed: token contains an invalid number of segments\n"
            "token is malformed: token contains an invalid number of segments\ninvalid token");
}

TEST_F(Jwt, AWrongConfigurationIsRefusedAtTheStart) {
  const auto refused = [&](const std::string& config) {
    const auto made = make_authenticator(
        {.producer_type = "jwks", .producer_config = config, .worker_type = "", .worker_config = ""});
    return made ? "accepted" : made.error().message;
  };
  const std::string good = R"("jwksUrl":"http://127.0.0.1:1/k","issuer":"i","audience":"a")";
  EXPECT_EQ(refused("{" + good + "}"), "accepted");
  EXPECT_EQ(refused("{" + good + R"(,"clockSkew":60000000000,"httpTimeout":120000000000})"), "accepted");
  EXPECT_EQ(refused(""), "invalid JWKS config: missing config");
  EXPECT_EQ(refused("[]"), "invalid JWKS config: an object is expected");
  EXPECT_EQ(refused("{}"), "jwksURL is required");
  EXPECT_EQ(refused(R"({"jwksUrl":"http://h/k"})"), "issuer is required");
  EXPECT_EQ(refused(R"({"jwksUrl":"http://h/k","issuer":"i"})"), "audience is required");
  EXPECT_EQ(refused(R"({"jwksUrl":"ftp://h/k","issuer":"i","audience":"a"})"),
            "invalid JWKS config: `jwksUrl` must be a valid http(s) URL");
  EXPECT_EQ(refused("{" + good + R"(,"clockSkew":"60s"})"), "invalid JWKS config: `clockSkew` is not an integer");
  EXPECT_EQ(refused("{" + good + R"(,"clockSkew":-1})"),
            "invalid JWKS config: `clockSkew` is in nanoseconds, from 0 to 86400000000000 (a day)");
  EXPECT_EQ(refused("{" + good + R"(,"httpTimeout":-1})"),
            "invalid JWKS config: `httpTimeout` is in nanoseconds and not below 0");
  EXPECT_EQ(refused("{" + good + R"(,"audiences":["a"]})"), "invalid JWKS config: unknown key `audiences`");
}

}  // namespace
}  // namespace codeq::services::auth
