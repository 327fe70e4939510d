#include "transport/http/connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include "transport/wire_status.h"

namespace codeq::transport::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadBytesMin = 4096;
constexpr std::size_t kReadBytesLarge = 64U << 10U;   // while a body comes in
constexpr std::size_t kProgressBytes = 16U << 10U;    // what resets the clock of a slow body or a slow reader
constexpr std::size_t kOutputKept = 256U << 10U;      // a larger buffer is given back when it is empty

std::int64_t ns(std::chrono::milliseconds ms) { return std::chrono::nanoseconds(ms).count(); }

// The tasks of a claim are held beside their text until that is written.
std::size_t ready_bytes_of(const Exchange& exchange) {
  return exchange.response.body.size() * (exchange.claimed.empty() ? 1 : 2);
}

// Assigning an empty string keeps the buffer.
void free_bytes(std::string& bytes) {
  bytes.clear();
  bytes.shrink_to_fit();
}

std::string_view content_type(ContentKind kind) {
  switch (kind) {
    case ContentKind::kNone: return "";
    case ContentKind::kJson: return "Content-Type: application/json; charset=utf-8\r\n";
    case ContentKind::kText: return "Content-Type: text/plain\r\n";
    case ContentKind::kOpenMetrics:
      return "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    case ContentKind::kMetrics: return "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
  }
  return "";
}

void append_status_line(std::string& out, int status) {
  switch (status) {  // the frequent ones in one piece
    case 200: out += "HTTP/1.1 200 OK\r\n"; return;
    case 202: out += "HTTP/1.1 202 Accepted\r\n"; return;
    case 204: out += "HTTP/1.1 204 No Content\r\n"; return;
    default: break;
  }
  out += "HTTP/1.1 ";
  append_number(out, status);
  out += ' ';
  out += reason_phrase(status);
  out += "\r\n";
}

}  // namespace

Connection::Connection(Loop& loop, asio::ip::tcp::socket socket)
    : loop_(loop),
      socket_(std::move(socket)),
      reader_({.header_bytes_max = loop.options.header_bytes_max, .body_bytes_max = loop.options.body_bytes_max}) {
  if (loop.options.tls) tls_ = std::make_unique<TlsSession>(loop.options.tls);
}

Connection::~Connection() { loop_.in_flight.change(-static_cast<std::ptrdiff_t>(accounted_)); }

void Connection::account() {
  const auto in = in_.capacity() > kReadBytesMin ? in_.capacity() - kReadBytesMin : 0;  // every connection has that
  const auto claimed = claimed_.empty() ? 0 : out_.size();
  const auto sealed = tls_ ? tls_->memory() : 0;
  const auto now =
      in + reader_.request().body.capacity() + held_bytes_ + ready_bytes_ + out_.capacity() + claimed + sealed;
  if (now == accounted_) return;
  loop_.in_flight.change(static_cast<std::ptrdiff_t>(now) - static_cast<std::ptrdiff_t>(accounted_));
  accounted_ = now;
}

void Connection::hold(const Exchange& exchange, int sign) {
  if (exchange.held == nullptr) return;
  const auto bytes = exchange.held->request.body.capacity();
  held_bytes_ = sign > 0 ? held_bytes_ + bytes : held_bytes_ - bytes;
}

bool Connection::refuses_request() {
  if (!loop_.in_flight.crowded()) return false;
  const auto found = match(reader_.request().method, reader_.request().target);
  return found.kind == Match::Kind::kRoute && loop_.in_flight.refuses(found.route);
}

std::int64_t Connection::now_ns() const { return loop_.api.clock().steady_ns(); }

void Connection::start() {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  waiting_since_ns_ = now_ns();
  read();
}

bool Connection::paused() const {
  return order_.size() >= loop_.options.pipelined_max || unsent() >= loop_.options.output_bytes_max / 2;
}

