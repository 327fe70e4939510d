#include <filesystem>
#include <fstream>

#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

const std::string kTasks = "/v1/codeq/tasks";

Reply post(Client& client, const std::string& path, const std::string& token, const std::string& body) {
  return client.call("POST", kTasks + path, token, body);
}

TEST(HttpApi, TheHappyPathOfTheReference) {
  Stack stack;
  Client client(stack.server->port());
  const auto created =
      post(client, "", "producer", R"({"command":"GENERATE_MASTER","payload":{"k":"v"},"priority":5})");
  ASSERT_EQ(created.status, 202) << created.body;
  EXPECT_EQ(created.headers.at("content-type"), "application/json; charset=utf-8");
  EXPECT_EQ(created.text("status"), "PENDING");
  EXPECT_EQ(created.text("lastKnownLocation"), "PENDING_LIST");
  EXPECT_TRUE(created.has(R"("payload":"{\"k\":\"v\"}")")) << created.body;
  EXPECT_TRUE(created.has(R"("priority":5)"));
  EXPECT_TRUE(created.has(R"("tenantId":"acme")"));
  EXPECT_TRUE(created.has(R"("maxAttempts":5)"));
  EXPECT_FALSE(created.has("attempts\":0"));
  EXPECT_FALSE(created.has("workerId"));
  EXPECT_FALSE(created.has("leaseToken"));
  const auto id = created.text("id");

  const auto claimed =
      post(client, "/claim", "worker", R"({"commands":["GENERATE_MASTER"],"leaseSeconds":60,"waitSeconds":1})");
  ASSERT_EQ(claimed.status, 200) << claimed.body;
  EXPECT_EQ(claimed.text("id"), id);
  EXPECT_EQ(claimed.text("status"), "IN_PROGRESS");
  EXPECT_EQ(claimed.text("workerId"), "w1");
  EXPECT_EQ(claimed.text("leaseToken").size(), 16U);
  EXPECT_EQ(claimed.text("leaseUntil").size(), 20U);
  EXPECT_TRUE(claimed.has(R"("attempts":1)"));

  const auto beat = post(client, "/" + id + "/heartbeat", "worker", R"({"extendSeconds":60})");
  EXPECT_EQ(beat.status, 200);
  EXPECT_EQ(beat.body, R"({"ok":true})");
  const auto nack = post(client, "/" + id + "/nack", "worker", R"({"delaySeconds":1,"reason":"x"})");
  EXPECT_EQ(nack.body, R"({"delaySeconds":1,"status":"requeued"})");
  const auto again = post(client, "/claim", "worker", R"({"commands":["GENERATE_MASTER"],"waitSeconds":5})");
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(again.text("id"), id);

  const auto done = post(client, "/" + id + "/result", "worker",
                         R"({"status":"COMPLETED","result":{ "ok" : true, "n":12345678901234567890 }})");
  ASSERT_EQ(done.status, 200) << done.body;
  EXPECT_TRUE(done.has(R"("result":{ "ok" : true, "n":12345678901234567890 })")) << done.body;
  EXPECT_EQ(done.text("taskId"), id);
  const auto twice = post(client, "/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{"ok":true}})");
  EXPECT_EQ(twice.status, 409);
  EXPECT_EQ(twice.text("error"), "not-in-progress");
  const auto result = client.call("GET", kTasks + "/" + id + "/result?waitSeconds=5", "producer");
  ASSERT_EQ(result.status, 200) << result.body;
  EXPECT_TRUE(result.has(R"({"result":{"taskId":")"));
  EXPECT_TRUE(result.has(R"("task":{"id":")"));
  EXPECT_TRUE(result.has(R"("resultKey":"codeq:results")"));
  EXPECT_EQ(post(client, "/claim", "worker", "{}").status, 204);
}

TEST(HttpApi, APayloadComesBackByteForByte) {  // Q30
  Stack stack;
  Client client(stack.server->port());
  const auto created = post(client, "", "producer",
                            R"({"payload": { "z":1.10, "a":9007199254740993 , "s":"\u00e9\/<" } ,"command":"A"})");
  ASSERT_EQ(created.status, 202) << created.body;
  EXPECT_TRUE(created.has(R"("payload":"{ \"z\":1.10, \"a\":9007199254740993 , \"s\":\"\\u00e9\\/\u003c\" }")"))
      << created.body;
}

TEST(HttpApi, BatchesAnswerPerItemInInputOrder) {
  Stack stack;
  Client client(stack.server->port());
  const auto created = post(
      client, "/batch", "producer",
      R"({"tasks":[{"command":"A","payload":1},{"payload":2},{"command":"A"},{"command":"B","payload":3,"delaySeconds":-1},
                                {"command":"B","payload":4,"webhook":"ftp://x"}]})");
  ASSERT_EQ(created.status, 200) << created.body;
  EXPECT_TRUE(created.body.starts_with(R"({"results":[{"task":{"id":)")) << created.body;
  EXPECT_TRUE(created.has(R"(},{"error":"invalid command","code":"invalid-command"},{"task":)")) << created.body;
  EXPECT_TRUE(created.has(R"("payload":"null")"));
  EXPECT_TRUE(created.body.ends_with(
      R"x(,{"error":"invalid 'delaySeconds' (must be \u003e= 0)","code":"invalid-delay"},{"error":"invalid webhook url","code":"invalid-webhook-url"}]})x"))
      << created.body;
  EXPECT_EQ(post(client, "/batch", "producer", R"({"tasks":[{"command":"A","payload":1},{"command":7,"payload":1}]})")
                .text("error"),
            "invalid body");

  const auto claimed = post(client, "/claim/batch", "worker", R"({"count":100})");
  ASSERT_EQ(claimed.status, 200) << claimed.body;
  const auto first = claimed.text("id");
  const auto rest = claimed.body.substr(claimed.body.find("},{\"id\":\"") + 9);
  const auto second = rest.substr(0, rest.find('"'));
  EXPECT_EQ(post(client, "/claim/batch", "worker", R"({"count":1})").status, 204);

  const auto results =
      post(client, "/batch/results", "worker",
           R"({"results":[{"taskId":")" + first +
               R"(","status":"COMPLETED","result":{}},{"taskId":"no","status":"COMPLETED","result":{}},)" +
               R"({"taskId":")" + second + R"(","status":"DONE"},{"taskId":")" + second +
               R"(","status":"FAILED","error":"broken"}]})");
  ASSERT_EQ(results.status, 200) << results.body;
  EXPECT_TRUE(results.has(R"({"results":[{"taskId":")" + first + R"(","result":{"taskId":")")) << results.body;
  EXPECT_TRUE(results.has(R"({"taskId":"no","error":"task not found","code":"task-not-found"})"));
  EXPECT_TRUE(results.has(R"("error":"invalid status","code":"invalid-status"})"));
  EXPECT_TRUE(results.has(R"("status":"FAILED","error":"broken","completedAt":")"));
}

TEST(HttpApi, AParkedClaimIsServedByTheCreateThatSatisfiesIt) {
  Stack stack;
  Client worker(stack.server->port());
  worker.send(Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  const auto id = stack.create();
  EXPECT_EQ(worker.receive().text("id"), id);
  EXPECT_EQ(stack.server->parked_polls(), 0U);
}

TEST(HttpApi, AParkedResultPollIsServedByTheSubmission) {
  Stack stack;
  Client worker(stack.server->port());
  Client reader(stack.server->port());
  const auto id = stack.create();
  EXPECT_EQ(reader.call("GET", kTasks + "/" + id + "/result", "producer").text("error"), "result not found");
  EXPECT_EQ(reader.call("GET", kTasks + "/nope/result?waitSeconds=60", "producer").text("error"), "task not found");
  ASSERT_EQ(post(worker, "/claim", "worker", "{}").status, 200);
  reader.send(Client::request("GET", kTasks + "/" + id + "/result?waitSeconds=60", "producer"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  ASSERT_EQ(post(worker, "/" + id + "/result", "worker", R"({"status":"FAILED","error":"no"})").status, 200);
  EXPECT_TRUE(reader.receive().has(R"({"result":{"taskId":)"));
}

TEST(HttpApi, ATaskGoesToSomebodyElseWhenTheClientOfAParkedClaimHasGone) {
  Stack stack;
  auto gone = std::make_unique<Client>(stack.server->port());
  gone->send(Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  gone.reset();
  ASSERT_TRUE(eventually([&] { return stack.server->connections() == 0; }));
  const auto id = stack.create();
  Client worker(stack.server->port());
  const auto claimed = post(worker, "/claim", "worker", R"({"waitSeconds":5})");
  EXPECT_EQ(claimed.text("id"), id);
  EXPECT_TRUE(claimed.has(R"("attempts":1)"));
}

TEST(HttpApi, AWorkerClaimsOnlyWhatItsTokenAllows) {
  Stack stack;
  Client client(stack.server->port());
  stack.create(R"({"command":"C","payload":1})");
  EXPECT_EQ(post(client, "/claim", "second", "{}").status, 204);  // its list is A and B
  const auto refused = post(client, "/claim", "second", R"({"commands":["A","C"]})");
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.text("error"), "event type not allowed");
  EXPECT_EQ(refused.text("code"), "forbidden");
  EXPECT_EQ(post(client, "/claim", "reader", "{}").text("error"), "missing scope");
  EXPECT_EQ(post(client, "/claim", "worker", "{}").status, 200);  // a wildcard gets any command (Q12)
}

TEST(HttpApi, WhoMayNotIsToldWhy) {
  Stack stack;
  Client client(stack.server->port());
  const auto none = post(client, "", "", "{}");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.text("error"), "missing Authorization header");
  EXPECT_EQ(none.text("code"), "unauthenticated");
  EXPECT_EQ(none.text("traceId").size(), 32U);
  EXPECT_EQ(client.call("POST", kTasks, "", "{}", "Authorization: Basic x\r\n").text("error"),
            "invalid Authorization format");
  EXPECT_EQ(post(client, "/claim", "producer", "{}").status, 401);
  EXPECT_EQ(client.call("GET", kTasks + "/x", "wrong").text("error"), "invalid token");
}

TEST(HttpApi, ATaskOfAnotherTenantIsNotThere) {  // Q3, Q4
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create();
  EXPECT_EQ(client.call("GET", kTasks + "/" + id, "stranger").text("error"), "not found");
  EXPECT_EQ(client.call("GET", kTasks + "/" + id + "/result", "stranger").text("error"), "task not found");
  EXPECT_EQ(client.call("GET", kTasks + "/" + id + "/trace", "stranger").status, 404);
  EXPECT_EQ(client.call("GET", kTasks + "/" + id, "producer").text("id"), id);
  EXPECT_EQ(client.call("GET", kTasks + "/" + id, "worker").text("id"), id);
}

TEST(HttpApi, AnotherWorkersTaskIsNotOnes) {
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create();
  const auto claimed = post(client, "/claim", "worker", "{}");
  ASSERT_EQ(claimed.status, 200);
  const auto foreign = post(client, "/" + id + "/heartbeat", "second", "{}");
  EXPECT_EQ(foreign.status, 403);
  EXPECT_EQ(foreign.text("code"), "not-owner");
  EXPECT_EQ(post(client, "/" + id + "/result", "second", R"({"status":"COMPLETED","result":{}})").status, 403);
  const auto unknown = post(client, "/0193c0de-0000-8000-8000-000000000000/heartbeat", "worker", "{}");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.text("error"), "not-found");  // Q21
  EXPECT_EQ(post(client, "/" + id + "/abandon", "worker", R"({"leaseToken":"0000000000000001"})").text("code"),
            "lease-lost");
  EXPECT_EQ(post(client, "/" + id + "/abandon", "worker", R"({"leaseToken":7})").status, 400);
  EXPECT_EQ(
      post(client, "/" + id + "/abandon", "worker", R"({"leaseToken":")" + claimed.text("leaseToken") + "\"}").body,
      R"({"status":"requeued"})");
  EXPECT_EQ(post(client, "/" + id + "/abandon", "worker", "").status, 409);
}

TEST(HttpApi, TheLastNackOfATaskDeadLettersItWithAReadableResult) {  // Q23
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create(R"({"command":"A","payload":1,"maxAttempts":1})");
  ASSERT_EQ(post(client, "/claim", "worker", "{}").status, 200);
  EXPECT_EQ(post(client, "/" + id + "/nack", "worker", R"({"reason":"poison"})").body,
            R"({"delaySeconds":0,"status":"dlq"})");
  const auto result = client.call("GET", kTasks + "/" + id + "/result", "producer");
  EXPECT_EQ(result.status, 200) << result.body;
  EXPECT_TRUE(result.has(R"("status":"FAILED","error":"poison")")) << result.body;
  EXPECT_TRUE(result.has("DLQ_SET"));
}

TEST(HttpApi, ATaskCarriesTheTraceOfItsProducerToItsWorker) {
  Stack stack;
  Client client(stack.server->port());
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  const auto created = client.call(
      "POST", kTasks, "producer", R"({"command":"A","payload":1})",
      "TraceParent: 00-" + trace + "-b7ad6b7169203331-01\r\ntracestate: a=1\r\nTracestate: b=2\r\nbaggage: user=7\r\n");
  ASSERT_EQ(created.status, 202);
  const auto claimed = post(client, "/claim", "worker", "{}");
  EXPECT_EQ(claimed.text("traceParent").substr(0, 36), "00-" + trace + "-");
  EXPECT_EQ(claimed.text("traceState"), "a=1,b=2");
  EXPECT_EQ(claimed.text("baggage"), "user=7");
  EXPECT_EQ(claimed.text("originTraceParent"), created.text("traceParent"));
  EXPECT_NE(claimed.text("traceParent"), created.text("traceParent"));

  ASSERT_TRUE(eventually([&] { return stack.tracer.spans().size() >= 4; }));
  std::map<std::string, observe::OwnedSpan> spans;
  for (auto& span : stack.tracer.spans()) spans[span.name] = span;
  const auto& request = spans.at("POST /v1/codeq/tasks");
  EXPECT_EQ(core::to_hex(request.context.trace_id), trace);
  EXPECT_EQ(core::to_hex(request.parent), "b7ad6b7169203331");
  EXPECT_TRUE(request.parent_is_remote);
  EXPECT_EQ(request.kind, observe::SpanKind::kServer);
  EXPECT_EQ(request.attribute("http.route"), "/v1/codeq/tasks");
  EXPECT_EQ(request.attribute("http.response.status_code"), "202");
  EXPECT_EQ(request.tracestate, "a=1,b=2");
  EXPECT_EQ(spans.at("codeq.task.create").parent, request.context.span_id);
  EXPECT_EQ(core::to_hex(spans.at("codeq.task.claim").context.trace_id), trace);
  EXPECT_NE(core::to_hex(spans.at("POST /v1/codeq/tasks/claim").context.trace_id), trace);

  const auto timeline = client.call("GET", kTasks + "/" + created.text("id") + "/trace", "producer");
  EXPECT_EQ(timeline.text("traceId"), trace);
  EXPECT_TRUE(timeline.has(R"("name":"codeq.task.create","kind":"PRODUCER")")) << timeline.body;
  EXPECT_TRUE(timeline.has(R"("name":"codeq.task.claim","kind":"CONSUMER","spanId":")" +
                           core::to_hex(spans.at("codeq.task.claim").context.span_id)));
  EXPECT_TRUE(timeline.has(R"("eventsDropped":0})"));
}

