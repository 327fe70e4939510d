// Looks at the unencrypted part of a handshake before OpenSSL does.
//
// Shape    OpenSSL makes room for a message when it has seen its first four bytes, up to 128 KiB for a ClientHello: with ten
//          thousand connections that is memory for the asking. Messages beyond the bound are refused here instead, and
//          whoever does not begin with a ClientHello does not speak TLS
// Source   RFC 8446, 4 and 5.1; RFC 5246, 6.2.1 and 7.4
// Cost     a few compares a record; nothing after the handshake
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace codeq::transport {

inline constexpr std::size_t kHandshakeMessageBytesMax = 32U << 10U;  // long chains of certificates included
inline constexpr std::size_t kHandshakeBytesMax = 96U << 10U;  // of all its unencrypted records

class HandshakeGuard {
 public:
  enum class Verdict : std::uint8_t { kFine, kNotTls, kTooLarge };

  // `changed_over`: the version that was agreed on encrypts everything after a ChangeCipherSpec (TLS 1.2).
  Verdict look(std::string_view wire, bool changed_over);
  // All of the ClientHello has been seen.
  [[nodiscard]] bool hello_complete() const { return !first_message_ && (hello_seen_ || message_left_ == 0); }

 private:
  Verdict record_begins();
  Verdict message_begins();

  std::uint8_t header_[5] = {};  // of the record
  std::uint8_t message_[4] = {};  // header of the message
  std::size_t header_bytes_ = 0, message_header_bytes_ = 0;
  std::size_t record_left_ = 0, message_left_ = 0;
  std::size_t total_ = 0;
  bool first_record_ = true, first_message_ = true, hello_seen_ = false, encrypted_ = false;
};

}  // namespace codeq::transport
