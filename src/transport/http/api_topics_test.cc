// Topics and subscriptions on the wire: statuses and texts.
#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

const std::string kTopics = "/v1/codeq/admin/topics/";
const std::string kSubscriptions = "/v1/codeq/workers/subscriptions";

TEST(HttpTopics, TheLifeOfATopicIsThatOfTheReference_G19) {
  Stack stack;
  Client client(stack.server->port());
  const std::string policy =
      R"({"priorityTiers":[5,1],"maxAttempts":3,"deadLetterTopicRef":"dead","retentionSeconds":60})";
  const auto created = client.call("PUT", kTopics + "render", "admin", policy);
  ASSERT_EQ(created.status, 201) << created.body;
  EXPECT_TRUE(created.body.starts_with(
      R"({"topicId":"acme.render","tenantId":"acme","topicName":"render","policy":{"priorityTiers":[1,5],"maxAttempts":3,)"
      R"("deadLetterTopicRef":"dead","retentionSeconds":60},"version":1,"createdAt":")"))
      << created.body;
  EXPECT_TRUE(created.text("createdAt").ends_with("Z"));
  const auto same = client.call("PUT", kTopics + "render", "admin", policy);
  EXPECT_EQ(same.status, 200);
  EXPECT_EQ(same.body, created.body);
  const auto changed =
      client.call("PUT", kTopics + "render", "admin",
                  R"({"priorityTiers":[1],"maxAttempts":3,"deadLetterTopicRef":"dead","maxConsumers":2})");
  EXPECT_EQ(changed.status, 200);
  EXPECT_TRUE(changed.has(R"("maxConsumers":2},"version":2,)")) << changed.body;
  EXPECT_EQ(changed.text("createdAt"), created.text("createdAt"));
  EXPECT_EQ(client.call("GET", kTopics + "render", "admin").body, changed.body);
  const auto kept = client.call("DELETE", kTopics + "render?deletionPolicy=delete", "admin");
  EXPECT_EQ(kept.status, 400);
  EXPECT_EQ(kept.text("error"), "deletionPolicy=Delete is required");
  for (int i = 0; i < 2; ++i) {
    const auto gone = client.call("DELETE", kTopics + "render?deletionPolicy=Delete", "admin");
    EXPECT_EQ(gone.status, 204);
    EXPECT_EQ(gone.body, "");
  }
  const auto missing = client.call("GET", kTopics + "render", "admin");
  EXPECT_EQ(missing.status, 404);
  EXPECT_TRUE(missing.has(R"("error":"queue topic \"acme.render\" not found","code":"not-found")")) << missing.body;
}

TEST(HttpTopics, OnlyAnAdminSeesThem) {
  Stack stack;
  Client client(stack.server->port());
  for (const auto* method : {"PUT", "GET", "DELETE"})
    for (const auto* token : {"producer", "worker", ""})
      EXPECT_EQ(client.call(method, kTopics + "render", token).status, 401) << method << " " << token;
  EXPECT_EQ(client.call("POST", kTopics + "render", "admin", "{}").status, 404);
  EXPECT_EQ(client.call("PUT", kTopics + "render/", "admin", "{}").status, 307);
}

TEST(HttpTopics, EveryRuleNamesItsField) {
  Stack stack;
  Client client(stack.server->port());
  const auto refused = [&](const std::string& name, const std::string& body) {
    const auto reply = client.call("PUT", kTopics + name, "admin", body);
    EXPECT_EQ(reply.status, 422) << reply.body;
    EXPECT_EQ(reply.text("code"), "invalid-topic");
    EXPECT_TRUE(reply.body.ends_with(R"("field":")" + reply.text("field") + "\"}")) << reply.body;
    EXPECT_TRUE(reply.text("error").starts_with("invalid " + reply.text("field") + ": ")) << reply.body;
    return reply.text("error");
  };
  const auto with = [](const std::string& tiers, const std::string& attempts, const std::string& dead,
                       const std::string& rest = "") {
    return R"({"priorityTiers":)" + tiers + R"(,"maxAttempts":)" + attempts + R"(,"deadLetterTopicRef":")" + dead +
           '"' + rest + '}';
  };
  const std::string label = "must be a DNS label with at most 63 characters";
  EXPECT_EQ(refused("Render", with("[1]", "1", "d")), "invalid topicName: " + label);
  EXPECT_EQ(refused("a-", with("[1]", "1", "d")), "invalid topicName: " + label);
  EXPECT_EQ(refused(std::string(64, 'a'), with("[1]", "1", "d")), "invalid topicName: " + label);
  EXPECT_EQ(refused("a", "{}"), "invalid priorityTiers: must contain between 1 and 10 priorities");
  EXPECT_EQ(refused("a", "null"), "invalid priorityTiers: must contain between 1 and 10 priorities");
  EXPECT_EQ(refused("a", with("[0,1,2,3,4,5,6,7,8,9,10]", "1", "d")),
            "invalid priorityTiers: must contain between 1 and 10 priorities");
  EXPECT_EQ(refused("a", with("[11]", "1", "d")),
            "invalid priorityTiers: priorities must be integers from 0 through 10");
  EXPECT_EQ(refused("a", with("[1,2,1]", "1", "d")), "invalid priorityTiers: priorities must be unique");
  EXPECT_EQ(refused("a", with("[1]", "0", "d")), "invalid maxAttempts: must be between 1 and 100");
  EXPECT_EQ(refused("a", with("[1]", "101", "d")), "invalid maxAttempts: must be between 1 and 100");
  EXPECT_EQ(refused("a", with("[1]", "1", "")), "invalid deadLetterTopicRef: " + label);
  EXPECT_EQ(refused("a", with("[1]", "1", "a")), "invalid deadLetterTopicRef: must differ from topicName");
  EXPECT_EQ(refused("a", with("[1]", "1", "d", R"(,"retentionSeconds":2147483648)")),
            "invalid retentionSeconds: must be between 0 and 2147483647");
  EXPECT_EQ(refused("a", with("[1]", "1", "d", R"(,"maxConsumers":10001)")),
            "invalid maxConsumers: must be between 0 and 10000");
  EXPECT_EQ(client.call("GET", kTopics + "A", "admin").status, 422);
  EXPECT_EQ(client.call("GET", kTopics + "a", "admin").status, 404) << "nothing was made";
}

