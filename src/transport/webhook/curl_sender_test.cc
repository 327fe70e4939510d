#include "transport/webhook/curl_sender.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "transport/webhook/loopback_server.h"
#include "transport/webhook/signature.h"

namespace codeq::transport {
namespace {

using services::WebhookJob;
using services::WebhookOutcome;
using testing_support::LoopbackServer;
using testing_support::Peer;
using testing_support::ReceivedRequest;

constexpr auto kPatience = std::chrono::seconds(30);  // a guard against hanging for ever; nothing is measured with it

AllowedNetworks loopback() {
  const std::vector<std::string> networks{"127.0.0.0/8", "::1"};
  return *AllowedNetworks::parse(networks);
}

std::string answer(std::string_view status, std::string_view body = "", std::string_view headers = "") {
  return std::string("HTTP/1.1 ")
      .append(status)
      .append("\r\n")
      .append(headers)
      .append("Content-Length: ")
      .append(std::to_string(body.size()))
      .append("\r\n\r\n")
      .append(body);
}

// Answers every request with `reply`, and keeps what it got.
struct Recorder {
  explicit Recorder(std::string reply)
      : server([this, text = std::move(reply)](Peer& peer) {
          while (auto request = peer.read_request()) {
            {
              const std::scoped_lock lock(mutex);
              requests.push_back(std::move(*request));
            }
            if (!peer.write(text)) return;
          }
        }) {}
  std::vector<ReceivedRequest> seen() {
    const std::scoped_lock lock(mutex);
    return requests;
  }
  std::mutex mutex;
  std::vector<ReceivedRequest> requests;
  LoopbackServer server;
};

class CurlSender : public testing::Test {
 protected:
  CurlSender() { options.allowed = loopback(); }

  std::unique_ptr<CurlWebhookSender> open() {
    auto opened = CurlWebhookSender::open(options, clock);
    EXPECT_TRUE(opened.has_value());
    return opened ? std::move(*opened) : nullptr;
  }
  static WebhookJob job(std::string url) {
    WebhookJob made;
    made.id = 42;
    made.url = std::move(url);
    made.body = R"({"taskId":"t","status":"COMPLETED"})";
    made.message_id = "msg_7";
    return made;
  }
  static std::future<WebhookOutcome> start(CurlWebhookSender& sender, WebhookJob one) {
    std::promise<WebhookOutcome> promise;
    auto future = promise.get_future();
    sender.send(std::move(one),
                [promise = std::move(promise)](WebhookOutcome outcome) mutable { promise.set_value(outcome); });
    return future;
  }
  static WebhookOutcome wait(std::future<WebhookOutcome> future) {
    if (future.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "no outcome";
      std::abort();
    }
    return future.get();
  }
  WebhookOutcome post(WebhookJob one) {
    auto sender = open();
    return wait(start(*sender, std::move(one)));
  }

