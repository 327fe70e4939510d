#include "services/auth.h"

#include <gtest/gtest.h>

namespace codeq::services {
namespace {

constexpr const char* kProducer = R"({"token":"p","subject":"alice","raw":{"tenantId":"acme"}})";
constexpr const char* kWorker =
    R"({"token":"w","subject":"worker-1","scopes":["codeq:claim"],"eventTypes":["EMAIL"],"raw":{"tenantId":"acme"}})";

std::unique_ptr<Authenticator> make(std::string producer, std::string worker, bool producer_as_worker = false) {
  auto made = make_authenticator({.producer_type = producer.empty() ? "" : "static",
                                  .producer_config = producer,
                                  .worker_type = worker.empty() ? "" : "static",
                                  .worker_config = worker,
                                  .allow_producer_as_worker = producer_as_worker});
  EXPECT_TRUE(made) << (made ? "" : made.error().message);
  return made ? std::move(*made) : nullptr;
}

std::string refused(const std::string& type, const std::string& config) {
  const auto made =
      make_authenticator({.producer_type = type, .producer_config = config, .worker_type = "", .worker_config = ""});
  return made ? "accepted" : made.error().message;
}

// "subject@tenant", or "code: text" of the refusal.
std::string said(const Result<Principal>& who) {
  if (who) return who->subject + "@" + who->tenant;
  const char* code = who.error().code == Code::kUnauthenticated ? "401"
                     : who.error().code == Code::kForbidden     ? "403"
                                                                : "500";
  return std::string(code) + ": " + who.error().message;
}

TEST(Auth, TheHeaderIsReadAsTheReferenceReadsIt) {
  const auto auth = make(kProducer, kWorker);
  EXPECT_EQ(said(auth->producer("Bearer p")), "alice@acme");
  EXPECT_EQ(said(auth->producer("bEARER  p ")), "alice@acme");
  EXPECT_EQ(said(auth->producer("")), "401: missing Authorization header");
  EXPECT_EQ(said(auth->producer("  ")), "401: missing Authorization header");
  for (const char* bad : {"Bearer", "Bearer ", "p", "Basic p", "Bearerp", "Bearer\tp"}) {
    EXPECT_EQ(said(auth->producer(bad)), "401: invalid Authorization format") << bad;
  }
}

TEST(Auth, OnlyTheVeryTokenIsAccepted) {
  const auto auth = make(kProducer, kWorker);
  for (const char* bad : {"Bearer P", "Bearer pp", "Bearer w", "Bearer p p"})
    EXPECT_EQ(said(auth->producer(bad)), "401: invalid token") << bad;
  EXPECT_EQ(said(auth->worker("Bearer w")), "worker-1@acme");
  EXPECT_EQ(said(auth->worker("Bearer p")), "401: invalid token");
}

TEST(Auth, ATokenAloneIsAConfiguration) {
  EXPECT_EQ(said(make(R"("  p ")", "")->producer("Bearer p")), "static@static");
}

TEST(Auth, WithoutAValidatorTheAnswerIs500) {
  EXPECT_EQ(said(make("", kWorker)->producer("Bearer p")), "500: producer validator not configured");
  EXPECT_EQ(said(make(kProducer, "")->worker("Bearer p")), "500: worker validator not configured");
  EXPECT_EQ(said(make(kProducer, "", true)->worker("Bearer p")), "500: worker validator not configured");
}

TEST(Auth, AWorkerNeedsEventTypesAndScopes) {
  EXPECT_EQ(said(make("", R"({"token":"w"})")->worker("Bearer w")), "401: missing eventTypes");
  EXPECT_EQ(said(make("", R"({"token":"w","eventTypes":["A"]})")->worker("Bearer w")), "401: missing scope");
  EXPECT_EQ(said(make("", R"({"token":"w","eventTypes":["A"],"scopes":["x"]})")->worker("Bearer w")), "static@static");
}

TEST(Auth, TheTenantIsChosenAsTheSpecificationSays) {
  const auto tenant = [](const std::string& rest) {
    const auto who = make(R"({"token":"p",)" + rest + "}", "")->producer("Bearer p");
    return who ? who->tenant : said(who);
  };
  const std::string bad = "403: invalid tenant claims";
  EXPECT_EQ(tenant(R"("raw":{"tid":"acme"})"), "acme");
  EXPECT_EQ(tenant(R"("raw":{"organization_id":" acme "})"), "acme");
  EXPECT_EQ(tenant(R"("raw":{"tid":"acme","tenantId":"acme "})"), "acme");
  EXPECT_EQ(tenant(R"("raw":{"tid":"acme","tenantId":"other"})"), bad);
  EXPECT_EQ(tenant(R"("raw":{"tid":"other","organizationId":"acme","tenant_id":"other"})"), bad);
  EXPECT_EQ(tenant(R"("raw":{"tid":7})"), bad);
  EXPECT_EQ(tenant(R"("raw":{"tid":null})"), bad);
  EXPECT_EQ(tenant(R"("raw":{"tid":""},"subject":"good")"), bad);  // a bad claim never falls back to the subject
  EXPECT_EQ(tenant(R"("raw":{"tid":7,"tenantId":"acme"})"), bad);
  EXPECT_EQ(tenant(R"("subject":" good-1 ")"), "good-1");
  for (const char* subject : {"alice@example.org", "Alice", "1abc", "a", "-ab", "a_b"}) {
    EXPECT_EQ(tenant(std::string(R"("subject":")") + subject + "\""), bad) << subject;
  }
  const std::string longest = "a" + std::string(62, '9');
  EXPECT_EQ(tenant(R"("subject":")" + longest + "\""), longest);
  EXPECT_EQ(tenant(R"("subject":")" + longest + "9\""), bad);
}