TEST(HttpApi, WithTracingOffTheReceivedContextFlowsThroughUntouched) {
  Stack stack({}, false);
  Client client(stack.server->port());
  const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  ASSERT_EQ(client.call("POST", kTasks, "producer", R"({"command":"A","payload":1})", "traceparent: " + parent + "\r\n")
                .status,
            202);
  EXPECT_EQ(post(client, "/claim", "worker", "{}").text("traceParent"), parent);
}

TEST(HttpApi, TheBatchSizeIsOnTheRequestSpan) {
  Stack stack;
  Client client(stack.server->port());
  post(client, "/batch", "producer", R"({"tasks":[{"command":"A","payload":1},{"command":"A","payload":2}]})");
  ASSERT_TRUE(eventually([&] { return stack.tracer.spans().size() >= 3; }));
  for (const auto& span : stack.tracer.spans()) {
    if (span.name == "POST /v1/codeq/tasks/batch") EXPECT_EQ(span.attribute("messaging.batch.message_count"), "2");
  }
}

TEST(HttpApi, ArtifactsThatComeAsContentAreOnDiskWhenTheAnswerIsSent) {
  const auto dir = std::filesystem::temp_directory_path() / ("codeq-artifacts-" + std::to_string(::getpid()));
  {
    HttpOptions options;
    options.artifacts_dir = dir.string() + "/";
    Stack stack(options);
    Client client(stack.server->port());
    const auto id = stack.create();
    ASSERT_EQ(post(client, "/claim", "worker", "{}").status, 200);
    const auto path = "/" + id + "/result";
    const auto submit = [&](const std::string& artifacts, const std::string& token = "worker") {
      return post(client, path, token, R"({"status":"COMPLETED","result":{},"artifacts":[)" + artifacts + "]}");
    };
    for (const std::string name : {"../x", "a/b", "..", "", "a\\\\b"}) {
      const auto refused = submit(R"({"name":")" + name + R"(","contentBase64":"aGk="})");
      EXPECT_EQ(refused.status, 400) << refused.body;
      EXPECT_EQ(refused.text("code"), "invalid-artifact");
    }
    EXPECT_EQ(submit(R"({"name":"a","contentBase64":"***"})").text("code"), "invalid-artifact");
    EXPECT_EQ(submit(R"({"name":"a","contentBase64":"aGk="})", "second").text("code"), "not-owner");
    EXPECT_FALSE(std::filesystem::exists(dir / "results"));
    const auto done =
        submit(R"({"name":"hi.txt","contentBase64":"aGk"},{"name":"link","url":"http://x/y"},{"name":"nothing"})");
    ASSERT_EQ(done.status, 200) << done.body;
    const auto file = dir / "results" / id / "hi.txt";
    EXPECT_TRUE(done.has(R"("artifacts":[{"name":"link","url":"http://x/y"},{"name":"hi.txt","url":"file://)" +
                         file.string() + R"("}])"))
        << done.body;
    std::ifstream in(file);
    std::string text;
    in >> text;
    EXPECT_EQ(text, "hi");
  }
  std::filesystem::remove_all(dir);
}

