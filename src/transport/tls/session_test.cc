// What a client of ours sees, with a client of OpenSSL's over memory.
#include "transport/tls/session.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"
#include "transport/tls/context.h"
#include "transport/tls/handshake_guard.h"
#include "transport/tls/test_tls.h"

namespace codeq::transport {
namespace {

const std::string kH2 = "\x02h2";
const std::string kBoth = std::string("\x02h2\x08") + "http/1.1";

// A client and a session of ours, and the two wires between them.
struct Pair {
  Pair(std::shared_ptr<TlsContext> context, const TlsClientOptions& options)
      : client(options), server(std::move(context)) {}

  // Until nobody has anything to say. `piece`: as much at a time reaches the server.
  void run(std::size_t piece = 1U << 20U) {
    for (;;) {
      client.turn();
      auto up = client.take();
      for (std::string_view rest = up; !rest.empty() && error.empty();) {
        const auto part = rest.substr(0, piece);
        rest.remove_prefix(part.size());
        if (auto taken = server.receive(part, received); !taken) {
          error = taken.error().message;
          code = taken.error().code;
        }
      }
      const auto down = std::string(server.wire());
      server.written(down.size());
      client.feed(down);
      if (up.empty() && down.empty()) return;
    }
  }

  TlsPeer client;
  TlsSession server;
  std::string received;  // what the client said
  std::string error;
  Code code = Code::kInternal;
};

struct TlsSessionTest : testing::Test {
  std::shared_ptr<TlsContext> open(TlsOptions options = {}) {
    write("one");
    options.certificate_file = folder.path("cert.pem");
    options.key_file = folder.path("key.pem");
    if (options.client_auth != TlsClientAuth::kNone)
      options.client_ca_file = folder.write("ca.pem", ca.certificate_pem());
    auto opened = TlsContext::open(std::move(options));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return *opened;
  }
  void write(const std::string& name) {
    const auto issued = issue(name, &ca);
    folder.write("cert.pem", issued.certificate_pem());
    folder.write("key.pem", issued.key_pem());
  }
  TlsFolder folder;
  Issued ca = issue("Test CA", nullptr, true);
};

TEST_F(TlsSessionTest, AClientThatTrustsTheAuthorityConnects) {
  const auto context = open();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Pair pair(context, {.version_max = version, .trusts = &ca});
    pair.run();
    EXPECT_TRUE(pair.server.established()) << pair.error;
    EXPECT_TRUE(pair.client.finished());
    EXPECT_EQ(pair.server.version(), version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    EXPECT_EQ(pair.server.alpn(), "");
    EXPECT_EQ(pair.server.client_subject(), "");
  }
  EXPECT_EQ(context->stats().handshakes, 2U);
}

TEST_F(TlsSessionTest, TheProtocolIsTheFirstOfOursThatTheClientOffers) {
  const auto http = open({.alpn = {"http/1.1"}});
  const auto grpc = open({.alpn = {"h2"}});
  Pair browser(http, {.alpn = kBoth});
  browser.run();
  EXPECT_EQ(browser.server.alpn(), "http/1.1");
  Pair stream(grpc, {.alpn = kBoth});
  stream.run();
  EXPECT_EQ(stream.server.alpn(), "h2");
  Pair silent(grpc, {});
  silent.run();
  EXPECT_TRUE(silent.server.established());
  EXPECT_EQ(silent.server.alpn(), "");
  Pair lost(http, {.alpn = kH2});
  lost.run();
  EXPECT_TRUE(lost.server.failed());
  EXPECT_TRUE(lost.client.failed) << "the client is told";
  EXPECT_EQ(lost.error, "TLS: the client speaks another protocol (ALPN)");
}

TEST_F(TlsSessionTest, VersionsBefore12AreRefused) {
  const auto context = open();
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    Pair pair(context, {.version_max = version});
    pair.run();
    EXPECT_TRUE(pair.server.failed());
    EXPECT_TRUE(pair.client.failed);
    EXPECT_EQ(pair.error, "TLS: the client offers no version from 1.2 on");
  }
  EXPECT_EQ(context->stats().handshakes, 0U);
  EXPECT_EQ(context->stats().handshakes_failed, 2U);
}

TEST_F(TlsSessionTest, OnlyCiphersWithForwardSecrecyAreSpoken) {
  const auto context = open();
  for (const std::string cipher : {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "NULL"}) {
    Pair pair(context, {.version_max = TLS1_2_VERSION});
    SSL_set_cipher_list(pair.client.ssl(), cipher.c_str());
    pair.run();
    EXPECT_TRUE(pair.server.failed()) << cipher;
  }
}

TEST_F(TlsSessionTest, ARequiredCertificateHasToBeShownAndToBeOneOfOurs) {
  const auto context = open({.client_auth = TlsClientAuth::kRequire});
  const auto good = issue("worker-7", &ca);
  const auto other_ca = issue("Test CA", nullptr, true);
  const auto stranger = issue("worker-7", &other_ca);
  const auto own = issue("worker-7", nullptr);
  const auto expired = issue("worker-7", &ca, false, -1);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Pair pair(context, {.version_max = version, .shows = &good, .trusts = &ca});
    pair.run();
    EXPECT_TRUE(pair.server.established()) << pair.error;
    EXPECT_EQ(pair.server.client_subject(), "CN=worker-7");
    for (const Issued* shown : {static_cast<const Issued*>(nullptr), &stranger, &own, &expired}) {
      Pair refused(context, {.version_max = version, .shows = shown});
      refused.run();
      EXPECT_TRUE(refused.server.failed());
      EXPECT_TRUE(refused.client.failed);
      EXPECT_EQ(refused.code, Code::kUnauthenticated) << refused.error;
      EXPECT_EQ(refused.server.client_subject(), "");
    }
  }
}

