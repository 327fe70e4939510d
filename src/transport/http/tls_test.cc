// HTTP through TLS: what is there besides what server_test.cc shows, whose tests all run through TLS as well.
#include "transport/http/test_stack.h"

namespace codeq::transport::http {
namespace {

using namespace std::chrono_literals;

const std::string kTasks = "/v1/codeq/tasks";
const std::string kLive = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

HttpOptions with_tls(std::shared_ptr<TlsContext> context = test_tls_context()) {
  HttpOptions options;
  options.tls = std::move(context);
  return options;
}

std::string hello() {
  TlsPeer peer({});
  peer.turn();
  return peer.take();
}

TEST(HttpTls, ATaskLivesThroughTlsAndItsSpansSayHttps) {
  Stack stack(with_tls());
  Client client(stack.server->port(), Wire::kTls, {.alpn = std::string("\x02h2\x08") + "http/1.1"});
  ASSERT_TRUE(client.connected());
  const unsigned char* protocol = nullptr;
  unsigned bytes = 0;
  SSL_get0_alpn_selected(client.peer().ssl(), &protocol, &bytes);
  EXPECT_EQ(std::string(protocol, protocol + bytes), "http/1.1");
  const auto id = client.call("POST", kTasks, "producer", R"({"command":"A","payload":{"k":1}})").text("id");
  EXPECT_EQ(client.call("POST", kTasks + "/claim", "worker", R"({"commands":["A"]})").text("id"), id);
  EXPECT_EQ(client.call("POST", kTasks + "/" + id + "/result", "worker", R"({"status":"COMPLETED","result":{"ok":1}})")
                .status,
            200);
  EXPECT_EQ(client.call("GET", kTasks + "/" + id + "/result", "producer").status, 200);
  int requests = 0;
  for (const auto& span : stack.tracer.spans()) {
    if (span.scope != observe::Scope::kHttp) continue;
    ++requests;
    EXPECT_EQ(span.attribute("url.scheme"), "https");
  }
  EXPECT_EQ(requests, 4);
}

TEST(HttpTls, WhoSpeaksPlainHttpIsToldAndClosed) {
  Stack stack(with_tls());
  for (const std::string& bytes :
       {kLive, std::string("G"), std::string("\r\n"), std::string("PRI * HTTP/2.0\r\n\r\n")}) {
    Client client(stack.server->port(), Wire::kPlain);
    client.send(bytes);
    const auto reply = client.receive();
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.body, R"({"error":"this port speaks HTTPS, not HTTP","code":"bad-request"})");
    client.finish_sending();
    EXPECT_TRUE(client.closed());
  }
  EXPECT_TRUE(eventually([&] { return stack.server->connections() == 0; }));
}

TEST(HttpTls, GarbageAfterAHelloIsClosedAndDisturbsNobody) {
  Stack stack(with_tls());
  Client good(stack.server->port(), Wire::kTls);
  for (const std::string& tail :
       {std::string(100, 'x'), hello(), std::string("\x17\x03\x03\x00\x20") + std::string(32, 'x')}) {
    Client client(stack.server->port(), Wire::kPlain);
    client.send(hello() + tail);
    client.finish_sending();
    EXPECT_EQ(client.receive().status, 0);
    EXPECT_EQ(good.call("GET", "/livez", "").status, 200);
  }
  EXPECT_TRUE(eventually([&] { return stack.server->connections() == 1; }));
}

TEST(HttpTls, AClientThatSpeaksOnlyAnotherProtocolIsRefused) {
  Stack stack(with_tls());
  Client client(stack.server->port(), Wire::kTls, {.alpn = "\x02h2"});
  EXPECT_FALSE(client.connected());
}

TEST(HttpTls, ClientsWithoutARightCertificateGetNoFurtherThanTheHandshake) {
  const TlsFolder folder;
  const auto ca = issue("Test CA", nullptr, true);
  const auto own = issue("localhost", &ca);
  const auto context = TlsContext::open({.certificate_file = folder.write("cert.pem", own.certificate_pem()),
                                         .key_file = folder.write("key.pem", own.key_pem()),
                                         .client_ca_file = folder.write("ca.pem", ca.certificate_pem()),
                                         .client_auth = TlsClientAuth::kRequire,
                                         .alpn = {"http/1.1"}});
  ASSERT_TRUE(context);
  Stack stack(with_tls(*context));
  const auto worker = issue("worker", &ca);
  Client good(stack.server->port(), Wire::kTls, {.shows = &worker, .trusts = &ca});
  EXPECT_EQ(good.call("GET", "/livez", "").status, 200);
  EXPECT_EQ(good.call("POST", kTasks, "nobody", "{}").status, 401) << "a certificate is no token";
  const auto stranger = issue("worker", nullptr);
  for (const Issued* shown : {static_cast<const Issued*>(nullptr), &stranger}) {
    Client bad(stack.server->port(), Wire::kTls, {.shows = shown});
    bad.send(kLive);  // with TLS 1.3 the client learns it only now
    EXPECT_EQ(bad.receive().status, 0);
  }
}

TEST(HttpTls, AHandshakeThatDoesNotEndInTimeIsCut) {
  ManualClock clock;
  Stack stack(with_tls(), true, &clock);
  const auto whole = hello();
  Client silent(stack.server->port(), Wire::kPlain);
  Client half(stack.server->port(), Wire::kPlain);
  Client answered(stack.server->port(), Wire::kPlain);
  half.send(whole.substr(0, whole.size() / 2));
  answered.send(whole);
  Client good(stack.server->port(), Wire::kTls);
  EXPECT_EQ(good.call("GET", "/livez", "").status, 200);
  ASSERT_TRUE(eventually([&] { return stack.server->connections() == 4; }));
  clock.advance_ns(6 * kNanosPerSecond);
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(half.closed());
  answered.closed();  // after our hello
  EXPECT_TRUE(eventually([&] { return stack.server->connections() == 1; }));
  EXPECT_EQ(good.call("GET", "/livez", "").status, 200);
}

// A claim is delivered when its last byte is on the wire as ciphertext, not when it was encrypted.
TEST(HttpTls, ClaimsThatWereNotReadGiveTheirTasksBack) {
  Stack stack(with_tls());
  {
    Client producer(stack.server->port(), Wire::kTls);
    const std::string big = R"({"command":"B","payload":")" + std::string(900'000, 'x') + "\"}";
    for (int i = 0; i < 20; ++i) ASSERT_EQ(producer.call("POST", kTasks, "producer", big).status, 202);
  }
  {
    Client worker(stack.server->port(), Wire::kTls);
    std::string claims;
    for (int i = 0; i < 20; ++i)
      claims += Client::request("POST", kTasks + "/claim", "worker", R"({"commands":["B"]})");
    worker.send(claims);
    Client other(stack.server->port(), Wire::kTls);
    ASSERT_TRUE(eventually([&] {
      const auto page = other.call("GET", "/metrics", "").body;
      return page.find("codeq_task_claimed_total{command=\"B\"} 20") != std::string::npos;
    }));
  }  // and hangs up
  Client next(stack.server->port(), Wire::kTls);
  int got = 0;  // the kernel may have taken some 5 of the 18 MB
  EXPECT_TRUE(eventually([&] {
    got += next.call("POST", kTasks + "/claim", "worker", R"({"commands":["B"]})").status == 200 ? 1 : 0;
    return got == 10;
  })) << got;
}