TEST(HttpApi, AClaimWhoseAnswerCannotBeWrittenCostsNoAttempt) {
  Stack stack;
  const auto other = stack.create(R"({"command":"B","payload":1})");
  const auto id = stack.create();
  Client watcher(stack.server->port());
  const auto status = [&] { return watcher.call("GET", kTasks + "/" + id, "producer").text("status"); };
  {
    Client client(stack.server->port());
    // The claim's answer has to wait behind the poll's, and then there is nobody to read either.
    client.send(Client::request("GET", kTasks + "/" + other + "/result?waitSeconds=60", "producer") +
                Client::request("POST", kTasks + "/claim", "worker", R"({"commands":["A"]})"));
    ASSERT_TRUE(eventually([&] { return status() == "IN_PROGRESS"; }));
  }
  ASSERT_TRUE(eventually([&] { return status() == "PENDING"; }));
  const auto claimed = post(watcher, "/claim", "worker", R"({"commands":["A"]})");
  EXPECT_EQ(claimed.text("id"), id);
  EXPECT_TRUE(claimed.has(R"("attempts":1)")) << claimed.body;
}

TEST(HttpApi, ASubmissionMustSayWhatCameOfTheTask) {
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create();
  ASSERT_EQ(post(client, "/claim", "worker", "{}").status, 200);
  const auto code = [&](const std::string& body) {
    const auto reply = post(client, "/" + id + "/result", "worker", body);
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.text("code");
  };
  EXPECT_EQ(code(R"({"status":"COMPLETED"})"), "result-required");
  EXPECT_EQ(code(R"({"status":"COMPLETED","result":null})"), "result-required");
  EXPECT_EQ(code(R"({"status":"FAILED"})"), "error-required");
  EXPECT_EQ(code(R"({"status":"FAILED","error":" \t"})"), "error-required");
  EXPECT_EQ(code(R"({"status":"completed","result":{}})"), "invalid-status");
  const auto done = post(client, "/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{ }})");
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_FALSE(done.has("\"result\""));  // an empty one is left out
}