TEST(Auth, AnyTriesTheWorkerThenTheProducerAndSaysOneThing) {
  const auto auth = make(kProducer, kWorker);
  EXPECT_EQ(said(auth->any("Bearer w")), "worker-1@acme");
  EXPECT_EQ(said(auth->any("Bearer p")), "alice@acme");
  for (const char* bad : {"", "Basic x", "Bearer nobody"}) EXPECT_EQ(said(auth->any(bad)), "401: invalid token");
  EXPECT_EQ(said(make(kProducer, "")->any("Bearer p")), "alice@acme");
  // Without scopes is enough for reading, without event types is not.
  EXPECT_EQ(said(make("", R"({"token":"w","eventTypes":["A"]})")->any("Bearer w")), "static@static");
  EXPECT_EQ(said(make("", R"({"token":"w","scopes":["A"]})")->any("Bearer w")), "401: invalid token");
  EXPECT_EQ(said(make("", R"({"token":"w","eventTypes":["A"],"raw":{"tid":""}})")->any("Bearer w")),
            "403: invalid tenant claims");
}

TEST(Auth, AdminIsAScopeOrARoleOfTheToken) {
  const auto admin = [](const std::string& rest) {
    const auto who = make(R"({"token":"p","subject":"alice")" + rest + "}", "")->producer("Bearer p");
    return who && who->admin;
  };
  EXPECT_FALSE(admin(""));
  EXPECT_TRUE(admin(R"(,"scopes":["codeq:admin"])"));
  EXPECT_TRUE(admin(R"(,"raw":{"role":" admin "})"));
  EXPECT_FALSE(admin(R"(,"raw":{"role":"USER"})"));
  EXPECT_FALSE(admin(R"(,"raw":{"role":["ADMIN"]})"));
}

// The reference takes a role from a request header while `env` is dev. Here the header does not reach the authenticator,
// and there is no environment that it could ask for.
TEST(Auth, Q5G46NothingButTheTokenGrantsARole) {
  const auto auth = make(kProducer, kWorker);
  EXPECT_FALSE(auth->producer("Bearer p")->admin);
  EXPECT_FALSE(auth->any("Bearer p")->admin);
}

TEST(Auth, AWorkerIsNeverAdmin) {
  const auto auth =
      make(R"({"token":"p","subject":"alice","raw":{"role":"ADMIN"}})",
           R"({"token":"w","subject":"bob","scopes":["codeq:admin"],"eventTypes":["*"],"raw":{"role":"ADMIN"}})", true);
  EXPECT_FALSE(auth->worker("Bearer w")->admin);
  EXPECT_FALSE(auth->any("Bearer w")->admin);
  EXPECT_FALSE(auth->worker("Bearer p")->admin);
  EXPECT_TRUE(auth->producer("Bearer p")->admin);
}

TEST(Auth, AProducerStandsInForAWorkerOnlyWhereAllowed) {
  EXPECT_EQ(said(make(kProducer, kWorker)->worker("Bearer p")), "401: invalid token");
  const auto auth = make(kProducer, kWorker, true);
  const auto who = auth->worker("Bearer p");
  ASSERT_EQ(said(who), "alice@acme");
  for (const char* scope :
       {"codeq:claim", "codeq:heartbeat", "codeq:abandon", "codeq:nack", "codeq:result", "codeq:subscribe"}) {
    EXPECT_TRUE(who->has_scope(scope)) << scope;
  }
  EXPECT_FALSE(who->has_scope("codeq:admin"));
  EXPECT_TRUE(who->any_event_type());
  EXPECT_TRUE(who->may_handle("ANYTHING"));
  EXPECT_EQ(said(auth->worker("Bearer w")), "worker-1@acme");
}