TEST(HttpTls, WithoutMemoryForItAHandshakeWaitsAndThenGoesOnOrIsCut) {
  ManualClock clock;
  auto options = with_tls();
  options.in_flight_bytes_max = 32U << 20U;
  options.output_bytes_max = 256U << 20U;
  Stack stack(options, true, &clock);
  Client working(stack.server->port(), Wire::kTls);
  const auto id =
      working.call("POST", kTasks, "producer", R"({"command":"B","payload":")" + std::string(900'000, 'x') + "\"}")
          .text("id");
  Client greedy(stack.server->port(), Wire::kTls);
  std::string much;
  for (int i = 0; i < 60; ++i) much += Client::request("GET", kTasks + "/" + id, "producer");
  greedy.send(much);
  ASSERT_TRUE(eventually(
      [&] { return working.call("POST", kTasks, "producer", R"({"command":"A","payload":1})").status == 503; }));
  Client waiting(stack.server->port(), Wire::kPlain);
  waiting.send(hello());
  ASSERT_TRUE(eventually([&] { return stack.server->connections() == 3; }));
  // Before the greedy one is cut. A connection counts when it is accepted; its own clock starts a moment later, perhaps
  // after our step, and then the second step is the one that counts.
  const auto cut = [&] { return stack.server->connections() == 2; };
  clock.advance_ns(6 * kNanosPerSecond);
  if (!eventually(cut)) clock.advance_ns(6 * kNanosPerSecond);
  EXPECT_TRUE(eventually(cut));
  EXPECT_EQ(waiting.receive().status, 0);
  EXPECT_EQ(working.call("GET", "/livez", "").status, 200);
  greedy.hang_up();
  Client next(stack.server->port(), Wire::kTls);
  EXPECT_EQ(next.call("GET", "/livez", "").status, 200);
}

TEST(HttpTls, AReplacedCertificateIsShownToNewClientsWhileOldOnesGoOn) {
  const TlsFolder folder;
  const auto write = [&](const std::string& name) {
    const auto issued = issue(name, nullptr);
    folder.write("cert.pem", issued.certificate_pem());
    folder.write("key.pem", issued.key_pem());
  };
  write("one");
  const auto context =
      TlsContext::open({.certificate_file = folder.path("cert.pem"), .key_file = folder.path("key.pem")}).value();
  Stack stack(with_tls(context));
  Client old(stack.server->port(), Wire::kTls);
  EXPECT_EQ(old.peer().server_name(), "one");
  write("two");
  ASSERT_TRUE(context->reload());
  Client fresh(stack.server->port(), Wire::kTls);
  EXPECT_EQ(fresh.peer().server_name(), "two");
  EXPECT_EQ(old.call("GET", "/livez", "").status, 200);
  EXPECT_EQ(fresh.call("GET", "/livez", "").status, 200);
}

}  // namespace
}  // namespace codeq::transport::http