TEST_F(TlsSessionTest, AnOptionalCertificateMayBeMissingButNotWrong) {
  const auto context = open({.client_auth = TlsClientAuth::kOptional});
  Pair without(context, {});
  without.run();
  EXPECT_TRUE(without.server.established()) << without.error;
  const auto good = issue("worker-7", &ca);
  Pair with(context, {.shows = &good});
  with.run();
  EXPECT_EQ(with.server.client_subject(), "CN=worker-7");
  const auto own = issue("worker-7", nullptr);
  Pair wrong(context, {.shows = &own});
  wrong.run();
  EXPECT_TRUE(wrong.server.failed());
}

TEST_F(TlsSessionTest, ASubjectIsPlainTextWhateverTheCertificateSays) {
  const auto context = open({.client_auth = TlsClientAuth::kRequire});
  const auto odd = issue("a,b\n\"c\" é", &ca);
  Pair pair(context, {.shows = &odd});
  pair.run();
  ASSERT_TRUE(pair.server.established()) << pair.error;
  for (const char c : pair.server.client_subject()) EXPECT_TRUE(c >= ' ' && c <= '~') << pair.server.client_subject();
}

TEST_F(TlsSessionTest, DataComesThroughBothWaysHoweverItIsCut) {
  const auto context = open();
  SeededRng rng(7);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const std::size_t piece : {1U, 2U, 5U, 6U, 100U, 4096U, 1U << 20U}) {
      Pair pair(context, {.version_max = version});
      pair.run(piece);
      ASSERT_TRUE(pair.server.established()) << pair.error;
      std::string up, down;
      for (const std::size_t bytes : {1U, 0U, 17U, 16'384U, 16'385U, 70'000U}) {
        std::string message(bytes, '\0');
        for (auto& c : message) c = static_cast<char>(rng.next());
        pair.client.send(message);
        ASSERT_TRUE(pair.server.send(message));
        up += message;
        down += message;
        pair.run(piece);
      }
      EXPECT_EQ(pair.received, up);
      EXPECT_EQ(pair.client.received, down);
      EXPECT_FALSE(pair.client.failed);
      EXPECT_LT(pair.server.memory(), 64U << 10U) << "what was written is given back";
    }
  }
}

TEST_F(TlsSessionTest, DataBehindTheHandshakeInTheSameBytesIsNotLost) {
  const auto context = open();
  Pair pair(context, {});
  pair.client.turn();
  ASSERT_TRUE(pair.server.receive(pair.client.take(), pair.received));
  pair.client.feed(std::string(pair.server.wire()));
  pair.server.written(pair.server.wire().size());
  pair.client.turn();
  pair.client.send("GET /livez");
  const auto all = pair.client.take();  // Finished and the request
  ASSERT_TRUE(pair.server.receive(all, pair.received));
  EXPECT_TRUE(pair.server.established());
  EXPECT_EQ(pair.received, "GET /livez");
}

