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

// What the header's value brings on a route of that kind.
Result<Principal> ask(const std::unique_ptr<Authenticator>& auth, TokenUse use, std::string_view header) {
  const auto token = bearer_token(*auth, use, header);
  if (!token) return std::unexpected(token.error());
  return *auth->check(use, *token);
}
Result<Principal> producer(const std::unique_ptr<Authenticator>& auth, std::string_view header) {
  return ask(auth, TokenUse::kProducer, header);
}
Result<Principal> worker(const std::unique_ptr<Authenticator>& auth, std::string_view header) {
  return ask(auth, TokenUse::kWorker, header);
}
Result<Principal> any(const std::unique_ptr<Authenticator>& auth, std::string_view header) {
  return ask(auth, TokenUse::kAny, header);
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
  EXPECT_EQ(said(producer(auth, "Bearer p")), "alice@acme");
  EXPECT_EQ(said(producer(auth, "bEARER  p ")), "alice@acme");
  EXPECT_EQ(said(producer(auth, "")), "401: missing Authorization header");
  EXPECT_EQ(said(producer(auth, "  ")), "401: missing Authorization header");
  for (const char* bad : {"Bearer", "Bearer ", "p", "Basic p", "Bearerp", "Bearer\tp"}) {
    EXPECT_EQ(said(producer(auth, bad)), "401: invalid Authorization format") << bad;
  }
}

TEST(Auth, OnlyTheVeryTokenIsAccepted) {
  const auto auth = make(kProducer, kWorker);
  for (const char* bad : {"Bearer P", "Bearer pp", "Bearer w", "Bearer p p"})
    EXPECT_EQ(said(producer(auth, bad)), "401: invalid token") << bad;
  EXPECT_EQ(said(worker(auth, "Bearer w")), "worker-1@acme");
  EXPECT_EQ(said(worker(auth, "Bearer p")), "401: invalid token");
}

TEST(Auth, ATokenAloneIsAConfiguration) {
  EXPECT_EQ(said(producer(make(R"("  p ")", ""), "Bearer p")), "static@static");
}

TEST(Auth, WithoutAValidatorTheAnswerIs500) {
  EXPECT_EQ(said(producer(make("", kWorker), "Bearer p")), "500: producer validator not configured");
  EXPECT_EQ(said(worker(make(kProducer, ""), "Bearer p")), "500: worker validator not configured");
  EXPECT_EQ(said(worker(make(kProducer, "", true), "Bearer p")), "500: worker validator not configured");
}

TEST(Auth, AWorkerNeedsEventTypesAndScopes) {
  EXPECT_EQ(said(worker(make("", R"({"token":"w"})"), "Bearer w")), "401: missing eventTypes");
  EXPECT_EQ(said(worker(make("", R"({"token":"w","eventTypes":["A"]})"), "Bearer w")), "401: missing scope");
  EXPECT_EQ(said(worker(make("", R"({"token":"w","eventTypes":["A"],"scopes":["x"]})"), "Bearer w")), "static@static");
}