TEST(HttpApi, AnIdempotencyKeyStandsForOneTask) {
  Stack stack;
  Client client(stack.server->port());
  const std::string body = R"({"command":"A","payload":{"a":1},"idempotencyKey":"k"})";
  const auto first = post(client, "", "producer", body);
  EXPECT_EQ(post(client, "", "producer", body).text("id"), first.text("id"));
  const auto other = post(client, "", "producer", R"({"command":"A","payload":{"a":2},"idempotencyKey":"k"})");
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.text("error"), "idempotency conflict");
  EXPECT_EQ(other.text("code"), "idempotency-mismatch");
  const auto stranger = post(client, "", "stranger", body);  // Q2
  EXPECT_EQ(stranger.status, 202);
  EXPECT_NE(stranger.text("id"), first.text("id"));
}

TEST(HttpApi, ValuesOutOfRangeThatAreTaken) {
  Stack stack;
  Client client(stack.server->port());
  EXPECT_TRUE(post(client, "", "producer", R"({"command":"A","payload":1,"priority":10})").has(R"("priority":9)"));
  EXPECT_FALSE(post(client, "", "producer", R"({"command":"A","payload":1,"priority":-3})").has("priority"));
  const auto twice = post(client, "", "producer",
                          R"({"COMMAND":"B","Payload":1,"unknown":[{}],"command":"C","payload":2,"priority":null})");
  EXPECT_EQ(twice.text("command"), "C");
  EXPECT_EQ(twice.text("payload"), "2");
  const auto far = post(client, "", "producer", R"({"command":"A","payload":1,"delaySeconds":9223372036854775807})");
  EXPECT_EQ(far.text("lastKnownLocation"), "DELAYED_ZSET");
  EXPECT_EQ(post(client, "", "producer", R"({"command":"A","payload":1,"runAt":"9999-12-31T23:59:59Z"})")
                .text("lastKnownLocation"),
            "DELAYED_ZSET");
  EXPECT_EQ(post(client, "", "producer", R"({"command":"A","payload":1,"runAt":"2001-01-01T00:00:00+02:00"})")
                .text("lastKnownLocation"),
            "PENDING_LIST");
  EXPECT_EQ(post(client, "/claim", "worker", R"({"leaseSeconds":9223372036854775807,"waitSeconds":0})").status, 200);
  EXPECT_EQ(post(client, "/claim", "worker", "null").status, 200);  // as in the reference: an object without members
}