TEST_F(TlsSessionTest, WireIsTakenOffInWhateverPartsTheSocketTakes) {
  const auto context = open();
  Pair pair(context, {});
  pair.run();
  const std::string answer(100'000, 'a');
  ASSERT_TRUE(pair.server.send(answer));
  EXPECT_GT(pair.server.memory(), answer.size());
  while (!pair.server.wire().empty()) {
    const auto part = std::string(pair.server.wire().substr(0, 777));
    pair.server.written(part.size());
    pair.client.feed(part);
    pair.client.turn();
  }
  EXPECT_EQ(pair.client.received, answer);
}

TEST_F(TlsSessionTest, BothSidesCanSayThatTheyWillSendNoMore) {
  const auto context = open();
  Pair pair(context, {});
  pair.run();
  pair.client.send("last words");
  pair.client.close();
  pair.run();
  EXPECT_EQ(pair.received, "last words");
  EXPECT_TRUE(pair.server.input_ended());
  EXPECT_TRUE(pair.server.established()) << "and may be answered";
  ASSERT_TRUE(pair.server.send("the answer"));
  pair.server.close();
  pair.server.close();
  pair.run();
  EXPECT_EQ(pair.client.received, "the answer");
  EXPECT_TRUE(pair.client.closed);
  EXPECT_TRUE(pair.server.receive("anything", pair.received));
  EXPECT_EQ(pair.received, "last words") << "nothing counts after the end";
}

TEST_F(TlsSessionTest, AWireThatIsCutIsNotAnEnd) {
  const auto context = open();
  Pair pair(context, {});
  pair.run();
  pair.client.send("a message that somebody cuts");
  const auto all = pair.client.take();
  ASSERT_TRUE(pair.server.receive(std::string_view(all).substr(0, all.size() - 1), pair.received));
  EXPECT_EQ(pair.received, "") << "no part of a record before all of it is known to be right";
  EXPECT_FALSE(pair.server.input_ended());
}

TEST_F(TlsSessionTest, BytesThatWereTamperedWithEndTheSession) {
  const auto context = open();
  Pair pair(context, {});
  pair.run();
  pair.client.send("pay 10 to alice");
  auto bytes = pair.client.take();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const auto taken = pair.server.receive(bytes, pair.received);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kBadRequest);
  EXPECT_EQ(pair.received, "");
  EXPECT_TRUE(pair.server.failed());
  EXPECT_FALSE(pair.server.send("more"));
  EXPECT_FALSE(pair.server.receive("more", pair.received));
  pair.client.feed(std::string(pair.server.wire()));
  pair.client.turn();
  EXPECT_TRUE(pair.client.failed) << "by an alert";
}

TEST_F(TlsSessionTest, RenegotiationIsRefused) {
  const auto context = open();
  Pair pair(context, {.version_max = TLS1_2_VERSION});
  pair.run();
  ASSERT_TRUE(pair.server.established());
  SSL_renegotiate(pair.client.ssl());
  pair.run();
  EXPECT_TRUE(pair.client.failed);
  EXPECT_EQ(context->stats().handshakes, 1U);
}