void Connection::forget_taken() {
  if (in_start_ != in_end_) return;
  in_start_ = in_end_ = 0;
  const auto held = tls_ ? in_.capacity() : in_.size();
  if (held > kReadBytesLarge || (held > kReadBytesMin && loop_.in_flight.tight())) free_bytes(in_);
}

void Connection::make_room() {
  forget_taken();
  const auto want = reader_.state() == RequestReader::State::kBody ? kReadBytesLarge : kReadBytesMin;
  if (in_.size() - in_end_ >= want / 2) return;
  in_.erase(0, in_start_);
  in_end_ -= in_start_;
  in_start_ = 0;
  if (in_.size() - in_end_ < want / 2) in_.resize(in_end_ + want);
}

void Connection::read() {
  if (reading_ || closed_ || input_ended_ || (!lingering_ && paused())) return;
  if (tls_) return read_sealed();
  make_room();
  reading_ = true;
  socket_.async_read_some(asio::buffer(in_.data() + in_end_, in_.size() - in_end_),
                          [self = shared_from_this()](const error_code& ec, std::size_t n) { self->on_read(ec, n); });
}

void Connection::on_read(const error_code& ec, std::size_t n) {
  reading_ = false;
  if (closed_) return;
  if (ec == asio::error::eof) return on_end_of_input();
  if (ec) return close();
  if (lingering_) return read();  // and forget it
  in_end_ += n;
  process();
  flush();
}

void Connection::on_end_of_input() {
  input_ended_ = true;
  // A client that only said it will send no more may still read; but nobody waits half-closed for a long poll, so one
  // that hangs up meanwhile has gone.
  const bool parked = std::any_of(order_.begin(), order_.end(), [](const auto& exchange) { return exchange->poll; });
  if (lingering_ || parked) return close();
  flush();
}