  ManualClock clock{1'700'000'000 * kNanosPerSecond + 999'999'999};
  WebhookSenderOptions options;
};

std::string hex_hmac(const std::string& key, const std::string& message) {
  std::array<unsigned char, 32> out{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), out.data(), &size);
  std::string hex;
  for (const auto byte : out) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    hex += two;
  }
  return hex;
}

TEST_F(CurlSender, DeliversTheBodyWithSignaturesAndTheTraceContext) {
  options.hmac_secret = "whsec_czNjcmV0";  // "s3cret"
  options.version = "1.2.3";
  Recorder recorder(answer("204 No Content"));
  auto one = job(recorder.server.url("/hook?x=1#fragment"));
  one.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  one.tracestate = "vendor=a,other=b";
  one.baggage = "k=v";
  const auto body = one.body;
  const auto outcome = post(std::move(one));
  EXPECT_EQ(outcome.http_status, 204);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(outcome.delivered());

  const auto requests = recorder.seen();
  ASSERT_EQ(requests.size(), 1U);
  auto headers = requests[0].headers;
  EXPECT_EQ(requests[0].start_line, "POST /hook?x=1 HTTP/1.1");
  EXPECT_EQ(requests[0].body, body);
  EXPECT_EQ(headers["content-type"], "application/json");
  EXPECT_EQ(headers["user-agent"], "codeq/1.2.3");
  EXPECT_EQ(headers["x-codeq-delivery"], "42");
  EXPECT_EQ(headers["x-codeq-timestamp"], "1700000000");
  EXPECT_EQ(headers["x-codeq-signature"], hex_hmac("s3cret", "1700000000." + body));
  EXPECT_EQ(headers["webhook-id"], "msg_7");
  EXPECT_EQ(headers["webhook-timestamp"], "1700000000");
  EXPECT_EQ(headers["webhook-signature"],
            WebhookSigner::from_secret("s3cret")->standard_signature("msg_7", 1700000000, body));
  EXPECT_EQ(headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(headers["tracestate"], "vendor=a,other=b");
  EXPECT_EQ(headers["baggage"], "k=v");
  EXPECT_FALSE(headers.contains("expect"));
  EXPECT_FALSE(headers.contains("accept-encoding"));
}

TEST_F(CurlSender, SendsNoSignatureWithABlankSecretAndNoEmptyTraceHeaders) {
  options.hmac_secret = "  ";
  Recorder recorder(answer("200 OK"));
  EXPECT_TRUE(post(job(recorder.server.url())).delivered());
  const auto headers = recorder.seen().at(0).headers;
  for (const auto* name :
       {"x-codeq-timestamp", "x-codeq-signature", "webhook-signature", "traceparent", "tracestate", "baggage"}) {
    EXPECT_FALSE(headers.contains(name)) << name;
  }
  EXPECT_TRUE(headers.contains("webhook-id"));
  EXPECT_TRUE(headers.contains("webhook-timestamp"));
}

TEST_F(CurlSender, LeavesOutAHeaderWhoseValueWouldStartAnotherLine) {
  options.hmac_secret = "s3cret";
  Recorder recorder(answer("200 OK"));
  auto one = job(recorder.server.url());
  one.message_id = "m\r\nX-Evil: 1";
  one.tracestate = "a=b\nX-Evil: 2";
  one.baggage = std::string("k=v\0X-Evil: 3", 12);
  EXPECT_TRUE(post(std::move(one)).delivered());
  const auto request = recorder.seen().at(0);
  EXPECT_EQ(request.head.find("Evil"), std::string::npos) << request.head;
  for (const auto* name : {"webhook-id", "webhook-signature", "tracestate", "baggage"})
    EXPECT_FALSE(request.headers.contains(name)) << name;
  EXPECT_TRUE(request.headers.contains("x-codeq-signature"));
}

TEST_F(CurlSender, SignsEveryAttemptWithTheTimeAtWhichItStarts) {
  options.hmac_secret = "s3cret";
  Recorder recorder(answer("500 Oops", "x"));
  auto sender = open();
  EXPECT_EQ(wait(start(*sender, job(recorder.server.url()))).http_status, 500);
  clock.advance_ns(5 * kNanosPerSecond);
  EXPECT_FALSE(wait(start(*sender, job(recorder.server.url()))).delivered());
  const auto requests = recorder.seen();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[1].headers.at("x-codeq-timestamp"), "1700000005");
  EXPECT_EQ(requests[1].headers.at("x-codeq-signature"), hex_hmac("s3cret", "1700000005." + requests[1].body));
  EXPECT_EQ(recorder.server.connections(), 1) << "a connection is used again";
}

TEST_F(CurlSender, DoesNotFollowARedirect) {
  Recorder target(answer("200 OK"));
  Recorder recorder(answer("307 Temporary Redirect", "", "Location: " + target.server.url("/inner") + "\r\n"));
  const auto outcome = post(job(recorder.server.url()));
  EXPECT_EQ(outcome.http_status, 307);
  EXPECT_FALSE(outcome.delivered());
  EXPECT_EQ(target.server.connections(), 0);
}

TEST_F(CurlSender, IgnoresTheProxyOfTheEnvironment) {
  Recorder proxy(answer("200 OK"));
  Recorder recorder(answer("202 Accepted"));
  ASSERT_EQ(setenv("http_proxy", proxy.server.url().c_str(), 1), 0);
  ASSERT_EQ(setenv("ALL_PROXY", proxy.server.url().c_str(), 1), 0);
  const auto outcome = post(job(recorder.server.url()));
  unsetenv("http_proxy");
  unsetenv("ALL_PROXY");
  EXPECT_EQ(outcome.http_status, 202);
  EXPECT_EQ(proxy.server.connections(), 0);
}

TEST_F(CurlSender, GivesUpOnAReceiverThatDoesNotAnswerInTime) {
  options.timeout = std::chrono::milliseconds(50);
  LoopbackServer silent([](Peer& peer) { peer.wait_for_end(); });
  const auto outcome = post(job(silent.url()));
  EXPECT_EQ(outcome.http_status, 0);
  EXPECT_EQ(outcome.error, "timeout");
}

TEST_F(CurlSender, CountsTheStatusOfAnAnswerWhoseBodyNeverEnds) {
  options.timeout = std::chrono::milliseconds(200);
  LoopbackServer slow([](Peer& peer) {
    if (peer.read_request()) peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    peer.wait_for_end();
  });
  const auto outcome = post(job(slow.url()));
  EXPECT_EQ(outcome.http_status, 200);
  EXPECT_EQ(outcome.error, "");
}

TEST_F(CurlSender, NamesTheClassOfAFailedConnection) {
  int port = 0;
  {
    LoopbackServer gone([](Peer&) {});
    port = gone.port();
  }
  EXPECT_EQ(post(job("http://127.0.0.1:" + std::to_string(port) + "/")).error, "connect");
  EXPECT_EQ(post(job("http://localhost:" + std::to_string(port) + "/")).error, "connect");
  // A label of 64 letters is no host name: the resolver says so without asking anybody.
  EXPECT_EQ(post(job("http://" + std::string(64, 'a') + ".invalid/")).error, "dns");
  LoopbackServer rude([](Peer& peer) { static_cast<void>(peer.read_request()); });
  EXPECT_EQ(post(job(rude.url())).error, "io");
  LoopbackServer stranger([](Peer& peer) {
    static_cast<void>(peer.read_request());
    peer.write("SSH-2.0-OpenSSH_9.2\r\n");
  });
  EXPECT_EQ(post(job(stranger.url())).error, "io");
  LoopbackServer plain([](Peer& peer) {
    std::string hello;
    if (peer.read_more(hello)) peer.write(answer("400 Bad Request"));
  });
  EXPECT_EQ(post(job("https://127.0.0.1:" + std::to_string(plain.port()) + "/")).error, "tls");
}

TEST_F(CurlSender, RefusesAUrlThatIsNotOneOfAWebhook) {
  Recorder recorder(answer("200 OK"));
  const auto rest = "127.0.0.1:" + std::to_string(recorder.server.port()) + "/";
  const std::vector<std::string> urls{"",
                                      "/path",
                                      "ftp://" + rest,
                                      "file:///etc/passwd",
                                      "gopher://" + rest,
                                      "http://user:secret@" + rest,
                                      "http://user@" + rest,
                                      "http://@" + rest,
                                      "http:///path",
                                      "http://" + rest + "a b",
                                      "http://" + rest + "\r\nX: y",
                                      "http://127.0.0.1\\@" + rest,
                                      "http://127.0.0.1:99999/",
                                      "http://" + rest + std::string(1 << 16, 'a')};
  for (const auto& url : urls) {
    const auto outcome = post(job(url));
    EXPECT_EQ(outcome.http_status, 0) << url;
    EXPECT_EQ(outcome.error, "bad-url") << url;
  }
  EXPECT_EQ(recorder.server.connections(), 0);
}

TEST_F(CurlSender, RefusesAPrivateAddressInEverySpellingUnlessItIsAllowed) {
  Recorder recorder(answer("200 OK"));
  const auto port = ":" + std::to_string(recorder.server.port()) + "/";
  options.allowed = {};
  for (const auto* host :
       {"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]", "[::]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "169.254.169.254", "10.0.0.1"}) {
    const auto outcome = post(job("http://" + (host + port)));
    EXPECT_EQ(outcome.http_status, 0) << host;
    EXPECT_EQ(outcome.error, "refused-address") << host;
  }
  EXPECT_EQ(recorder.server.connections(), 0);
  options.allowed = loopback();
  EXPECT_TRUE(post(job("http://127.0.0.1" + port)).delivered());
}

TEST_F(CurlSender, StopsReadingAnAnswerThatIsTooLong) {
  LoopbackServer endless([](Peer& peer) {
    if (!peer.read_request()) return;
    if (!peer.write("HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n\r\n")) return;
    const std::string block(4096, 'x');
    while (peer.write(block)) {}
  });
  const auto body = post(job(endless.url()));
  EXPECT_EQ(body.http_status, 201);
  EXPECT_EQ(body.error, "");

  LoopbackServer headers([](Peer& peer) {
    if (!peer.read_request() || !peer.write("HTTP/1.1 200 OK\r\n")) return;
    const auto line = "X-Filler: " + std::string(1000, 'x') + "\r\n";
    while (peer.write(line)) {}
  });
  EXPECT_EQ(post(job(headers.url())).error, "io");

  LoopbackServer interim([](Peer& peer) {
    if (!peer.read_request()) return;
    while (peer.write("HTTP/1.1 103 Early Hints\r\n\r\n")) {}
  });
  EXPECT_EQ(post(job(interim.url())).error, "io");
}

TEST_F(CurlSender, AnInterimAnswerIsNotTheAnswer) {
  Recorder recorder("HTTP/1.1 103 Early Hints\r\n\r\n" + answer("503 Busy"));
  EXPECT_EQ(post(job(recorder.server.url())).http_status, 503);
}

TEST_F(CurlSender, KeepsWhatIsTooMuchAtATimeInOrder) {
  options.in_flight_max = 1;
  Recorder recorder(answer("200 OK"));
  auto sender = open();
  std::vector<std::future<WebhookOutcome>> outcomes;
  for (std::uint64_t id = 1; id <= 50; ++id) {
    auto one = job(id % 10 == 0 ? "ftp://x/" : recorder.server.url());
    one.id = id;
    outcomes.push_back(start(*sender, std::move(one)));
  }
  std::uint64_t id = 0;
  for (auto& outcome : outcomes) EXPECT_EQ(wait(std::move(outcome)).delivered(), ++id % 10 != 0) << id;
  const auto requests = recorder.seen();
  ASSERT_EQ(requests.size(), 45U);
  EXPECT_TRUE(std::ranges::is_sorted(
      requests, {}, [](const ReceivedRequest& request) { return std::stoul(request.headers.at("x-codeq-delivery")); }));
}

TEST_F(CurlSender, ASlowReceiverDoesNotHoldUpAnother) {
  LoopbackServer silent([](Peer& peer) { peer.wait_for_end(); });
  Recorder recorder(answer("200 OK"));
  auto sender = open();
  auto stuck = start(*sender, job(silent.url()));
  EXPECT_TRUE(wait(start(*sender, job(recorder.server.url()))).delivered());
  EXPECT_EQ(stuck.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

TEST_F(CurlSender, TheNextJobMayBeSentFromTheOutcomeOfTheLast) {
  options.in_flight_max = 1;
  Recorder recorder(answer("200 OK"));
  auto sender = open();
  std::promise<WebhookOutcome> second;
  auto outcome = second.get_future();
  sender->send(job(recorder.server.url()), [&](WebhookOutcome) {
    sender->send(job(recorder.server.url()), [&](WebhookOutcome last) { second.set_value(last); });
  });
  EXPECT_TRUE(wait(std::move(outcome)).delivered());
}

TEST_F(CurlSender, TheEndAbortsWhatIsUnderWayWithoutAnOutcome) {
  std::promise<void> arrived;
  LoopbackServer silent([&](Peer& peer) {
    static_cast<void>(peer.read_request());
    arrived.set_value();
    peer.wait_for_end();
  });
  options.in_flight_max = 1;
  auto sender = open();
  std::atomic<int> outcomes = 0;
  sender->send(job(silent.url()), [&](WebhookOutcome) { ++outcomes; });
  sender->send(job(silent.url()), [&](WebhookOutcome) { ++outcomes; });  // waits for a place
  ASSERT_EQ(arrived.get_future().wait_for(kPatience), std::future_status::ready);
  sender.reset();
  EXPECT_EQ(outcomes, 0);
}

TEST_F(CurlSender, SettingsThatCannotWorkAreRefused) {
  options.hmac_secret = "whsec_???";
  EXPECT_EQ(CurlWebhookSender::open(options, clock).error().code, Code::kInvalidArgument);
  options.hmac_secret.clear();
  options.timeout = std::chrono::milliseconds(0);
  EXPECT_EQ(CurlWebhookSender::open(options, clock).error().code, Code::kInvalidArgument);
  options.timeout = std::chrono::milliseconds(1);
  options.in_flight_max = 0;
  EXPECT_EQ(CurlWebhookSender::open(options, clock).error().code, Code::kInvalidArgument);
}

// A certificate for 127.0.0.1 that nobody has signed but itself.
void use_self_signed(SSL_CTX* context) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> name(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"), &X509_EXTENSION_free);
  X509_add_ext(certificate.get(), name.get(), -1);
  ASSERT_NE(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  ASSERT_EQ(SSL_CTX_use_certificate(context, certificate.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context, key.get()), 1);
}

TEST_F(CurlSender, DoesNotTrustACertificateThatNobodySigned) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  use_self_signed(context.get());
  std::atomic<bool> handshake_done = false;
  LoopbackServer server([&](Peer& peer) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(tls.get(), peer.fd());
    if (SSL_accept(tls.get()) != 1) return;
    char byte = 0;
    handshake_done = SSL_read(tls.get(), &byte, 1) == 1;
  });
  const auto outcome = post(job("https://127.0.0.1:" + std::to_string(server.port()) + "/"));
  EXPECT_EQ(outcome.http_status, 0);
  EXPECT_EQ(outcome.error, "tls");
  EXPECT_FALSE(handshake_done) << "a byte of the request went to a stranger";
}

}  // namespace
}  // namespace codeq::transport
