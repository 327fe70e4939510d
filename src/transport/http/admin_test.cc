// Lists, cancellation, queues and dead letters over HTTP: what goes in is checked, what comes out has its shape.
#include "transport/http/decode_admin.h"
#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

const std::string kBase = "/v1/codeq";

Reply get(Stack& stack, const std::string& path, const std::string& token = "admin") {
  Client client(stack.server->port());
  return client.call("GET", kBase + path, token);
}
Reply post(Stack& stack, const std::string& path, const std::string& body = "", const std::string& token = "admin") {
  Client client(stack.server->port());
  return client.call("POST", kBase + path, token, body);
}

std::string kill(Stack& stack, const std::string& command = "A") {
  const auto id = stack.create(R"({"command":")" + command + R"(","payload":1,"maxAttempts":1})");
  EXPECT_EQ(post(stack, "/tasks/claim", R"({"commands":[")" + command + R"("]})", "worker").status, 200);
  EXPECT_EQ(post(stack, "/tasks/" + id + "/nack", R"({"reason":"broken"})", "worker").status, 200);
  return id;
}

TEST(HttpAdmin, TheQueuesOfTheTenantAreAFlatObjectOfThoseThatAreNotEmpty_Q7_G47) {
  Stack stack;
  EXPECT_EQ(get(stack, "/admin/queues").body, "{}");
  stack.create(R"({"command":"Mixed","payload":1,"priority":4})");
  stack.create(R"({"command":"Mixed","payload":1,"delaySeconds":600})");
  stack.create(R"({"command":"B","payload":1})");
  post(stack, "/tasks", R"({"command":"Mixed","payload":1})", "stranger");
  post(stack, "/tasks/claim", R"({"commands":["B"]})", "worker");
  kill(stack, "C");
  EXPECT_EQ(
      get(stack, "/admin/queues").body,
      R"({"codeq:q:b:acme:inprog":1,"codeq:q:c:acme:dlq":1,"codeq:q:mixed:acme:delayed":1,"codeq:q:mixed:acme:pending:4":1})");
  EXPECT_EQ(get(stack, "/admin/queues", "producer").status, 401);
  EXPECT_EQ(get(stack, "/admin/queues", "worker").status, 401);
}

TEST(HttpAdmin, StatisticsAreOfAnyCommandInAnyCase) {
  Stack stack;
  stack.create(R"({"command":"Mixed","payload":1})");
  EXPECT_EQ(get(stack, "/admin/queues/mIXED").body,
            R"({"command":"mIXED","ready":1,"delayed":0,"inProgress":0,"dlq":0,"paused":false})");
  EXPECT_EQ(get(stack, "/admin/queues/%20never%09").body,
            R"({"command":"never","ready":0,"delayed":0,"inProgress":0,"dlq":0,"paused":false})");
  const auto blank = get(stack, "/admin/queues/%20");
  EXPECT_EQ(blank.status, 400);
  EXPECT_EQ(blank.text("error"), "command is required");
  EXPECT_EQ(get(stack, "/admin/queues/%ff").status, 400);
}

TEST(HttpAdmin, RaftIsOffAndAnyTokenMayKnow) {
  Stack stack;
  for (const auto* token : {"producer", "worker", "admin"})
    EXPECT_EQ(get(stack, "/raft/status", token).body, R"({"enabled":false,"numGroups":0})");
  EXPECT_EQ(get(stack, "/raft/status", "wrong").status, 401);
}

TEST(HttpAdmin, ATrailingSlashRedirectsEveryRouteOfOurs) {
  Stack stack;
  const auto list = get(stack, "/admin/queues/?a=1", "");
  EXPECT_EQ(list.status, 301);
  EXPECT_EQ(list.headers.at("location"), kBase + "/admin/queues?a=1");
  EXPECT_FALSE(list.headers.contains("x-request-id")) << "as in the reference";
  EXPECT_EQ(post(stack, "/admin/dead-letters/purge/", "{}", "").status, 307);
}