void Connection::process() {
  while (!closed_ && !no_more_requests_ && in_start_ < in_end_ && !paused()) {
    const auto before = reader_.state();
    const auto taken = reader_.feed(std::string_view(in_).substr(in_start_, in_end_ - in_start_));
    in_start_ += taken;
    const auto state = reader_.state();
    const auto idle = RequestReader::State::kIdle;
    const auto head = RequestReader::State::kHead;
    if (before == idle && state != idle) waiting_since_ns_ = now_ns();
    if ((before == idle || before == head) && state > head) {
      head_read_ns_ = body_since_ns_ = now_ns();
      body_bytes_then_ = 0;
    }
    if (state == RequestReader::State::kFailed) return refuse(reader_.error());
    if (state == RequestReader::State::kComplete) {
      take_request();
      continue;
    }
    if (state == RequestReader::State::kBody) {
      account();
      if (refuses_request()) return refuse({Code::kOverloaded, "overloaded, try again"});
      if (reader_.request().body.size() >= body_bytes_then_ + kProgressBytes) {
        body_bytes_then_ = reader_.request().body.size();
        body_since_ns_ = now_ns();
      }
      // What stays in the buffer now is a chunk's header or a trailer; those have no reason to be long.
      if (in_end_ - in_start_ > loop_.options.header_bytes_max) return refuse({Code::kBadRequest, "bad request"});
    }
    break;
  }
  // A client that asked whether to send its body is told so when all answers before it are out.
  if (reader_.state() == RequestReader::State::kBody && reader_.request().expect_continue && !continue_sent_ &&
      order_.empty() && !closed_) {
    continue_sent_ = true;
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

void Connection::take_request() {
  auto exchange = std::make_shared<Exchange>();
  exchange->inbox = loop_.inbox;
  exchange->connection = this;
  order_.push_back(exchange);
  if (draining_) reader_.request().keep_alive = false;
  account();
  loop_.api.start(exchange, reader_.request(), head_read_ns_, refuses_request());
  hold(*exchange, +1);
  if (!exchange->keep_alive) no_more_requests_ = true;
  if (exchange->ready) became_ready(*exchange);
  if (closed_) return;
  reader_.next();
  if (loop_.in_flight.tight()) reader_.request().body.shrink_to_fit();
  continue_sent_ = false;
  served_one_ = true;
  if (in_start_ < in_end_) waiting_since_ns_ = now_ns();
}

void Connection::refuse(const Error& error) {
  auto exchange = std::make_shared<Exchange>();
  exchange->inbox = loop_.inbox;
  exchange->connection = this;
  exchange->keep_alive = false;
  loop_.api.set_request_id(*exchange, reader_.request().request_id);
  Api::respond_error(*exchange, error);
  loop_.api.count_refused(*exchange);
  became_ready(*exchange);
  order_.push_back(std::move(exchange));
  no_more_requests_ = true;
  free_bytes(reader_.request().body);  // nobody will look at it
  account();
}

// A single answer may be as large as it has to be, but no further one is held for a client that does not read.
void Connection::became_ready(const Exchange& exchange) {
  if (unsent() > loop_.options.output_bytes_max) return close();
  ready_bytes_ += ready_bytes_of(exchange);
}

void Connection::answered(const Shared& exchange) {
  const auto self = shared_from_this();  // it may have to close
  hold(*exchange, -1);
  loop_.api.finish(exchange);
  if (!exchange->ready) return account();
  became_ready(*exchange);
  account();
  if (!closed_) loop_.mark_dirty(*this);
}

void Connection::append_response(Exchange& exchange) {
  const auto& response = exchange.response;
  append_status_line(out_, response.status);
  out_ += content_type(response.content);
  if (!exchange.request_id.empty()) {
    out_ += "X-Request-Id: ";
    out_ += exchange.request_id;
    out_ += "\r\n";
  }
  if (response.retry_after_seconds > 0) {
    out_ += "Retry-After: ";
    append_number(out_, response.retry_after_seconds);
    out_ += "\r\n";
  }
  if (!response.location.empty()) {
    out_ += "Location: ";
    out_ += response.location;
    out_ += "\r\n";
  }
  if (!exchange.keep_alive) out_ += "Connection: close\r\n";
  if (response.status != 204) {
    out_ += "Content-Length: ";
    append_number(out_, static_cast<std::int64_t>(response.body.size()));
    out_ += "\r\n";
  }
  out_ += "\r\n";
  if (!exchange.head_only) out_ += response.body;
}

// Encodes finished answers in order, but never more than a part of the bound ahead of the socket (one answer at least): the
// rest waits as it is, and a client that does not read is cut by the write time-out.
void Connection::collect() {
  while (!order_.empty() && order_.front()->ready && out_.size() - out_start_ < loop_.options.output_bytes_max / 2) {
    auto& exchange = *order_.front();
    if (draining_ && order_.size() == 1 && in_start_ == in_end_) exchange.keep_alive = false;
    if (!exchange.keep_alive) no_more_requests_ = true;
    ready_bytes_ -= ready_bytes_of(exchange);
    append_response(exchange);
    if (!exchange.claimed.empty()) claimed_.push_back({out_base_ + out_.size(), std::move(exchange.claimed)});
    exchange.connection = nullptr;
    order_.pop_front();
  }
}

void Connection::flush() {
  while (!closed_) {
    collect();
    if (write_waiting_) return;
    while (more_to_write()) {
      error_code ec;
      const auto n = tls_ ? write_sealed(ec)
                          : socket_.write_some(asio::buffer(out_.data() + out_start_, out_.size() - out_start_), ec);
      if (ec == asio::error::would_block || ec == asio::error::try_again) return wait_to_write();
      if (ec) return close();
      out_start_ += n;
    }
    finish_writing();
    if (closed_ || lingering_) return;
    // There may be room again for requests that waited in the buffer; what they answer at once goes out in another round.
    process();
    if (out_.empty() && (order_.empty() || !order_.front()->ready)) break;
  }
  if (closed_) return;
  if (input_ended_ && order_.empty()) return close();
  read();
  account();
}

// Everything that was ready has been handed to the kernel.
void Connection::finish_writing() {
  write_blocked_ = false;
  if (!out_.empty()) {
    out_base_ += out_.size();
    out_.clear();
    out_start_ = 0;
    if (out_.capacity() > kOutputKept || loop_.in_flight.tight()) out_.shrink_to_fit();
    claimed_.clear();
    if (order_.empty() && reader_.state() == RequestReader::State::kIdle) waiting_since_ns_ = now_ns();
  }
  if (order_.empty() && (no_more_requests_ || (draining_ && reader_.state() == RequestReader::State::kIdle))) linger();
}

void Connection::wait_to_write() {
  write_waiting_ = true;
  if (out_start_ >= kOutputKept) {  // what is written of a long answer need not be kept until its end
    out_.erase(0, out_start_);
    out_base_ += out_start_;
    out_start_ = 0;
    if (out_.capacity() > 2 * out_.size() + kOutputKept) out_.shrink_to_fit();
  }
  account();
  const auto written = out_base_ + out_start_;
  const auto progress = tls_ ? wire_written_ : written;
  if (!write_blocked_ || progress - written_then_ >= kProgressBytes) {
    write_since_ns_ = now_ns();
    written_then_ = progress;
  }
  write_blocked_ = true;
  while (!claimed_.empty() && claimed_.front().end <= written) claimed_.pop_front();
  socket_.async_wait(asio::ip::tcp::socket::wait_write, [self = shared_from_this()](const error_code& ec) {
    self->write_waiting_ = false;
    if (self->closed_) return;
    if (ec) return self->close();
    self->flush();
  });
}

// The client gets time to read our last bytes: closing with unread input would reset the connection and could take them
// back (RFC 9112, 9.6).
void Connection::linger() {
  if (lingering_ || closed_) return;
  if (input_ended_) return close();
  if (tls_) say_last();
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  lingering_ = true;
  linger_since_ns_ = now_ns();
  in_start_ = in_end_ = 0;
  free_bytes(in_);
  account();
  read();
}

void Connection::drain() {
  draining_ = true;
  if (closed_) return;
  if (lingering_ || (order_.empty() && out_start_ == out_.size() && reader_.state() == RequestReader::State::kIdle))
    close();
}

void Connection::tick(std::int64_t now) {
  if (closed_) return;
  const auto& options = loop_.options;
  if (lingering_) {
    if (draining_ || now - linger_since_ns_ >= ns(options.linger_timeout)) close();
    return;
  }
  if (write_waiting_) {
    if (now - write_since_ns_ >= ns(options.write_timeout)) return close();
    return;
  }
  if (no_more_requests_) return;
  switch (reader_.state()) {
    case RequestReader::State::kIdle:
      if (!order_.empty()) return;
      if (tls_ && tls_->before_hello()) read();  // one that waited for memory
      if (now - waiting_since_ns_ >= ns(served_one_ ? options.idle_timeout : options.header_timeout)) close();
      return;
    case RequestReader::State::kHead:
      if (now - waiting_since_ns_ < ns(options.header_timeout) || paused()) return;
      break;
    case RequestReader::State::kBody:
      if (now - body_since_ns_ < ns(options.body_timeout) || paused()) return;
      break;
    default: return;
  }
  refuse({Code::kRequestTimeout, "request timeout"});
  flush();
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  if (tls_) say_last();
  let_go();
  error_code ignored;
  socket_.close(ignored);
  loop_.remove(*this);
}

void Connection::let_go() {
  auto& api = loop_.api;
  for (const auto& exchange : order_) {
    exchange->connection = nullptr;
    if (!exchange->ready) api.client_gone(*exchange);
    if (!exchange->claimed.empty()) api.broker().undelivered(exchange->claimed);
  }
  order_.clear();
  const auto written = out_base_ + out_start_;
  for (const auto& claim : claimed_) {
    if (claim.end > written) api.broker().undelivered(claim.tasks);
  }
  claimed_.clear();
}

}  // namespace codeq::transport::http
