// What the wire itself promises: keep-alive, pipelining, limits, cuts. One test per row of the table in docs/errors/README.md.
#include <sys/resource.h>

#include "transport/http/connection.h"
#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

using namespace std::chrono_literals;

const std::string kTasks = "/v1/codeq/tasks";
const std::string kLive = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

Stack& shared_stack() {
  static Stack stack;
  return stack;
}

// Sends bytes that no client should, and says how the server took them.
void expect_refused(const std::string& bytes, int status, const std::string& code) {
  SCOPED_TRACE(bytes.substr(0, 80));
  Client client(shared_stack().server->port());
  client.send(bytes);
  const auto reply = client.receive();
  EXPECT_EQ(reply.status, status) << reply.body;
  EXPECT_EQ(reply.text("code"), code);
  EXPECT_EQ(reply.headers.contains("connection") ? reply.headers.at("connection") : "", "close");
  client.finish_sending();
  EXPECT_TRUE(client.closed());
  Client next(shared_stack().server->port());  // nobody else noticed
  EXPECT_EQ(next.call("GET", "/livez", "").status, 200);
}

// A request that is refused while its connection stays.
void expect_kept(const std::string& path, const std::string& token, const std::string& body, int status,
                 const std::string& error, const std::string& code) {
  SCOPED_TRACE(path + " " + body.substr(0, 120));
  Client client(shared_stack().server->port());
  const auto reply = client.call("POST", kTasks + path, token, body);
  EXPECT_EQ(reply.status, status) << reply.body;
  EXPECT_EQ(reply.text("error"), error);
  EXPECT_EQ(reply.text("code"), code);
  EXPECT_EQ(reply.text("traceId").size(), 32U);
  EXPECT_FALSE(reply.headers.contains("connection"));
  EXPECT_EQ(client.call("GET", "/livez", "").status, 200);
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInTheirOrder) {
  Client client(shared_stack().server->port());
  std::string all;
  for (int i = 0; i < 200; ++i) {
    all += Client::request("POST", kTasks, "producer", R"({"command":"P","payload":)" + std::to_string(i) + "}");
    all += kLive;
  }
  client.send(all);
  for (int i = 0; i < 200; ++i) {
    const auto created = client.receive();
    ASSERT_EQ(created.status, 202) << i;
    EXPECT_EQ(created.text("payload"), std::to_string(i));
    ASSERT_EQ(client.receive().body, "ok");
  }
}

TEST(HttpServer, AClientThatOnlyStopsSendingStillGetsEveryAnswer) {
  Client client(shared_stack().server->port());
  std::string all;
  for (int i = 0; i < 100; ++i) all += Client::request("POST", kTasks, "producer", R"({"command":"P","payload":1})");
  client.send(all);
  client.finish_sending();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(client.receive().status, 202) << i;
  EXPECT_TRUE(client.closed());
}

TEST(HttpServer, PipelinedGarbageIsAnsweredAfterWhatCameBeforeIt) {
  Client client(shared_stack().server->port());
  client.send(Client::request("POST", kTasks, "producer", R"({"command":"P","payload":1})") +
              "\x01\x02garbage\r\n\r\n" + kLive);
  EXPECT_EQ(client.receive().status, 202);
  const auto refused = client.receive();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.text("code"), "bad-request");
  client.finish_sending();
  EXPECT_TRUE(client.closed());
}

TEST(HttpServer, UnknownRoutesAreAPlain404OnALivingConnection) {
  Client client(shared_stack().server->port());
  for (const auto& [method, target] : {std::pair{"GET", "/nothing"},
                                       {"PUT", "/v1/codeq/tasks"},
                                       {"OPTIONS", "/v1/codeq/tasks"},
                                       {"DELETE", "/livez"}}) {
    const auto reply = client.call(method, target, "", "");
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(reply.body, "404 page not found");
    EXPECT_EQ(reply.headers.at("content-type"), "text/plain");
    EXPECT_EQ(reply.headers.at("x-request-id").size(), 32U);
  }
  client.send("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto head = client.receive(true);
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.headers.at("content-length"), "18");
  EXPECT_EQ(client.call("GET", "/livez", "").status, 200);
}