TEST(HttpAdmin, APausedQueueIsSkippedUntilItIsResumed) {
  Stack stack;
  stack.create();
  EXPECT_EQ(post(stack, "/admin/queues/a/pause").body,
            R"({"command":"a","ready":1,"delayed":0,"inProgress":0,"dlq":0,"paused":true})");
  EXPECT_EQ(post(stack, "/tasks/claim", R"({"commands":["A"]})", "worker").status, 204);
  EXPECT_EQ(post(stack, "/tasks/claim", "{}", "worker").status, 204);
  EXPECT_TRUE(post(stack, "/admin/queues/A/resume").has(R"("paused":false)"));
  EXPECT_EQ(post(stack, "/tasks/claim", "{}", "worker").status, 200);
  EXPECT_EQ(post(stack, "/admin/queues/A/pause", "", "producer").status, 401);
  EXPECT_EQ(post(stack, "/admin/queues/" + std::string(257, 'a') + "/pause").text("code"), "invalid-command");
}

TEST(HttpAdmin, ACancelledTaskIsReturnedAsItIsThen) {
  Stack stack;
  const auto id = stack.create();
  const auto cancelled = post(stack, "/tasks/" + id + "/cancel", R"({"reason":"not needed"})", "producer");
  ASSERT_EQ(cancelled.status, 200) << cancelled.body;
  EXPECT_EQ(cancelled.text("status"), "FAILED");
  EXPECT_EQ(cancelled.text("error"), "CANCELLED: not needed");
  EXPECT_EQ(cancelled.text("lastKnownLocation"), "NONE");
  const auto twice = post(stack, "/tasks/" + id + "/cancel", "", "producer");
  EXPECT_EQ(twice.status, 409);
  EXPECT_EQ(twice.text("error"), "not-in-progress");
  EXPECT_EQ(post(stack, "/tasks/" + stack.create() + "/cancel", "", "stranger").status, 404);
  EXPECT_EQ(post(stack, "/tasks/" + id + "/cancel", "", "worker").status, 401);
  EXPECT_EQ(post(stack, "/tasks/x/cancel", "", "producer").text("error"), "not-found");
  const auto kept = stack.create();
  EXPECT_EQ(post(stack, "/tasks/" + kept + "/cancel", "[", "producer").text("code"), "invalid-body");
  EXPECT_EQ(post(stack, "/tasks/" + kept + "/cancel", R"({"reason":7})", "producer").text("code"), "invalid-body");
  EXPECT_EQ(post(stack, "/tasks/" + kept + "/cancel", R"({"reason":")" + std::string(1025, 'x') + "\"}", "producer")
                .text("code"),
            "invalid-argument");
}

TEST(HttpAdmin, AListHasPagesWithoutPayloads) {
  Stack stack;
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(stack.create());
  const auto first = get(stack, "/tasks?limit=2", "worker");
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.text("id"), ids[2]);
  EXPECT_FALSE(first.has("payload"));
  const auto second = get(stack, "/tasks?limit=2&cursor=" + first.text("cursor"), "producer");
  EXPECT_EQ(second.text("id"), ids[0]);
  EXPECT_EQ(second.text("cursor"), "");
  EXPECT_EQ(get(stack, "/tasks?state=leased").body, R"({"tasks":[]})");
  EXPECT_EQ(get(stack, "/tasks", "stranger").body, R"({"tasks":[]})");
}

TEST(HttpAdmin, BadFiltersOfAListAreNamed) {
  Stack stack;
  for (const auto& [query, name] :
       std::vector<std::pair<std::string, std::string>>{{"limit=0", "limit"},
                                                        {"limit=-1", "limit"},
                                                        {"limit=x", "limit"},
                                                        {"state=DEAD", "state"},
                                                        {"createdAfter=yesterday", "createdAfter"},
                                                        {"createdBefore=2026-01-01", "createdBefore"},
                                                        {"traceId=00000000000000000000000000000000", "traceId"},
                                                        {"traceId=12", "traceId"},
                                                        {"cursor=zz", "cursor"},
                                                        {"cursor=00", "cursor"},
                                                        {"cursor=0000000000000000", "cursor"},
                                                        {"command=" + std::string(257, 'x'), "command"}}) {
    const auto refused = get(stack, "/tasks?" + query);
    EXPECT_EQ(refused.status, 400) << query;
    EXPECT_EQ(refused.text("code"), "invalid-argument");
    EXPECT_TRUE(refused.text("error").starts_with("invalid '" + name + "'")) << refused.body;
  }
  EXPECT_EQ(get(stack, "/tasks?limit=99999999999999999999999").status, 200) << "many is 200";
}

