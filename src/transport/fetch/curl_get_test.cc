#include "transport/fetch/curl_get.h"

#include <gtest/gtest.h>

#include <future>

#include "transport/webhook/loopback_server.h"

namespace codeq::transport {
namespace {

using services::HttpGetAnswer;
using testing_support::LoopbackServer;
using testing_support::Peer;

// What one GET brings.
HttpGetAnswer got(services::HttpGetRequest request) {
  SystemClock clock;
  auto fetcher = CurlGet::open("1", clock);
  EXPECT_TRUE(fetcher);
  std::promise<HttpGetAnswer> promise;
  (*fetcher)->get(std::move(request), [&](HttpGetAnswer answer) { promise.set_value(std::move(answer)); });
  return promise.get_future().get();
}

LoopbackServer::Serve saying(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    if (peer.read_request()) peer.write(answer);
  };
}

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(CurlGet, BringsStatusAndBody) {
  std::string head;
  LoopbackServer server([&](Peer& peer) {
    if (const auto request = peer.read_request()) head = request->head;
    peer.write(ok("{}"));
  });
  const auto answer = got({.url = server.url("/keys?a=b")});
  EXPECT_EQ(answer.http_status, 200);
  EXPECT_EQ(answer.body, "{}");
  EXPECT_TRUE(head.starts_with("GET /keys?a=b HTTP/1.1\r\n")) << head;
  EXPECT_NE(head.find("codeq/1"), std::string::npos);
}

TEST(CurlGet, ARedirectIsAnAnswerAndIsNotFollowed) {
  LoopbackServer elsewhere(saying(ok("{}")));
  LoopbackServer server(saying("HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url() + "\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_EQ(got({.url = server.url()}).http_status, 302);
  EXPECT_EQ(elsewhere.connections(), 0);
}

TEST(CurlGet, WhatIsLargerThanAllowedIsNoAnswer) {
  LoopbackServer announced(saying(ok(std::string(2000, 'x'))));
  EXPECT_EQ(got({.url = announced.url(), .body_bytes_max = 1999}).error, "too-large");
  EXPECT_EQ(got({.url = announced.url(), .body_bytes_max = 2000}).body.size(), 2000U);
  LoopbackServer endless([](Peer& peer) {
    if (!peer.read_request()) return;
    peer.write("HTTP/1.1 200 OK\r\n\r\n");
    while (peer.write(std::string(1000, 'x'))) {}
  });
  EXPECT_EQ(got({.url = endless.url()}).error, "too-large");
  LoopbackServer wordy([](Peer& peer) {
    if (!peer.read_request()) return;
    peer.write("HTTP/1.1 200 OK\r\n");
    while (peer.write("X-Filler: " + std::string(1000, 'x') + "\r\n")) {}
  });
  EXPECT_EQ(got({.url = wordy.url()}).error, "too-large");
}

TEST(CurlGet, AServerThatDoesNotAnswerCostsTheTimeLimit) {
  LoopbackServer silent([](Peer& peer) { peer.wait_for_end(); });
  EXPECT_EQ(got({.url = silent.url(), .timeout = std::chrono::milliseconds(50)}).error, "timeout");
  LoopbackServer half([](Peer& peer) {
    if (peer.read_request()) peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
    peer.wait_for_end();
  });
  EXPECT_EQ(got({.url = half.url(), .timeout = std::chrono::milliseconds(50)}).error, "timeout");
}

TEST(CurlGet, FailuresHaveAClass) {
  int port = 0;
  {
    LoopbackServer gone(saying(""));
    port = gone.port();
  }
  EXPECT_EQ(got({.url = "http://127.0.0.1:" + std::to_string(port) + "/"}).error, "connect");
  EXPECT_EQ(got({.url = "file:///etc/passwd"}).error, "bad-url");
  EXPECT_EQ(got({.url = "http://user:secret@127.0.0.1:" + std::to_string(port) + "/"}).error, "bad-url");
  LoopbackServer broken([](Peer& peer) {
    if (peer.read_request()) peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
  });
  EXPECT_EQ(got({.url = broken.url()}).error, "io");
  LoopbackServer plain([](Peer& peer) {
    if (std::string hello; peer.read_more(hello)) peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  EXPECT_EQ(got({.url = "https://127.0.0.1:" + std::to_string(plain.port()) + "/"}).error, "tls");
}

TEST(CurlGet, CallsBackAfterAWhileInOrder) {
  SystemClock clock;
  auto fetcher = CurlGet::open("1", clock);
  ASSERT_TRUE(fetcher);
  std::promise<std::string> promise;
  std::string order;
  (*fetcher)->after(std::chrono::milliseconds(20), [&] {
    order += 'b';
    promise.set_value(order);
  });
  (*fetcher)->after(std::chrono::milliseconds(0), [&] { order += 'a'; });
  (*fetcher)->after(std::chrono::hours(1), [&] { order += 'c'; });
  EXPECT_EQ(promise.get_future().get(), "ab");
}

TEST(CurlGet, ItsEndAbortsWhatIsUnderWayAndForgetsWhatWaits) {
  SystemClock clock;
  std::promise<void> reached;
  LoopbackServer silent([&](Peer& peer) {
    if (peer.read_request()) reached.set_value();
    peer.wait_for_end();
  });
  bool called = false;
  {
    auto fetcher = CurlGet::open("1", clock);
    ASSERT_TRUE(fetcher);
    (*fetcher)->get({.url = silent.url(), .timeout = std::chrono::hours(1)},
                    [&](const HttpGetAnswer&) { called = true; });
    (*fetcher)->after(std::chrono::hours(1), [&] { called = true; });
    reached.get_future().wait();
  }
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace codeq::transport