TEST(HttpServer, ATrailingSlashRedirectsBeforeAnythingElse) {
  Client client(shared_stack().server->port());
  const auto post = client.call("POST", kTasks + "/", "", "{}");
  EXPECT_EQ(post.status, 307);
  EXPECT_EQ(post.headers.at("location"), kTasks);
  const auto get = client.call("GET", "/livez/?a=b", "");
  EXPECT_EQ(get.status, 301);
  EXPECT_EQ(get.headers.at("location"), "/livez?a=b");
  EXPECT_FALSE(get.headers.contains("x-request-id"));
}

TEST(HttpServer, ARequestIdIsEchoedWhereItIsHarmless) {
  Client client(shared_stack().server->port());
  EXPECT_EQ(client.call("GET", "/livez", "", "", "X-Request-ID: abc-1\r\n").headers.at("x-request-id"), "abc-1");
  const auto made = client.call("GET", "/livez", "", "", "X-Request-Id: a b\r\n").headers.at("x-request-id");
  EXPECT_EQ(made.size(), 32U);
  EXPECT_EQ(client.call("GET", "/livez", "", "", "X-Request-Id: " + std::string(129, 'a') + "\r\n")
                .headers.at("x-request-id")
                .size(),
            32U);
}

TEST(HttpServer, HttpOneZeroAndConnectionCloseGetOneAnswer) {
  for (const std::string request :
       {"GET /livez HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}) {
    Client client(shared_stack().server->port());
    client.send(request + kLive);
    const auto reply = client.receive();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.headers.at("connection"), "close");
    client.finish_sending();
    EXPECT_TRUE(client.closed());
  }
}