TEST(HttpApi, AFailedDeliveryIsListedAndCanBeReplayed) {
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create(R"({"command":"A","payload":1,"webhook":"http://receiver.example/secret-path"})");
  ASSERT_EQ(post(client, "/claim", "worker", "{}").status, 200);
  ASSERT_EQ(post(client, "/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{}})").status, 200);
  const std::string path = "/v1/codeq/webhooks/deliveries";
  Reply page;
  ASSERT_TRUE(eventually([&] { return (page = client.call("GET", path, "producer")).has(R"("status":"FAILED")"); }))
      << page.body;
  EXPECT_TRUE(page.has(R"("lastHttpStatus":500)"));
  EXPECT_EQ(page.text("taskId"), id);
  EXPECT_EQ(page.text("host"), "receiver.example");
  EXPECT_FALSE(page.has("secret-path"));
  const auto delivery = page.text("id");
  EXPECT_EQ(client.call("GET", path, "stranger").body, R"({"deliveries":[]})");
  EXPECT_EQ(client.call("GET", path + "?after=" + delivery, "producer").body, R"({"deliveries":[]})");
  EXPECT_EQ(client.call("GET", path + "?limit=x", "producer").text("code"), "invalid-argument");
  EXPECT_EQ(client.call("POST", path + "/" + delivery + "/replay", "stranger", "").status, 404);
  EXPECT_EQ(client.call("POST", path + "/no/replay", "producer", "").status, 404);
  EXPECT_EQ(client.call("POST", path + "/" + delivery + "/replay", "producer", "").text("id"), delivery);
}

TEST(HttpApi, AResultPollThatTheStopCutsShortHasNotSeenAResult) {
  Stack stack;
  const auto id = stack.create();
  Client client(stack.server->port());
  client.send(Client::request("GET", kTasks + "/" + id + "/result?waitSeconds=60", "producer"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  stack.partition->begin_drain();
  const auto reply = client.receive();
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.text("code"), "result-not-found");
}

TEST(HttpApi, TheRootRoutesNeedNoTokenAndMakeNoSpan) {
  Stack stack;
  Client client(stack.server->port());
  EXPECT_EQ(client.call("GET", "/livez", "").body, "ok");
  EXPECT_EQ(client.call("GET", "/healthz", "").status, 200);  // Q1
  EXPECT_EQ(client.call("GET", "/readyz", "").body, "ready");
  EXPECT_EQ(client.call("GET", "/readyz?verbose", "").body, "[+]log ok\nready");
  EXPECT_EQ(client.call("GET", "/version", "").body, R"({"version":"0.0.0"})");
  const auto metrics = client.call("GET", "/metrics", "");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_TRUE(stack.tracer.spans().empty());
}

}  // namespace
}  // namespace codeq::transport::http
