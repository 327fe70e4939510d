#include "transport/tls/handshake_guard.h"

#include <gtest/gtest.h>

#include <string>

namespace codeq::transport {
namespace {

using Verdict = HandshakeGuard::Verdict;

std::string record(char type, const std::string& body) {
  return std::string{type, 3, 1, static_cast<char>(body.size() >> 8U), static_cast<char>(body.size() & 255U)} + body;
}
std::string message(char type, std::size_t bytes) {
  return {type, static_cast<char>(bytes >> 16U), static_cast<char>(bytes >> 8U & 255U),
          static_cast<char>(bytes & 255U)};
}
Verdict look(const std::string& wire, std::size_t piece, bool changed_over = false) {
  HandshakeGuard guard;
  for (std::size_t at = 0; at < wire.size(); at += piece)
    if (const auto verdict = guard.look(std::string_view(wire).substr(at, piece), changed_over);
        verdict != Verdict::kFine)
      return verdict;
  return Verdict::kFine;
}
void expect(const std::string& wire, Verdict verdict, bool changed_over = false) {
  for (const std::size_t piece : {1U, 3U, 7U, 1000U, 1U << 20U})
    EXPECT_EQ(look(wire, piece, changed_over), verdict) << piece;
}

TEST(HandshakeGuard, AHelloOfAnOrdinarySizePassesHoweverItIsCut) {
  expect(record(22, message(1, 200) + std::string(200, 'x')), Verdict::kFine);
  expect(record(22, message(1, 200) + std::string(100, 'x')) + record(22, std::string(100, 'x')), Verdict::kFine);
  // The second hello of TLS 1.3 after a change of cipher that changes nothing.
  const auto hello = record(22, message(1, 50) + std::string(50, 'x'));
  expect(hello + record(20, "\x01") + hello, Verdict::kFine);
}

TEST(HandshakeGuard, WhatDoesNotBeginWithAHelloIsNotTls) {
  expect("GET / HTTP/1.1\r\n\r\n", Verdict::kNotTls);
  expect("P", Verdict::kNotTls);
  expect(record(23, "application data"), Verdict::kNotTls);
  expect(record(22, message(2, 10) + std::string(10, 'x')), Verdict::kNotTls);
  expect(record(22, "abc"), Verdict::kNotTls);
  expect(std::string("\x16\x02\x01\x00\x10", 5), Verdict::kNotTls);
}

TEST(HandshakeGuard, AMessageBeyondTheBoundIsRefusedByItsHeader) {
  expect(record(22, message(1, kHandshakeMessageBytesMax)), Verdict::kFine);
  expect(record(22, message(1, kHandshakeMessageBytesMax + 1)), Verdict::kTooLarge);
  const auto hello = record(22, message(1, 50) + std::string(50, 'x'));
  expect(hello + record(20, "\x01") + record(22, message(1, 130'000)), Verdict::kTooLarge);
  expect(record(22, message(1, 50) + std::string(50, 'x') + message(11, 100'000)), Verdict::kTooLarge);
}

TEST(HandshakeGuard, AHandshakeWithoutEndIsRefused) {
  std::string wire = record(22, message(1, 50) + std::string(50, 'x'));
  for (int i = 0; i < 100; ++i) wire += record(22, message(11, 1000) + std::string(1000, 'x'));
  expect(wire, Verdict::kTooLarge);
}

TEST(HandshakeGuard, WhatIsEncryptedIsNotLookedAt) {
  const auto hello = record(22, message(1, 50) + std::string(50, 'x'));
  expect(hello + record(20, "\x01") + record(22, std::string(40, '\xff')), Verdict::kFine, true);
  expect(hello + record(23, std::string(16'000, '\xff')) + record(23, std::string(16'000, '\xff')), Verdict::kFine);
}

}  // namespace
}  // namespace codeq::transport
