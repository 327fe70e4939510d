// One connection's TLS, without its socket: ciphertext in, plaintext out; plaintext in, ciphertext out.
//
// Shape    receive(bytes from the socket) -> plaintext; send(plaintext) -> wire(); what is in wire() goes to the socket, in
//          order, and is taken off with `written`. After every receive, send and close there may be something in wire()
// Memory   until the ClientHello is complete only its bytes (32 KiB at most); then about 45 KiB until the handshake is done;
//          then about 15 KiB, and 17 KiB more while a record is half here. wire() grows with what is sent, so whoever drives
//          it sends no more while much is unwritten
// Errors   receive: kUnauthenticated   the client's certificate is missing or not one of ours
//                   kBadRequest        not TLS, a version or protocol that is not spoken here, bytes that were tampered with
//          After an error nothing works any more; wire() may hold the alert that tells the client
// Threads  one
// Cost     a handshake 200 us with a certificate on P-256 and several times that with RSA; then 0.6 us a record and 0.2 us a
//          KiB (measured on the development machine)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::transport {

class TlsContext;

class TlsSession {
 public:
  explicit TlsSession(std::shared_ptr<TlsContext> context);  // shared: it counts there, and may outlive the listener
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Takes all of `wire` and appends what it says to `plain`: at most its own size and one record (16 KiB) that was half
  // here. What comes after the client's close_notify is dropped.
  Result<void> receive(std::string_view wire, std::string& plain);
  // Only once `established`. All of `plain` is in wire() then, as records of up to 16 KiB.
  Result<void> send(std::string_view plain);
  // Says that nothing more will be sent (close_notify). Does nothing before the handshake, after an error, or twice.
  void close();

  [[nodiscard]] std::string_view wire() const { return std::string_view(out_).substr(out_start_); }
  void written(std::size_t bytes);  // of wire()
  // What is held beyond that of an idle session: wire() and the handshake; an estimate for accounting.
  [[nodiscard]] std::size_t memory() const;

  // Nothing has been computed yet: the client has not said hello.
  [[nodiscard]] bool before_hello() const { return state_ == State::kHello; }
  [[nodiscard]] bool established() const { return state_ == State::kOpen; }
  [[nodiscard]] bool failed() const { return state_ == State::kFailed; }
  // The client said that it will send no more. A connection that ends without that may have been cut by anyone: what was
  // half received must not be used.
  [[nodiscard]] bool input_ended() const { return input_ended_; }
  // It failed since the first bytes are no TLS handshake: the client takes this for a plaintext port.
  [[nodiscard]] bool not_tls() const { return not_tls_; }

  [[nodiscard]] const std::string& alpn() const { return alpn_; }  // empty: the client asked for nothing
  [[nodiscard]] const std::string& version() const { return version_; }  // "TLSv1.3"
  // RFC 2253 name of the client's certificate, which was checked against the client CAs; empty: it showed none.
  [[nodiscard]] const std::string& client_subject() const { return client_subject_; }

 private:
  enum class State : std::uint8_t { kHello, kHandshake, kOpen, kFailed };
  struct Engine;
  friend struct Engine;

  Result<void> greet(std::string_view wire);
  Result<void> handshake();
  Result<void> fail_now(Error error);
  [[nodiscard]] Error failure() const;

  std::shared_ptr<TlsContext> context_;
  std::unique_ptr<Engine> engine_;
  std::string hello_;  // bytes that came before the ClientHello was complete
  std::string out_;
  std::size_t out_start_ = 0;
  State state_ = State::kHello;
  bool input_ended_ = false, close_sent_ = false, not_tls_ = false;
  std::string alpn_, version_, client_subject_;
};

}  // namespace codeq::transport