TEST(Auth, TheTenantIsChosenAsTheSpecificationSays) {
  const auto tenant = [](const std::string& rest) {
    const auto who = producer(make(R"({"token":"p",)" + rest + "}", ""), "Bearer p");
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
  EXPECT_EQ(said(any(auth, "Bearer w")), "worker-1@acme");
  EXPECT_EQ(said(any(auth, "Bearer p")), "alice@acme");
  for (const char* bad : {"", "Basic x", "Bearer nobody"}) EXPECT_EQ(said(any(auth, bad)), "401: invalid token");
  EXPECT_EQ(said(any(make(kProducer, ""), "Bearer p")), "alice@acme");
  // Without scopes is enough for reading, without event types is not.
  EXPECT_EQ(said(any(make("", R"({"token":"w","eventTypes":["A"]})"), "Bearer w")), "static@static");
  EXPECT_EQ(said(any(make("", R"({"token":"w","scopes":["A"]})"), "Bearer w")), "401: invalid token");
  EXPECT_EQ(said(any(make("", R"({"token":"w","eventTypes":["A"],"raw":{"tid":""}})"), "Bearer w")),
            "403: invalid tenant claims");
}

TEST(Auth, AdminIsAScopeOrARoleOfTheToken) {
  const auto admin = [](const std::string& rest) {
    const auto who = producer(make(R"({"token":"p","subject":"alice")" + rest + "}", ""), "Bearer p");
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
  EXPECT_FALSE(producer(auth, "Bearer p")->admin);
  EXPECT_FALSE(any(auth, "Bearer p")->admin);
}

TEST(Auth, AWorkerIsNeverAdmin) {
  const auto auth =
      make(R"({"token":"p","subject":"alice","raw":{"role":"ADMIN"}})",
           R"({"token":"w","subject":"bob","scopes":["codeq:admin"],"eventTypes":["*"],"raw":{"role":"ADMIN"}})", true);
  EXPECT_FALSE(worker(auth, "Bearer w")->admin);
  EXPECT_FALSE(any(auth, "Bearer w")->admin);
  EXPECT_FALSE(worker(auth, "Bearer p")->admin);
  EXPECT_TRUE(producer(auth, "Bearer p")->admin);
}

TEST(Auth, AProducerStandsInForAWorkerOnlyWhereAllowed) {
  EXPECT_EQ(said(worker(make(kProducer, kWorker), "Bearer p")), "401: invalid token");
  const auto auth = make(kProducer, kWorker, true);
  const auto who = worker(auth, "Bearer p");
  ASSERT_EQ(said(who), "alice@acme");
  for (const char* scope :
       {"codeq:claim", "codeq:heartbeat", "codeq:abandon", "codeq:nack", "codeq:result", "codeq:subscribe"}) {
    EXPECT_TRUE(who->has_scope(scope)) << scope;
  }
  EXPECT_FALSE(who->has_scope("codeq:admin"));
  EXPECT_TRUE(who->any_event_type());
  EXPECT_TRUE(who->may_handle("ANYTHING"));
  EXPECT_EQ(said(worker(auth, "Bearer w")), "worker-1@acme");
}

TEST(Auth, WhenBothRefuseTheWorkersWordsAreUsed) {
  const auto auth = make(kProducer, R"({"token":"w"})", true);
  EXPECT_EQ(said(worker(auth, "Bearer w")), "401: missing eventTypes");
  // The same token for both: the worker's lack of event types is made good by the producer.
  EXPECT_EQ(said(worker(make(R"({"token":"w","subject":"alice"})", R"({"token":"w"})", true), "Bearer w")),
            "alice@alice");
}

TEST(Auth, Q26WithoutATenantClaimTwoSubjectsAreTwoTenantsAndWithOneTheyMeet) {
  const auto apart = make(R"({"token":"p","subject":"producer-dev"})",
                          R"({"token":"w","subject":"worker-dev","scopes":["codeq:claim"],"eventTypes":["*"]})");
  EXPECT_NE(producer(apart, "Bearer p")->tenant, worker(apart, "Bearer w")->tenant);
  const auto together = make(kProducer, kWorker);
  EXPECT_EQ(producer(together, "Bearer p")->tenant, worker(together, "Bearer w")->tenant);
}

TEST(Auth, EventTypesDecideWhatAWorkerMayHandle) {
  const auto who = worker(make("", kWorker), "Bearer w");
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
}

TEST(Auth, MultiAsksOneAfterTheOther) {
  const auto auth = make_authenticator(
      {.producer_type = "multi",
       .producer_config =
           R"({"providers":[{"type":"static","config":{"token":"a","subject":"alice"}},{"type":"static","config":"b"}]})",
       .worker_type = "",
       .worker_config = ""});
  ASSERT_TRUE(auth);
  EXPECT_EQ(said(producer(*auth, "Bearer a")), "alice@alice");
  EXPECT_EQ(said(producer(*auth, "Bearer b")), "static@static");
  EXPECT_EQ(said(producer(*auth, "Bearer c")),
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