TEST(HttpServer, AClientThatAsksWhetherToSendItsBodyIsToldSo) {
  Client client(shared_stack().server->port());
  const std::string body = R"({"command":"P","payload":1})";
  client.send("POST " + kTasks +
              " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer producer\r\nExpect: 100-continue\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100);
  client.send(body);
  EXPECT_EQ(client.receive().status, 202);
}

TEST(HttpServer, AChunkedBodyIsTaken) {
  Client client(shared_stack().server->port());
  client.send("POST " + kTasks +
              " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer producer\r\nTransfer-Encoding: chunked\r\n\r\n" +
              "e\r\n{\"command\":\"P\"\r\n" + "d\r\n,\"payload\":1}\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 202);
}

TEST(HttpServer, ALargeBodyIsTakenUpToTheLimit) {
  Client client(shared_stack().server->port());
  const std::string start = R"({"command":"P","payload":")";
  const auto reply =
      client.call("POST", kTasks, "producer", start + std::string((1U << 20U) - start.size() - 2, 'x') + "\"}");
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(client.call("GET", "/livez", "").status, 200);
}

// ------------------------------------------------------------------------------------------------ the table: connection closed

TEST(HttpServer, WhatIsNotARequestIsRefusedAndClosed) {
  expect_refused("\x16\x03\x01\x02", 400, "bad-request");
  expect_refused("{\"hello\":1}\r\n\r\n", 400, "bad-request");
  expect_refused("GET /\r\n\r\n", 400, "bad-request");
  expect_refused("GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", 400, "bad-request");
  expect_refused("GET /livez HTTP/1.1\r\n\r\n", 400, "bad-request");
  expect_refused("GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "bad-request");
  expect_refused("GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "bad-request");
  expect_refused("GET /livez HTTP/1.1\nHost: x\n\n", 400, "bad-request");
  expect_refused("GET /v1/codeq/tasks/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad-request");
}

TEST(HttpServer, LengthsThatContradictAreRefusedAndClosed) {
  const std::string head = "POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\n";
  expect_refused(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400, "bad-request");
  expect_refused(head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "bad-request");
  expect_refused(head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request");
  expect_refused(head + "Transfer-Encoding: gzip\r\n\r\n", 400, "bad-request");
  expect_refused(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad-request");
  expect_refused(head + "Content-Length: x\r\n\r\n", 400, "bad-request");
}

TEST(HttpServer, WhatIsTooLongIsRefusedAndClosed) {
  expect_refused("GET /livez HTTP/1.1\r\nHost: x\r\nA: " + std::string(40'000, 'a') + "\r\n\r\n", 431,
                 "header-too-large");
  expect_refused("POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413, "body-too-large");
  expect_refused("POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
                 413, "body-too-large");
}

TEST(HttpServer, ABodyThatIsTooLongIsAnsweredThoughItIsStillBeingSent) {
  Client client(shared_stack().server->port());
  client.send("POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
  client.send(std::string(3'000'000, 'x'));
  EXPECT_EQ(client.receive().status, 413);
}

TEST(HttpServer, HalfARequestAndAHangUpDisturbNobody) {
  const auto before = shared_stack().server->connections();
  for (const std::string half : {"", "P", "POST /v1/codeq/tasks HTTP/1.1\r\nHo",
                                 "POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"}) {
    Client client(shared_stack().server->port());
    client.send(half);
    client.finish_sending();
    EXPECT_EQ(client.receive().status, 0);
    EXPECT_TRUE(client.closed());
  }
  EXPECT_TRUE(eventually([&] { return shared_stack().server->connections() <= before; }));
}

// ------------------------------------------------------------------------------------------------ the table: connection kept

TEST(HttpServer, ABodyThatIsNotWhatTheRouteWantsIsRefusedAndTheConnectionKept) {
  const auto bad = [](const std::string& body) {
    expect_kept("", "producer", body, 400, "invalid body", "invalid-body");
  };
  bad("");
  bad("{");
  bad("[]");
  bad("null");
  bad("7");
  bad(R"({"command":"A","payload":1} x)");
  bad(R"({"command":"A","payload":1}{})");
  bad(R"({"command":"A","payload":tru})");
  bad(R"({"command":"A","payload":[1,2,}]})");
  bad("{\"command\":\"A\",\"payload\":\"\xff\"}");
  bad("{\"command\":\"A\",\"payload\":\"\n\"}");
  bad(R"({"command":"","payload":1})");
  bad(R"({"payload":1})");
  bad(R"({"command":"A"})");
  bad(R"({"command":"A","payload":null})");
  bad(R"({"command":7,"payload":1})");
  bad(R"({"command":"A","payload":1,"priority":"5"})");
  bad(R"({"command":"A","payload":1,"priority":5.0})");
  bad(R"({"command":"A","payload":1,"priority":1e2})");
  bad(R"({"command":"A","payload":1,"priority":9223372036854775808})");
  bad(R"({"command":"A","payload":)" + std::string(64, '[') + std::string(64, ']') + "}");
  expect_kept("/batch", "producer", R"({"tasks":[]})", 400, "invalid body", "invalid-body");
  expect_kept("/batch", "producer", R"({"tasks":{}})", 400, "invalid body", "invalid-body");
  expect_kept("/batch", "producer", R"({"tasks":[7]})", 400, "invalid body", "invalid-body");
  expect_kept("/claim", "worker", "", 400, "invalid body", "invalid-body");
  expect_kept("/claim", "worker", R"({"commands":"A"})", 400, "invalid body", "invalid-body");
  expect_kept("/claim", "worker", R"({"commands":[7]})", 400, "invalid body", "invalid-body");
  expect_kept("/claim/batch", "worker", R"({})", 400, "invalid body", "invalid-body");
  expect_kept("/claim/batch", "worker", R"({"count":-1})", 400, "invalid body", "invalid-body");
  expect_kept("/x/heartbeat", "worker", "", 400, "invalid body", "invalid-body");
  expect_kept("/x/nack", "worker", R"({"reason":7})", 400, "invalid body", "invalid-body");
  expect_kept("/x/result", "worker", R"({})", 400, "invalid request body", "invalid-body");
  expect_kept("/x/result", "worker", R"({"status":"COMPLETED","result":[]})", 400, "invalid request body",
              "invalid-body");
}

TEST(HttpServer, ValuesThatTheRulesRefuseAreNamed) {
  expect_kept("", "producer", R"({"command":"A","payload":1,"runAt":"tomorrow"})", 400, "invalid 'runAt' (use RFC3339)",
              "invalid-run-at");
  expect_kept("", "producer", R"({"command":"A","payload":1,"delaySeconds":-1})", 400,
              "invalid 'delaySeconds' (must be \\u003e= 0)", "invalid-delay");
  expect_kept("", "producer", R"({"command":" \t","payload":1})", 400, "invalid command", "invalid-command");
  for (const std::string url : {"ftp://x/y", "http://", "x", "//x", "http:/x"}) {
    expect_kept("", "producer", R"({"command":"A","payload":1,"webhook":")" + url + "\"}", 400, "invalid webhook url",
                "invalid-webhook-url");
  }
  std::string many = R"({"tasks":[)";
  for (int i = 0; i < 101; ++i) many += i == 0 ? "{}" : ",{}";
  expect_kept("/batch", "producer", many + "]}", 400, "batch size exceeds maximum of 100", "batch-too-large");
  expect_kept("/claim/batch", "worker", R"({"count":101})", 400, "count exceeds maximum of 100", "batch-too-large");
}

TEST(HttpServer, AnIdThatIsNotOursIsNotFoundNeverABadRequest) {
  for (const std::string id : {"x", "00000000-0000-0000-0000-000000000000", "%00", "..", "%F0%9F%92%A9",
                               "0193c0de-0000-8000-8000-00000000000"}) {
    expect_kept("/" + id + "/heartbeat", "worker", "{}", 404, "not-found", "not-found");
    expect_kept("/" + id + "/abandon", "worker", "", 404, "not-found", "not-found");
    expect_kept("/" + id + "/nack", "worker", "{}", 404, "not-found", "not-found");
    expect_kept("/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{}})", 404, "task not found",
                "task-not-found");
  }
}

TEST(HttpServer, EveryIllegalTraceHeaderRestartsTheTraceAndDropsItsState) {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  for (const auto& headers : {
           std::string("traceparent: " + good + "\r\ntraceparent: " + good + "\r\n"),
           std::string("traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n"),
           std::string("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n"),
           std::string("traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n"),
           std::string("traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"),
           std::string("traceparent: " + good + "-extra\r\n"),
           std::string("traceparent: " + good.substr(0, 54) + "\r\n"),
           std::string("traceparent: \r\n"),
           std::string("traceparent: " + std::string(20'000, '0') + "\r\n"),
       }) {
    SCOPED_TRACE(headers.substr(0, 100));
    Client client(shared_stack().server->port());
    const auto reply =
        client.call("POST", kTasks, "producer", R"({"command":"T","payload":1})", headers + "tracestate: a=1\r\n");
    ASSERT_EQ(reply.status, 202) << reply.body;
    EXPECT_FALSE(reply.has("0af7651916cd43dd8448eb211c80319c"));
    EXPECT_EQ(reply.text("traceState"), "");
  }
  for (const std::string state : {"a", "a=1,a=2", "A=1", "a=\x7f", "=1"}) {
    Client client(shared_stack().server->port());
    const auto reply = client.call("POST", kTasks, "producer", R"({"command":"T","payload":1})",
                                   "traceparent: " + good + "\r\ntracestate: " + state + "\r\n");
    if (reply.status == 400) continue;  // DEL is not legal in any header
    ASSERT_EQ(reply.status, 202) << reply.body;
    EXPECT_TRUE(reply.has("0af7651916cd43dd8448eb211c80319c")) << state;
    EXPECT_EQ(reply.text("traceState"), "") << state;
  }
}

TEST(HttpServer, ASecondSubmissionAndAnExpiredLeaseAreRefused) {
  Stack stack;
  Client client(stack.server->port());
  const auto id = stack.create();
  ASSERT_EQ(client.call("POST", kTasks + "/claim", "worker", R"({"leaseSeconds":1})").status, 200);
  Client waiting(stack.server->port());
  // The next claim gets it as soon as lease and back-off are over; then the first worker is late.
  ASSERT_TRUE(
      eventually([&] { return client.call("GET", kTasks + "/" + id, "producer").text("status") == "PENDING"; }));
  const auto late =
      client.call("POST", kTasks + "/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{}})");
  EXPECT_EQ(late.status, 409) << late.body;
  EXPECT_EQ(late.text("error"), "not-in-progress");
  EXPECT_EQ(late.text("code"), "lease-lost");
}

// ------------------------------------------------------------------------------------------------ bounds

TEST(HttpServer, MorePollsThanTheBoundAreTurnedAway) {
  HttpOptions options;
  options.parked_polls_max = 1;
  Stack stack(options);
  Client first(stack.server->port());
  Client second(stack.server->port());
  first.send(Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  const auto refused = second.call("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.text("code"), "overloaded");
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(second.call("POST", kTasks + "/claim", "worker", "{}").status, 204);  // who does not wait is served
}

TEST(HttpServer, MoreConnectionsThanTheBoundAreTurnedAway) {
  HttpOptions options;
  options.connections_max = 2;
  Stack stack(options);
  Client first(stack.server->port());
  EXPECT_EQ(first.call("GET", "/livez", "").status, 200);
  {
    Client second(stack.server->port());
    EXPECT_EQ(second.call("GET", "/livez", "").status, 200);
    Client third(stack.server->port());
    const auto refused = third.receive();
    EXPECT_EQ(refused.status, over_tls() ? 0 : 503);  // a handshake would cost more than the answer
    EXPECT_EQ(refused.text("code"), over_tls() ? "" : "overloaded");
    EXPECT_TRUE(over_tls() || third.closed());
  }
  ASSERT_TRUE(eventually([&] { return stack.server->connections() == 1; }));
  Client fourth(stack.server->port());
  EXPECT_EQ(fourth.call("GET", "/livez", "").status, 200);
}

TEST(HttpServer, AReaderThatDoesNotReadIsHeldBackAndThenCutWhileOthersGoOn) {
  ManualClock clock;
  HttpOptions options;
  options.output_bytes_max = 1U << 20U;
  Stack stack(options, true, &clock);
  const std::string big = R"({"command":"A","payload":")" + std::string(500'000, 'x') + "\"}";
  const auto id = stack.create(big);
  Client slow(stack.server->port());
  // Far more answers than the kernel and our bound hold.
  std::thread sender([&] {
    std::string all;
    for (int i = 0; i < 200; ++i) all += Client::request("GET", kTasks + "/" + id, "producer");
    slow.send(all);
  });
  sender.join();
  Client other(stack.server->port());
  EXPECT_EQ(other.call("GET", kTasks + "/" + id, "producer").status, 200);
  EXPECT_TRUE(eventually([&] {
    clock.advance_ns(1'000'000'000);  // nothing is read, so the write timeout comes
    return stack.server->connections() == 1 || stack.server->connections() == 0;
  }));
}

// Also of bodies that nobody will look at: /livez is answered in any case, but not while it takes memory.
TEST(HttpServer, BodiesThatNoRouteWantsAreNotKeptBeyondTheBound) {
  HttpOptions options;
  options.in_flight_bytes_max = 4U << 20U;
  Stack stack(options);
  const std::string half(200'000, 'x');
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 60; ++i)
    for (const char* path : {"/nothing", "/livez"}) {
      clients.push_back(std::make_unique<Client>(stack.server->port()));
      clients.back()->send("POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + half);
    }
  // 24 MB were sent in all. Whoever came too late is told and cut; the rest still hold what they sent.
  EXPECT_TRUE(eventually([&] { return stack.server->connections() < 30; }));
  EXPECT_EQ(clients.back()->receive().status, 503);
  Client small(stack.server->port());
  EXPECT_EQ(small.call("GET", "/livez", "").status, 200);
  EXPECT_EQ(small.call("GET", "/metrics", "").status, 200);
}

TEST(HttpServer, AnswersThatPileUpBehindAPollAreNotKeptBeyondTheBound) {
  HttpOptions options;
  options.output_bytes_max = 1U << 20U;
  Stack stack(options);
  const auto big = stack.create(R"({"command":"B","payload":")" + std::string(700'000, 'x') + "\"}");
  const auto other = stack.create();
  Client client(stack.server->port());
  std::string all = Client::request("GET", kTasks + "/" + other + "/result?waitSeconds=60", "producer");
  for (int i = 0; i < 5; ++i) all += Client::request("GET", kTasks + "/" + big, "producer");
  client.send(all);
  EXPECT_EQ(client.receive().status, 0);
  EXPECT_TRUE(eventually([&] { return stack.server->connections() == 0 && stack.server->parked_polls() == 0; }));
}

TEST(HttpServer, OneAnswerMayBeLargerThanTheBoundForAClientThatReadsIt) {
  HttpOptions options;
  options.output_bytes_max = 1U << 20U;
  Stack stack(options);
  for (int i = 0; i < 10; ++i) stack.create(R"({"command":"B","payload":")" + std::string(700'000, '<') + "\"}");
  Client client(stack.server->port());
  const auto reply = client.call("POST", kTasks + "/claim/batch", "worker", R"({"count":10})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_GT(reply.body.size(), 8'000'000U);
  EXPECT_EQ(client.call("GET", "/livez", "").status, 200);
}

TEST(HttpServer, AHeadThatDoesNotEndInTimeIsAnsweredAndCut) {
  ManualClock clock;
  Stack stack({}, true, &clock);
  Client silent(stack.server->port());
  Client half(stack.server->port());
  Client body(stack.server->port());
  half.send("GET /livez HT");
  body.send("POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(eventually([&] { return stack.server->connections() == 3; }));
  std::atomic<bool> stop = false;
  std::thread time([&] {
    while (!stop) {
      clock.advance_ns(1'000'000);
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(silent.receive().status, 0);
  const auto late = half.receive();
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.text("code"), "request-timeout");
  EXPECT_TRUE(half.closed());
  EXPECT_EQ(body.receive().status, 408);
  EXPECT_TRUE(body.closed());
  stop = true;
  time.join();
}

TEST(HttpServer, AnIdleConnectionIsClosed) {
  ManualClock clock;
  Stack stack({}, true, &clock);
  Client client(stack.server->port());
  EXPECT_EQ(client.call("GET", "/livez", "").status, 200);
  std::atomic<bool> stop = false;
  std::thread time([&] {
    while (!stop) {
      clock.advance_ns(100'000'000);
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(client.closed());
  stop = true;
  time.join();
}

// What one of many waits for lies in memory that all share, so that it must not be mixed up.
TEST(HttpServer, RequestsThatComeInPiecesAtTheSameTimeStayApart) {
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::string> requests;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Client>(shared_stack().server->port()));
    requests.push_back(Client::request("POST", kTasks, "producer",
                                       R"({"command":"P","payload":")" + std::to_string(i) + std::string(100, 'x') + "\"}"));
  }
  Client other(shared_stack().server->port());
  constexpr std::size_t kPieces = 5;
  for (std::size_t piece = 0; piece < kPieces; ++piece) {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const auto size = requests[i].size() / kPieces + 1;
      clients[i]->send(std::string_view(requests[i]).substr(piece * size, size));
    }
    ASSERT_EQ(other.call("POST", kTasks, "producer", R"({"command":"P","payload":1})").status, 202);
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto reply = clients[i]->receive();
    ASSERT_EQ(reply.status, 202) << reply.body;
    EXPECT_TRUE(reply.has(std::to_string(i) + "xxx")) << reply.body;
  }
}

TEST(HttpServer, WhatIsSentBehindAParkedPollIsKeptUntilItIsItsTurn) {
  Stack stack;
  Client worker(stack.server->port());
  std::string all = Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})");
  for (int i = 0; i < 100; ++i)  // more than are taken at once
    all += Client::request("GET", kTasks + "/nothing" + std::to_string(i), "producer");
  const auto half = all.size() - 20;
  worker.send(std::string_view(all).substr(0, half));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  worker.send(std::string_view(all).substr(half));
  stack.create();
  EXPECT_EQ(worker.receive().status, 200);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(worker.receive().status, 404) << i;
  EXPECT_EQ(worker.call("GET", "/livez", "").body, "ok");
}

// 50,000 of them are to fit in 150 MiB (docs/performance.md); of each there is one of these, in the allocator's sizes.
TEST(HttpServer, AParkedPollKeepsLittle) {
  constexpr std::size_t kNode = 16;  // of a list, or what a shared_ptr counts with
  EXPECT_LE(sizeof(Connection) + kNode, 320U);
  EXPECT_LE(sizeof(Exchange) + kNode, 448U);
}

TEST(HttpServer, WithoutDescriptorsConnectionsWaitUntilThereAreSome) {
  Stack stack;
  Client served(stack.server->port());
  ASSERT_EQ(served.call("GET", "/livez", "").status, 200);
  const int waiting = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const Socket owner(waiting);
  const int next = ::dup(waiting);
  ::close(next);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(stack.server->port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = ::connect(waiting, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // The kernel has it by now; after two answers of the same thread it has tried, and serves the others.
  const auto first = served.call("GET", "/livez", "").status;
  const auto second = served.call("GET", "/livez", "").status;
  const auto connections = stack.server->connections();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(connected, 0);
  EXPECT_EQ(first, 200);
  EXPECT_EQ(second, 200);
  EXPECT_EQ(connections, 1U);
  EXPECT_TRUE(eventually([&] { return stack.server->connections() == 2; }));
}

// ------------------------------------------------------------------------------------------------ stopping

TEST(HttpServer, DrainLetsAPollFinishAndClosesEveryConnection) {
  Stack stack;
  Client idle(stack.server->port());
  EXPECT_EQ(idle.call("GET", "/livez", "").status, 200);
  Client parked(stack.server->port());
  parked.send(Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  stack.server->stop_accepting();
  stack.server->stop_accepting();
  EXPECT_EQ(idle.call("GET", "/readyz", "").status, 503);
  stack.partition->begin_drain();
  const auto answer = parked.receive();
  EXPECT_EQ(answer.status, 204);
  EXPECT_TRUE(stack.server->drain(10s));
  EXPECT_TRUE(stack.server->drain(10s));
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(stack.server->connections(), 0U);
  EXPECT_FALSE(Client(stack.server->port()).connected());
}

TEST(HttpServer, WhatIsLeftAtTheDeadlineIsCut) {
  Stack stack;
  Client parked(stack.server->port());
  parked.send(Client::request("POST", kTasks + "/claim", "worker", R"({"waitSeconds":30})"));
  ASSERT_TRUE(eventually([&] { return stack.server->parked_polls() == 1; }));
  EXPECT_FALSE(stack.server->drain(10ms));
  stack.server.reset();
  EXPECT_EQ(parked.receive().status, 0);
}

TEST(HttpServer, APortThatIsTakenIsAnError) {
  Stack stack;
  auto options = HttpOptions{};
  options.host = "127.0.0.1";
  options.port = stack.server->port();
  const auto second = HttpServer::start(options, {.broker = *stack.partition,
                                                  .authenticator = *stack.tokens,
                                                  .tracer = stack.tracer,
                                                  .clock = stack.clock,
                                                  .rng = stack.rng,
                                                  .metrics = {},
                                                  .readiness = {}});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::kIo);
  EXPECT_NE(second.error().message.find(std::to_string(options.port)), std::string::npos);
}

TEST(HttpServer, SeveralIoThreadsServeEveryConnection) {
  HttpOptions options;
  options.io_threads = 3;
  Stack stack(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 9; ++i) clients.push_back(std::make_unique<Client>(stack.server->port()));
  for (int round = 0; round < 5; ++round) {
    for (auto& client : clients)
      client->send(Client::request("POST", kTasks, "producer", R"({"command":"A","payload":1})"));
    for (auto& client : clients) EXPECT_EQ(client->receive().status, 202);
  }
}

}  // namespace
}  // namespace codeq::transport::http
