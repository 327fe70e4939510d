// Who is let in, when that is not known at once, and how often.
#include "services/auth/test_jwt.h"
#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

using services::auth::HeldHttp;
using services::auth::TestKey;

// A second server before the stack's broker: producers and workers with JWTs whose keys the test holds back.
struct Admission : testing::Test {
  void open(services::RateLimits limits = {}, bool dev_role_header = false) {
    server.reset();
    const std::string jwks = R"({"jwksUrl":"http://id.test/keys","issuer":"me","audience":"codeq"})";
    auto made = services::make_authenticator(
        {.producer_type = "multi",
         .producer_config = R"({"providers":[{"type":"jwks","config":)" + jwks +
                            R"(},{"type":"static","config":{"token":"plain","subject":"acme"}},
                               {"type":"static","config":{"token":"user","subject":"acme","raw":{"role":"USER"}}},
                               {"type":"static","config":{"token":"admin","subject":"acme","scopes":["codeq:admin"]}}]})",
         .worker_type = "jwks",
         .worker_config = jwks},
        {.clock = &clock, .http = &http});
    ASSERT_TRUE(made) << made.error().message;
    tokens = *std::move(made);
    rates = services::make_rate_limiter(limits, clock);
    auto started =
        HttpServer::start({.host = "127.0.0.1", .port = 0, .io_threads = 1, .dev_role_header = dev_role_header},
                          {.broker = *stack.partition,
                           .authenticator = *tokens,
                           .tracer = stack.tracer,
                           .clock = stack.clock,
                           .rng = stack.rng,
                           .metrics = {},
                           .readiness = {},
                           .rates = rates.get(),
                           .counters = &stack.metrics});
    ASSERT_TRUE(started) << started.error().message;
    server = *std::move(started);
  }
  std::string token() const {
    return key.token(
        "ES256",
        R"({"iss":"me","aud":"codeq","sub":"acme","exp":1800000000,"eventTypes":["*"],"scope":"codeq:claim"})");
  }
  static std::string task(const std::string& command) { return R"({"command":")" + command + R"(","payload":1})"; }
  std::string page() { return stack.metrics.exposition({}); }

  Stack stack;
  ManualClock clock;
  HeldHttp http;
  TestKey key{TestKey::Kind::kP256};
  std::unique_ptr<services::Authenticator> tokens;
  std::unique_ptr<services::RateLimiter> rates;
  std::unique_ptr<HttpServer> server;  // ends first
};

TEST_F(Admission, ARequestWaitsForItsKeyAndNobodyElseWaitsWithIt) {
  open();
  Client waiting(server->port());
  // Both on one connection: their answers keep their order, though only the first needs the key.
  waiting.send(Client::request("POST", "/v1/codeq/tasks", token(), task("A")) +
               Client::request("POST", "/v1/codeq/tasks", "plain", task("B")));
  Client other(server->port());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(other.call("POST", "/v1/codeq/tasks", "plain", task("C")).status, 202);
  http.answer_keys(key.jwk());
  auto first = waiting.receive();
  EXPECT_EQ(first.status, 202) << first.body;
  EXPECT_EQ(first.text("command"), "A");
  EXPECT_EQ(waiting.receive().text("command"), "B");
  // The next one is known at once, and so is the worker of the same key set.
  EXPECT_EQ(waiting.call("POST", "/v1/codeq/tasks/claim", token(), R"({"commands":["A"]})").text("command"), "A");
}

TEST_F(Admission, ARequestWhoseKeyCannotBeFetchedIsRefusedAndTheConnectionGoesOn) {
  open();
  Client client(server->port());
  client.send(Client::request("POST", "/v1/codeq/tasks/claim", token(), "{}"));
  Client other(server->port());
  EXPECT_EQ(other.call("GET", "/livez", "").status, 200);  // so that the first one is there
  http.fail("timeout");
  const auto refused = client.receive();
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.text("error"), "token is unverifiable: error while executing keyfunc: failed to fetch JWKS");
  EXPECT_EQ(refused.text("code"), "unauthenticated");
  EXPECT_EQ(client.call("POST", "/v1/codeq/tasks", "plain", task("A")).status, 202);
}

