// What a connection does otherwise where its bytes are sealed by TLS. The rest of it knows plaintext alone.
#include <algorithm>

#include "transport/http/connection.h"

namespace codeq::transport::http {

namespace {

constexpr std::size_t kSealedBytes = 64U << 10U;  // plaintext sealed for one write: four records

// To a client that speaks plain HTTP to this port, in its own words.
constexpr std::string_view kTlsHere =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    "Content-Length: 65\r\n\r\n"
    R"({"error":"this port speaks HTTPS, not HTTP","code":"bad-request"})";

}  // namespace

void Connection::unseal(std::string_view wire) {
  const bool shaking_hands = !tls_->established();
  const auto opened = tls_->receive(wire, loop_.plain);
  if (!opened) {
    loop_.plain.clear();
    return tls_failed();
  }
  if (shaking_hands) {
    if (tls_->established()) waiting_since_ns_ = now_ns();
    account();
  }
  take_fresh(loop_.plain);
  loop_.plain.clear();
  if (closed_) return;
  if (tls_->input_ended()) return on_end_of_input();
  flush();
}

// Its requests are given back as if it had hung up; a client that got something wrong gets the time to read what.
void Connection::tls_failed() {
  socket_.send(tls_->not_tls() ? kTlsHere : tls_->wire());
  tls_->written(tls_->wire().size());
  let_go();
  out_.clear();
  out_start_ = sealed_ = 0;
  no_more_requests_ = true;
  linger();
}

Socket::Outcome Connection::write_sealed() {
  if (tls_->wire().empty()) {
    sealed_ = std::min(out_.size() - out_start_, kSealedBytes);
    if (!tls_->send(std::string_view(out_).substr(out_start_, sealed_))) return Socket::Outcome::kFailed;
  }
  while (!tls_->wire().empty()) {
    const auto [outcome, n] = socket_.send(tls_->wire());
    if (outcome != Socket::Outcome::kMoved) return outcome;
    tls_->written(n);
    wire_written_ += n;
  }
  out_start_ += std::exchange(sealed_, 0);
  return Socket::Outcome::kMoved;
}

void Connection::say_last() {
  if (!tls_->established() || !tls_->wire().empty()) return;  // in the middle of a record it would be garbage
  tls_->close();
  socket_.send(tls_->wire());
  tls_->written(tls_->wire().size());
}

}  // namespace codeq::transport::http