TEST(HttpAdmin, DeadLettersAreListedRedrivenAndPurged) {
  Stack stack;
  const auto first = kill(stack), second = kill(stack);
  const auto listed = get(stack, "/admin/dead-letters?command=a&reason=bro&limit=1");
  ASSERT_EQ(listed.status, 200) << listed.body;
  EXPECT_EQ(listed.text("id"), first);
  EXPECT_NE(listed.text("diedAt"), "");
  EXPECT_EQ(get(stack, "/admin/dead-letters?limit=1&cursor=" + listed.text("cursor")).text("id"), second);
  EXPECT_EQ(post(stack, "/admin/dead-letters/redrive", R"({"dryRun":true})").body,
            R"({"matched":2,"redriven":0,"dryRun":true,"more":false})");
  EXPECT_EQ(post(stack, "/admin/dead-letters/redrive", R"({"ids":[")" + second + R"("],"ratePerSecond":5})").body,
            R"({"matched":1,"redriven":1,"dryRun":false,"more":false})");
  EXPECT_EQ(post(stack, "/tasks/claim", "{}", "worker").text("id"), second);
  EXPECT_EQ(post(stack, "/admin/dead-letters/purge", "").body,
            R"({"matched":1,"purged":1,"dryRun":false,"more":false})");
  EXPECT_EQ(get(stack, "/tasks/" + first).status, 404);
  EXPECT_EQ(get(stack, "/admin/dead-letters").body, R"({"deadLetters":[]})");
  EXPECT_EQ(get(stack, "/admin/dead-letters", "producer").status, 401);
}

TEST(HttpAdmin, ABodyThatRevivesOrDeletesIsReadStrictly) {
  for (const auto* body : {R"({"comand":"a"})", "[]", "null", "{", R"({"ids":[]})", R"({"ids":"x"})", R"({"ids":[1]})",
                           R"({"dryRun":"yes"})", R"({"limit":1.5})", R"({"command":7})"})
    EXPECT_EQ(decode_dead_work(body, true, 64).error().code, Code::kInvalidBody) << body;
  for (const auto* body : {R"({"limit":-1})", R"({"before":"x"})", R"({"after":"x"})", R"({"ratePerSecond":-1})"})
    EXPECT_EQ(decode_dead_work(body, true, 64).error().code, Code::kInvalidArgument) << body;
  EXPECT_FALSE(decode_dead_work(R"({"ratePerSecond":1})", false, 64).has_value()) << "a purge has no rate";
  std::string ids = R"({"ids":["a")";
  for (std::size_t i = 1; i < kIdsMax; ++i) ids += R"(,"a")";
  EXPECT_TRUE(decode_dead_work(ids + "]}", true, 64).has_value());
  EXPECT_FALSE(decode_dead_work(ids + R"(,"a"]})", true, 64).has_value());
  const auto body = decode_dead_work(R"({"Command":"a","limit":99999,"before":"2026-01-01T00:00:00Z"})", false, 64);
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->filter.limit, 10'000U);
  EXPECT_EQ(body->filter.before_ns, 1'767'225'600LL * 1'000'000'000);
}

TEST(HttpAdmin, TheDescriptionIsServedWithoutAToken) {
  Stack stack;
  Client client(stack.server->port());
  const auto reply = client.call("GET", "/openapi.json", "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json; charset=utf-8");
  EXPECT_TRUE(reply.body.starts_with(R"({"openapi":"3.1.0")")) << reply.body.substr(0, 60);
}

}  // namespace
}  // namespace codeq::transport::http