TEST_F(Admission, ATokenThatComesTooOftenIsToldWhenToComeAgain) {
  services::RateLimits limits{};
  limits[static_cast<std::size_t>(services::RateBucket::kProducer)] = {.requests_per_minute = 6, .burst = 2};
  limits[static_cast<std::size_t>(services::RateBucket::kAdmin)] = {.requests_per_minute = 60, .burst = 1};
  open(limits);
  Client client(server->port());
  EXPECT_EQ(client.call("POST", "/v1/codeq/tasks", "plain", task("A")).status, 202);
  // A batch is one call, whatever is in it.
  EXPECT_EQ(client.call("POST", "/v1/codeq/tasks/batch", "plain", R"({"tasks":[)" + task("A") + "," + task("A") + "]}")
                .status,
            200);
  // The body is not looked at any more.
  const auto refused = client.call("POST", "/v1/codeq/tasks", "plain", "{");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("retry-after"), "10");
  EXPECT_EQ(refused.text("error"), "rate limit exceeded");
  EXPECT_EQ(refused.text("operation"), "create_task");
  EXPECT_EQ(refused.text("scope"), "producer");
  EXPECT_EQ(refused.text("code"), "rate-limited");
  EXPECT_TRUE(refused.has(R"("retryAfterSeconds":10)")) << refused.body;
  EXPECT_EQ(client.call("POST", "/v1/codeq/tasks", "user", task("A")).status, 202);  // another token
  EXPECT_EQ(client.call("GET", "/v1/codeq/tasks/none", "plain").status, 404);        // reads are not limited
  EXPECT_NE(page().find(R"(codeq_rate_limit_hits_total{scope="producer",operation="create_task"} 1)"),
            std::string::npos)
      << page();
  clock.advance_ns(10 * kNanosPerSecond);
  EXPECT_EQ(client.call("POST", "/v1/codeq/tasks", "plain", task("A")).status, 202);
  // Who is no admin is told so before anything is counted.
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(client.call("POST", "/v1/codeq/admin/tasks/cleanup", "plain", "{}").status, 401);
  EXPECT_EQ(client.call("POST", "/v1/codeq/admin/tasks/cleanup", "admin", "{}").status, 200);
  EXPECT_EQ(client.call("POST", "/v1/codeq/admin/tasks/cleanup", "admin", "{}").text("operation"), "cleanup");
  // One bucket for all that goes through many tasks.
  const std::string letters = "/v1/codeq/admin/dead-letters";
  EXPECT_EQ(client.call("POST", letters + "/redrive", "admin", "{}").text("operation"), "redrive");
  clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(client.call("POST", letters + "/redrive", "admin", "{}").status, 200);
  const auto purge = client.call("POST", letters + "/purge", "admin", "{}");
  EXPECT_EQ(purge.status, 429);
  EXPECT_EQ(purge.text("operation"), "purge");
  EXPECT_EQ(client.call("GET", letters, "admin").status, 200);
}

TEST_F(Admission, ARoleInAHeaderCountsOnlyWhereThatIsSwitchedOnAndTheTokenNamesNone) {
  const std::string cleanup = "/v1/codeq/admin/tasks/cleanup";
  const std::string role = "X-Role: admin\r\n";
  open();
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "plain", "{}", role).text("error"),
            "unauthorized. Admin only");
  open({}, true);
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "plain", "{}", role).status, 200);
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "plain", "{}").status, 401);
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "plain", "{}", "X-Role: USER\r\n").status, 401);
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "user", "{}", role).status, 401);
  EXPECT_EQ(Client(server->port()).call("POST", cleanup, "nobody", "{}", role).status, 401);
}

}  // namespace
}  // namespace codeq::transport::http