TEST(Auth, WhenBothRefuseTheWorkersWordsAreUsed) {
  const auto auth = make(kProducer, R"({"token":"w"})", true);
  EXPECT_EQ(said(auth->worker("Bearer w")), "401: missing eventTypes");
  // The same token for both: the worker's lack of event types is made good by the producer.
  EXPECT_EQ(said(make(R"({"token":"w","subject":"alice"})", R"({"token":"w"})", true)->worker("Bearer w")),
            "alice@alice");
}

TEST(Auth, Q26WithoutATenantClaimTwoSubjectsAreTwoTenantsAndWithOneTheyMeet) {
  const auto apart = make(R"({"token":"p","subject":"producer-dev"})",
                          R"({"token":"w","subject":"worker-dev","scopes":["codeq:claim"],"eventTypes":["*"]})");
  EXPECT_NE(apart->producer("Bearer p")->tenant, apart->worker("Bearer w")->tenant);
  const auto together = make(kProducer, kWorker);
  EXPECT_EQ(together->producer("Bearer p")->tenant, together->worker("Bearer w")->tenant);
}

TEST(Auth, EventTypesDecideWhatAWorkerMayHandle) {
  const auto who = make("", kWorker)->worker("Bearer w");
  ASSERT_TRUE(who);
  EXPECT_TRUE(who->may_handle("EMAIL"));
  EXPECT_TRUE(who->may_handle("email"));
  EXPECT_FALSE(who->may_handle("SMS"));
  EXPECT_FALSE(who->any_event_type());
}

TEST(Auth, AWrongStaticConfigurationIsRefusedAtTheStart) {
  EXPECT_EQ(refused("static", ""), "static auth: missing config");
  EXPECT_EQ(refused("static", "null"), "static auth: missing config");
  EXPECT_EQ(refused("static", "{}"), "static auth: token is required");
  EXPECT_EQ(refused("static", R"({"token":"  "})"), "static auth: token is required");
  EXPECT_EQ(refused("static", R"(" ")"), "static auth: token is required");
  EXPECT_EQ(refused("static", "{"), "static auth: invalid config: not valid JSON");
  EXPECT_EQ(refused("static", "7"), "static auth: invalid config: a string or an object is expected");
  EXPECT_EQ(refused("static", R"({"token":7})"), "static auth: invalid config: `token` is not a string");
  EXPECT_EQ(refused("static", R"({"token":"t","scopes":"a"})"),
            "static auth: invalid config: `scopes` is not a list of strings");
  EXPECT_EQ(refused("static", R"({"token":"t","eventTypes":[1]})"),
            "static auth: invalid config: `eventTypes` is not a list of strings");
  EXPECT_EQ(refused("static", R"({"token":"t","raw":[]})"), "static auth: invalid config: `raw` is not an object");
  EXPECT_EQ(refused("static", R"({"token":"t","scope":[]})"), "static auth: invalid config: unknown key `scope`");
  EXPECT_EQ(refused("ldap", "{}"), "unknown auth provider type: ldap");
  EXPECT_EQ(refused("jwks", "{}"), "jwks tokens come with a later release; use static");
}

TEST(Auth, MultiAsksOneAfterTheOther) {
  const auto auth = make_authenticator(
      {.producer_type = "multi",
       .producer_config =
           R"({"providers":[{"type":"static","config":{"token":"a","subject":"alice"}},{"type":"static","config":"b"}]})",
       .worker_type = "",
       .worker_config = ""});
  ASSERT_TRUE(auth);
  EXPECT_EQ(said((*auth)->producer("Bearer a")), "alice@alice");
  EXPECT_EQ(said((*auth)->producer("Bearer b")), "static@static");
  EXPECT_EQ(said((*auth)->producer("Bearer c")),
            "401: multi auth: token rejected by every provider: invalid token\ninvalid token");
}

TEST(Auth, AWrongMultiConfigurationIsRefusedAtTheStart) {
  const std::string one = R"({"type":"static","config":"t"})";
  const std::string count = "multi auth: providers must contain between 2 and 4 entries";
  EXPECT_EQ(refused("multi", ""), "multi auth: missing config");
  EXPECT_EQ(refused("multi", "[]"), "multi auth: invalid config: an object is expected");
  EXPECT_EQ(refused("multi", "{}"), count);
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + "]}"), count);
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + "," + one + "," + one + "," + one + "," + one + "]}"), count);
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + R"(,{"type":"multi"}]})"),
            "multi auth: provider 2 has an invalid type");
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + R"(,{"type":" "}]})"),
            "multi auth: provider 2 has an invalid type");
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + ",7]}"), "multi auth: provider 2 has an invalid type");
  EXPECT_EQ(refused("multi", R"({"providers":[)" + one + R"(,{"type":"static"}]})"),
            "multi auth: configure provider 2: static auth: missing config");
}

}  // namespace
}  // namespace codeq::services