TEST_F(TlsSessionTest, KeysMayBeChangedWhileDataFlowsButNotForNothing) {
  const auto context = open();
  Pair pair(context, {});
  pair.run();
  const auto change_keys = [&] {
    SSL_key_update(pair.client.ssl(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(pair.client.ssl());
  };
  for (int i = 0; i < 100; ++i) {
    change_keys();
    pair.client.send(std::string(16'384, 'x'));
    ASSERT_TRUE(pair.server.send("answer"));
    pair.run();
    ASSERT_EQ(pair.error, "") << i;
  }
  EXPECT_EQ(pair.received.size(), 100U * 16'384U);
  EXPECT_EQ(pair.client.received.size(), 100U * 6U);

  for (int i = 0; i < 1000; ++i) change_keys();
  pair.run();
  EXPECT_EQ(pair.error, "TLS: too many changes of keys");
}

TEST_F(TlsSessionTest, WhatIsNotTlsIsRecognisedByItsFirstByte) {
  const auto context = open();
  for (const std::string bytes :
       {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x80\x2e"}) {
    TlsSession session(context);
    std::string plain;
    const auto taken = session.receive(bytes, plain);
    ASSERT_FALSE(taken) << bytes;
    EXPECT_EQ(taken.error().message, "TLS is spoken here");
    EXPECT_TRUE(session.not_tls());
    EXPECT_EQ(session.wire(), "") << "an alert would be garbage to it";
    EXPECT_EQ(plain, "");
  }
}

TEST_F(TlsSessionTest, GarbageEndsInAnErrorAndTakesNoMemory) {
  const auto context = open();
  SeededRng rng(11);
  for (int i = 0; i < 200; ++i) {
    TlsSession session(context);
    std::string plain;
    std::string bytes("\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb", 9);  // a hello of nearly 16 KiB, and noise
    for (int n = 0; n < 17'000; ++n) bytes += static_cast<char>(rng.next());
    EXPECT_FALSE(session.receive(bytes, plain));
    EXPECT_TRUE(session.failed());
    EXPECT_FALSE(session.not_tls());
    EXPECT_LT(session.memory(), 128U << 10U);
  }
  TlsSession session(context);
  std::string plain;
  const auto taken = session.receive(std::string_view("\x16\x03\x01\x00\x10\x01\x01\xff\x00", 9), plain);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message, "TLS: a handshake message is too large");
  EXPECT_EQ(context->stats().handshakes_failed, 201U);
}

TEST_F(TlsSessionTest, AHelloThatDoesNotEndHoldsNoMoreThanItsBytes) {
  const auto context = open();
  TlsPeer client({});
  client.turn();
  const auto hello = client.take();
  TlsSession session(context);
  std::string plain;
  for (std::size_t i = 0; i + 1 < hello.size(); ++i) {
    ASSERT_TRUE(session.receive(hello.substr(i, 1), plain));
    ASSERT_TRUE(session.before_hello());
    ASSERT_LT(session.memory(), 2 * hello.size() + 64);
  }
  ASSERT_TRUE(session.receive(hello.substr(hello.size() - 1), plain));
  EXPECT_FALSE(session.before_hello());
  EXPECT_FALSE(session.wire().empty()) << "it is answered";
}

TEST_F(TlsSessionTest, AfterAReloadNewSessionsGetTheNewCertificateAndOldOnesGoOn) {
  const auto context = open();
  Pair old(context, {.trusts = &ca});
  old.run();
  Pair half(context, {.trusts = &ca});  // began before, ends after
  half.client.turn();
  write("two");
  ASSERT_TRUE(context->reload());
  Pair fresh(context, {.trusts = &ca});
  fresh.run();
  half.run();
  EXPECT_EQ(old.client.server_name(), "one");
  EXPECT_EQ(half.client.server_name(), "one");
  EXPECT_EQ(fresh.client.server_name(), "two");
  old.client.send("hello");
  old.run();
  EXPECT_EQ(old.received, "hello");

  folder.write("cert.pem", issue("three", &ca).certificate_pem());  // without its key
  EXPECT_FALSE(context->reload());
  Pair kept(context, {.trusts = &ca});
  kept.run();
  EXPECT_EQ(kept.client.server_name(), "two") << "a broken pair changes nothing";
}

TEST_F(TlsSessionTest, AfterAReloadANewAuthorityDecidesEvenOverResumedSessions) {
  const auto context = open({.client_auth = TlsClientAuth::kRequire});
  const auto client = issue("worker-7", &ca);
  Pair first(context, {.version_max = TLS1_2_VERSION, .shows = &client});
  first.run();
  ASSERT_TRUE(first.server.established()) << first.error;
  auto* ticket = SSL_get1_session(first.client.ssl());
  const auto resume = [&] {
    Pair again(context, {.version_max = TLS1_2_VERSION, .shows = &client});
    SSL_set_session(again.client.ssl(), ticket);
    again.run();
    return std::pair(again.server.established(), SSL_session_reused(again.client.ssl()) == 1);
  };
  EXPECT_EQ(resume(), std::pair(true, true));
  folder.write("ca.pem", issue("Other CA", nullptr, true).certificate_pem());
  ASSERT_TRUE(context->reload());
  EXPECT_FALSE(resume().first);
  SSL_SESSION_free(ticket);
}

}  // namespace
}  // namespace codeq::transport
