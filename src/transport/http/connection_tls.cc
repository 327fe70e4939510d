// What a connection does otherwise where its bytes are sealed by TLS. The rest of it knows plaintext alone.
#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include "transport/http/connection.h"

namespace codeq::transport::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kSealedBytes = 64U << 10U;  // plaintext sealed for one write: four records

// To a client that speaks plain HTTP to this port, in its own words.
constexpr std::string_view kTlsHere =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    "Content-Length: 65\r\n\r\n"
    R"({"error":"this port speaks HTTPS, not HTTP","code":"bad-request"})";

}  // namespace

// Waits instead of reading: the ciphertext of all connections of a loop goes through one buffer.
void Connection::read_sealed() {
  // Who has not said hello costs nothing yet, and can wait until there is memory for a handshake, or its time is over.
  if (tls_->before_hello() && loop_.in_flight.crowded()) return;
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const error_code& ec) { self->on_readable(ec); });
}

void Connection::on_readable(const error_code& ec) {
  reading_ = false;
  if (closed_) return;
  if (ec) return close();
  error_code read_ec;
  const auto n = socket_.read_some(asio::buffer(loop_.wire), read_ec);
  if (read_ec == asio::error::would_block || read_ec == asio::error::try_again) return read();
  if (read_ec == asio::error::eof) return on_end_of_input();
  if (read_ec) return close();
  if (lingering_) return read();  // and forget it
  unseal({loop_.wire.data(), n});
}

void Connection::unseal(std::string_view wire) {
  forget_taken();
  in_.resize(in_end_);  // `in_` is its used part here, and grows by what comes out
  in_.erase(0, in_start_);
  in_start_ = 0;
  const bool shaking_hands = !tls_->established();
  const auto opened = tls_->receive(wire, in_);
  in_end_ = in_.size();
  if (!opened) return tls_failed();
  if (shaking_hands) {
    if (tls_->established()) waiting_since_ns_ = now_ns();
    account();
  }
  process();
  if (closed_) return;
  if (tls_->input_ended()) return on_end_of_input();
  flush();
}

// Its requests are given back as if it had hung up; a client that got something wrong gets the time to read what.
void Connection::tls_failed() {
  error_code ignored;
  const auto last = tls_->not_tls() ? kTlsHere : tls_->wire();
  socket_.write_some(asio::buffer(last.data(), last.size()), ignored);
  tls_->written(tls_->wire().size());
  const auto self = shared_from_this();
  let_go();
  out_.clear();
  out_start_ = sealed_ = 0;
  no_more_requests_ = true;
  linger();
}

std::size_t Connection::write_sealed(error_code& ec) {
  if (tls_->wire().empty()) {
    sealed_ = std::min(out_.size() - out_start_, kSealedBytes);
    if (!tls_->send(std::string_view(out_).substr(out_start_, sealed_))) {
      ec = asio::error::connection_aborted;
      return 0;
    }
  }
  while (!tls_->wire().empty()) {
    const auto wire = tls_->wire();
    const auto n = socket_.write_some(asio::buffer(wire.data(), wire.size()), ec);
    if (ec) return 0;
    tls_->written(n);
    wire_written_ += n;
  }
  return std::exchange(sealed_, 0);
}

void Connection::say_last() {
  if (!tls_->established() || !tls_->wire().empty()) return;  // in the middle of a record it would be garbage
  tls_->close();
  const auto wire = tls_->wire();
  error_code ignored;
  socket_.write_some(asio::buffer(wire.data(), wire.size()), ignored);
  tls_->written(wire.size());
}

}  // namespace codeq::transport::http
