#include "transport/http/request.h"

#include <gtest/gtest.h>

namespace codeq::transport::http {
namespace {

using State = RequestReader::State;

constexpr std::string_view kCreate =
    "POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nTraceparent: a\r\nTRACESTATE: b=1\r\ntracestate: c=2\r\n"
    "Content-Length: 5\r\n\r\nhello";

// Feeds `bytes` in pieces of `piece`, keeping what was not taken, as a connection does.
State feed(RequestReader& reader, std::string_view bytes, std::size_t piece) {
  std::string kept;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    kept += bytes.substr(i, piece);
    kept.erase(0, reader.feed(kept));
    if (reader.state() == State::kFailed || reader.state() == State::kComplete) break;
  }
  return reader.state();
}

State feed(RequestReader& reader, std::string_view bytes) { return feed(reader, bytes, bytes.size()); }

Code refusal_of(std::string_view bytes) {
  RequestReader whole({});
  RequestReader slow({});
  feed(whole, bytes);
  feed(slow, bytes, 1);
  if (whole.state() != State::kFailed || slow.state() != State::kFailed) return Code::kInternal;
  return whole.error().code == slow.error().code ? whole.error().code : Code::kInternal;
}

TEST(RequestReader, ARequestIsReadHoweverItsBytesArrive) {
  for (std::size_t piece = 1; piece <= kCreate.size(); ++piece) {
    RequestReader reader({});
    ASSERT_EQ(feed(reader, kCreate, piece), State::kComplete) << piece;
    auto& request = reader.request();
    EXPECT_EQ(request.method, Method::kPost);
    EXPECT_EQ(request.target, "/v1/codeq/tasks");
    EXPECT_EQ(request.authorization, "Bearer t");
    EXPECT_EQ(request.body, "hello");
    EXPECT_TRUE(request.keep_alive);
    ASSERT_EQ(request.tracestate.views().size(), 2U);
    EXPECT_EQ(request.tracestate.views()[1], "c=2");
    ASSERT_EQ(request.traceparent.views().size(), 1U);
  }
}

TEST(RequestReader, ReadingStopsAtTheEndOfARequestAndGoesOnWithTheNext) {
  RequestReader reader({});
  const std::string two = std::string(kCreate) + "\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  const auto taken = reader.feed(two);
  EXPECT_EQ(taken, kCreate.size());
  ASSERT_EQ(reader.state(), State::kComplete);
  reader.next();
  EXPECT_EQ(feed(reader, std::string_view(two).substr(taken)), State::kComplete);
  EXPECT_EQ(reader.request().method, Method::kGet);
  EXPECT_TRUE(reader.request().body.empty());
}

TEST(RequestReader, AChunkedBodyIsPutTogetherAndItsTrailerBelievedInNothing) {
  const std::string_view chunked =
      "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: Bearer evil\r\n\r\n";
  for (std::size_t piece = 1; piece <= chunked.size(); ++piece) {
    RequestReader reader({});
    ASSERT_EQ(feed(reader, chunked, piece), State::kComplete) << piece;
    EXPECT_EQ(reader.request().body, "abcde");
    EXPECT_TRUE(reader.request().authorization.empty());
  }
}

TEST(RequestReader, WhatTwoParsersCouldReadDifferentlyIsRefused) {
  const auto post = [](std::string_view lines) {
    return "POST /x HTTP/1.1\r\nHost: x\r\n" + std::string(lines) + "\r\n0123456789";
  };
  EXPECT_EQ(refusal_of(post("Content-Length: 5\r\nContent-Length: 6\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: 5\r\nContent-Length: 5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: 5, 5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: +5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: -5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: 0x5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: \r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: 99999999999999999999\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Transfer-Encoding: gzip, chunked\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Transfer-Encoding: identity\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Transfer-Encoding : chunked\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("A: b\r\n c\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("A: b\r\n\tc\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post(" A: b\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("A: b\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("A: b\rc\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(post("Host: y\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of("POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), Code::kBadRequest);
  EXPECT_EQ(refusal_of("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Code::kBadRequest);
}

TEST(RequestReader, BadChunksAreRefused) {
  const auto chunked = [](std::string_view body) {
    return "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
  };
  EXPECT_EQ(refusal_of(chunked("g\r\nabc\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("-1\r\nabc\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("3\r\nabcd\r\n0\r\n\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("3 \r\nabc\r\n0\r\n\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("\r\nabc")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("3;a\nabc\r\n0\r\n\r\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("0\r\n}\n")), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("1;" + std::string(2000, 'a'))), Code::kBadRequest);
  EXPECT_EQ(refusal_of(chunked("ffffffffffffffffff\r\nabc\r\n")), Code::kBadRequest);
}

TEST(RequestReader, GarbageIsRefusedAtOnce) {
  EXPECT_EQ(refusal_of(std::string_view("\x16\x03\x01\x02\x00", 5)), Code::kBadRequest);
  EXPECT_EQ(refusal_of("{\"not\":\"http\"}"), Code::kBadRequest);
  EXPECT_EQ(refusal_of("GET /\r\n\r\n"), Code::kBadRequest);
  EXPECT_EQ(refusal_of("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), Code::kBadRequest);
  EXPECT_EQ(refusal_of("POST / H\r\n\r\n{\"a\":1}"), Code::kBadRequest);  // found by fuzz_http_request
  EXPECT_EQ(refusal_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Code::kBadRequest);
  EXPECT_EQ(refusal_of("GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"), Code::kBadRequest);
}

TEST(RequestReader, ALongHeadAndALongBodyAreRefused) {
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(33'000, 'a') + "\r\n\r\n"),
            Code::kHeaderTooLarge);
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 9000; ++i) many += "A: b\r\n";
  EXPECT_EQ(refusal_of(many + "\r\n"), Code::kHeaderTooLarge);
  EXPECT_EQ(refusal_of("GET /" + std::string(40'000, 'a')), Code::kHeaderTooLarge);
  EXPECT_EQ(refusal_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"), Code::kBodyTooLarge);
  RequestReader chunked({.header_bytes_max = 1024, .body_bytes_max = 4});
  EXPECT_EQ(feed(chunked, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n"),
            State::kFailed);
  EXPECT_EQ(chunked.error().code, Code::kBodyTooLarge);
  RequestReader fits({.header_bytes_max = 1024, .body_bytes_max = 5});
  EXPECT_EQ(feed(fits, kCreate), State::kComplete);
}

TEST(RequestReader, KeepAliveIsTheDefaultOfHttp11Only) {
  const auto keeps = [](std::string_view bytes) {
    RequestReader reader({});
    EXPECT_EQ(feed(reader, bytes), State::kComplete);
    return reader.request().keep_alive;
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"));
}

}  // namespace
}  // namespace codeq::transport::http