TEST(HttpTopics, TheBodyIsStrict) {
  Stack stack;
  Client client(stack.server->port());
  const auto refused = [&](const std::string& body) {
    const auto reply = client.call("PUT", kTopics + "render", "admin", body);
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(reply.text("code"), "invalid-body");
    return reply.body.substr(0, reply.body.find(",\"code"));
  };
  EXPECT_EQ(refused(R"({"extra":1})"), R"({"error":"invalid request body: json: unknown field \"extra\"")");
  EXPECT_EQ(refused("{} {}"), R"({"error":"invalid request body: only one JSON object is allowed")");
  EXPECT_EQ(refused("{}x"), R"({"error":"invalid request body: only one JSON object is allowed")");
  EXPECT_EQ(refused(""), R"({"error":"invalid request body: EOF")");
  EXPECT_EQ(refused(R"({"maxAttempts":"3"})"),
            R"({"error":"invalid request body: json: cannot unmarshal the value of field maxAttempts")");
  for (const auto* body :
       {"[]", "1", "{", R"({"maxAttempts":5.0})", R"({"priorityTiers":{}})", R"({"priorityTiers":["1"]})"})
    EXPECT_TRUE(refused(body).starts_with(R"({"error":"invalid request body: )")) << body;
}

TEST(HttpSubscriptions, AreMadeRenewedListedAndEnded_Q8) {
  Stack stack;
  Client client(stack.server->port());
  const auto made = client.call(
      "POST", kSubscriptions, "second",
      R"({"callbackUrl":"http://h.example/secret","eventTypes":["a"],"deliveryMode":"group","groupId":"g"})");
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_TRUE(made.body.starts_with(R"({"expiresAt":")")) << made.body;
  const auto id = made.text("subscriptionId");
  EXPECT_EQ(id.size(), 36U);
  const auto own = client.call("GET", kSubscriptions, "second");
  EXPECT_TRUE(
      own.has(R"({"subscriptions":[{"subscriptionId":")" + id + R"(","callbackUrl":"http://h.example/secret",)"))
      << own.body;
  EXPECT_TRUE(own.has(
      R"("host":"h.example","workerId":"w2","eventTypes":["a"],"deliveryMode":"group","groupId":"g","minIntervalSeconds":5,)"));
  const auto others = client.call("GET", kSubscriptions, "worker");
  EXPECT_TRUE(others.has(R"({"subscriptions":[{"host":"h.example")")) << others.body;
  EXPECT_FALSE(others.has("secret"));
  EXPECT_FALSE(others.has(id));
  EXPECT_EQ(client.call("POST", kSubscriptions + "/" + id + "/heartbeat", "worker").status, 404);
  EXPECT_EQ(client.call("DELETE", kSubscriptions + "/" + id, "worker").status, 404);
  for (const auto* body : {"", "nonsense", R"({"ttlSeconds":900})"}) {
    const auto renewed = client.call("POST", kSubscriptions + "/" + id + "/heartbeat", "second", body);
    EXPECT_EQ(renewed.status, 200) << renewed.body;
    EXPECT_EQ(renewed.text("subscriptionId"), id);
  }
  EXPECT_EQ(client.call("DELETE", kSubscriptions + "/" + id, "second").status, 204);
  const auto gone = client.call("POST", kSubscriptions + "/" + id + "/heartbeat", "second");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(gone.text("error"), "not-found");
}

TEST(HttpSubscriptions, WhatIsNotTakenIsToldWhy_Q8) {
  Stack stack;
  Client client(stack.server->port());
  const auto refused = [&](const std::string& token, const std::string& body, int status) {
    const auto reply = client.call("POST", kSubscriptions, token, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return reply.text("error");
  };
  EXPECT_EQ(refused("worker", "", 400), "invalid body");
  EXPECT_EQ(refused("worker", "{}", 400), "invalid body");
  EXPECT_EQ(refused("worker", R"({"callbackUrl":7})", 400), "invalid body");
  EXPECT_EQ(refused("worker", R"({"callbackUrl":"nothing"})", 400), "invalid callback url");
  EXPECT_EQ(refused("worker", R"({"callbackUrl":"http://h","deliveryMode":"all"})", 400), "invalid deliveryMode");
  EXPECT_EQ(refused("worker", R"({"callbackUrl":"http://h","deliveryMode":"group"})", 400), "groupId is required");
  EXPECT_EQ(refused("second", R"({"callbackUrl":"http://h","eventTypes":["C"]})", 403), "event type not allowed");
  EXPECT_EQ(refused("second", R"({"callbackUrl":"http://h","eventTypes":["*"]})", 403), "event type not allowed");
  EXPECT_EQ(refused("reader", R"({"callbackUrl":"http://h"})", 403), "missing scope");
  EXPECT_EQ(client.call("POST", kSubscriptions, "second", R"({"callbackUrl":"http://h"})").status, 200);
  EXPECT_TRUE(client.call("GET", kSubscriptions, "second").has(R"("eventTypes":["A","B"])"));
}

}  // namespace
}  // namespace codeq::transport::http
