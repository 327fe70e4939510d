#include "transport/http/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "transport/wire_status.h"

namespace codeq::transport::http {

namespace {

constexpr std::size_t kReadBytes = 16U << 10U;  // all of it may be kept, where it is more requests than are taken at once
constexpr std::size_t kKernelBytes = 60U << 10U;  // of a socket whose body is still coming: what we may be handed at once
constexpr std::size_t kProgressBytes = 16U << 10U;    // what resets the clock of a slow body or a slow reader

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

std::size_t memory_of(const std::string& bytes) {
  static const auto within = std::string().capacity();  // of the object itself
  return bytes.capacity() > within ? bytes.capacity() : 0;
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

Connection::Connection(Loop& loop, Socket socket) : loop_(loop), socket_(std::move(socket)) {
  if (loop.options.tls) tls_ = std::make_unique<TlsSession>(loop.options.tls);
}

Connection::~Connection() { loop_.in_flight.change(-static_cast<std::ptrdiff_t>(accounted_)); }

void Connection::account() {
  const auto body = incoming_ ? memory_of(incoming_->reader.request().body) + incoming_->kernel_bytes : 0;
  const auto claimed = claimed_.empty() ? 0 : out_.size();
  const auto sealed = tls_ ? tls_->memory() : 0;
  const auto now = memory_of(in_) + body + held_bytes_ + ready_bytes_ + memory_of(out_) + claimed + sealed;
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
  const auto& request = incoming_->reader.request();
  const auto found = match(request.method, request.target);
  return loop_.in_flight.refuses(found.kind == Match::Kind::kRoute ? found.route : nullptr);
}

std::int64_t Connection::now_ns() const { return loop_.api.clock().steady_ns(); }

void Connection::start() {
  const int one = 1;
  ::setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  waiting_since_ns_ = now_ns();
  if (!loop_.poller->watch(socket_.fd(), *this)) close();
}

bool Connection::paused() const {
  return order_.size() >= loop_.options.pipelined_max || unsent() >= loop_.options.output_bytes_max / 2;
}

void Connection::on_ready(Ready ready) {
  if (closed_) return;
  readable_ = readable_ || ready.input;
  end_is_near_ = end_is_near_ || ready.ended;
  if (ready.output && write_waiting_) {
    write_waiting_ = false;
    flush();
  }
  if (ready.input) read_on();
}

// One read a turn, so that a client who sends without an end does not keep the others waiting.
void Connection::read() {
  if (readable_ && !closed_ && !input_ended_ && (lingering_ || !paused())) loop_.read_later(*this);
}

void Connection::read_on() {
  if (!readable_ || closed_ || input_ended_ || (!lingering_ && paused())) return;
  // Who has not said hello costs nothing yet, and can wait until there is memory for a handshake, or its time is over.
  if (tls_ && tls_->before_hello() && loop_.in_flight.crowded()) return;
  const auto room = state() == RequestReader::State::kBody || tls_ ? loop_.wire.size() : kReadBytes;
  const auto [outcome, n] = socket_.receive(loop_.wire.data(), room);
  switch (outcome) {
    case Socket::Outcome::kBlocked: readable_ = false; return;
    case Socket::Outcome::kEnded: return on_end_of_input();
    case Socket::Outcome::kFailed: return close();
    case Socket::Outcome::kMoved: break;
  }
  // What left room has emptied the socket, and what comes now is told anew; but not an end that was told already.
  if (n < room && !end_is_near_) readable_ = false;
  if (lingering_) return read();  // and forget it
  if (tls_) return unseal({loop_.wire.data(), n});
  take_fresh({loop_.wire.data(), n});
  flush();
}

void Connection::on_end_of_input() {
  input_ended_ = true;
  // A client that only said it will send no more may still read; but nobody waits half-closed for a long poll, so one
  // that hangs up meanwhile has gone.
  if (lingering_ || order_.any([](const Exchange& exchange) { return exchange.poll; })) return close();
  flush();
}

void Connection::take_fresh(std::string_view bytes) {
  if (!in_.empty()) {
    in_.erase(0, std::exchange(in_start_, 0));
    in_ += bytes;
    return take_kept();
  }
  const auto taken = take(bytes);
  if (taken < bytes.size() && !closed_ && !no_more_requests_) in_ = bytes.substr(taken);
  say_continue();
}

void Connection::take_kept() {
  if (!in_.empty()) {
    in_start_ += take(std::string_view(in_).substr(in_start_));
    if (no_more_requests_ || all_taken()) {
      in_start_ = 0;
      free_bytes(in_);
    }
  }
  say_continue();
}

std::size_t Connection::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (!closed_ && !no_more_requests_ && taken < bytes.size() && !paused()) {
    if (!incoming_) incoming_ = loop_.lend_incoming();
    auto& reader = incoming_->reader;
    const auto before = reader.state();
    taken += reader.feed(bytes.substr(taken));
    const auto after = reader.state();
    const auto idle = RequestReader::State::kIdle;
    const auto head = RequestReader::State::kHead;
    if (before == idle && after != idle) waiting_since_ns_ = now_ns();
    if ((before == idle || before == head) && after > head) {
      incoming_->head_read_ns = incoming_->body_since_ns = now_ns();
      incoming_->body_bytes_then = 0;
    }
    if (after == RequestReader::State::kFailed) {
      refuse(reader.error());
      break;
    }
    if (after == RequestReader::State::kComplete) {
      take_request(taken < bytes.size());
      continue;
    }
    if (after == RequestReader::State::kBody) {
      account();
      if (loop_.in_flight.full() || refuses_request()) {  // also where the route would need no memory: its body does
        refuse({Code::kOverloaded, "overloaded, try again"});
        break;
      }
      incoming_->kernel_bytes = kKernelBytes;  // from the next count on: it has been let in
      if (reader.request().body.size() >= incoming_->body_bytes_then + kProgressBytes) {
        incoming_->body_bytes_then = reader.request().body.size();
        incoming_->body_since_ns = now_ns();
      }
      // What is not taken now is a chunk's header or a trailer; those have no reason to be long.
      if (bytes.size() - taken > loop_.options.header_bytes_max) refuse({Code::kBadRequest, "bad request"});
    }
    break;
  }
  if (incoming_ && (closed_ || state() == RequestReader::State::kIdle)) loop_.give_back(std::move(incoming_));
  return taken;
}

// A client that asked whether to send its body is told so when all answers before it are out.
void Connection::say_continue() {
  if (state() != RequestReader::State::kBody || closed_ || no_more_requests_) return;
  if (!incoming_->reader.request().expect_continue || incoming_->continue_sent || !order_.empty()) return;
  incoming_->continue_sent = true;
  loop_.lend_output(out_);
  out_ += "HTTP/1.1 100 Continue\r\n\r\n";
}

void Connection::take_request(bool more_bytes) {
  auto& reader = incoming_->reader;
  auto exchange = std::make_shared<Exchange>();
  exchange->inbox = loop_.inbox;
  exchange->connection = this;
  order_.push_back(exchange);
  if (draining_) reader.request().keep_alive = false;
  account();
  loop_.api.start(exchange, reader.request(), incoming_->head_read_ns, refuses_request());
  hold(*exchange, +1);
  if (!exchange->keep_alive) no_more_requests_ = true;
  if (exchange->ready) became_ready(*exchange);
  if (closed_) return;
  reader.next();
  if (loop_.in_flight.tight()) reader.request().body.shrink_to_fit();
  incoming_->continue_sent = false;
  incoming_->kernel_bytes = 0;
  served_one_ = true;
  if (more_bytes) waiting_since_ns_ = now_ns();
}

void Connection::refuse(const Error& error) {
  auto exchange = std::make_shared<Exchange>();
  exchange->inbox = loop_.inbox;
  exchange->connection = this;
  exchange->keep_alive = false;
  loop_.api.set_request_id(*exchange, incoming_->reader.request().request_id);
  Api::respond_error(*exchange, error);
  loop_.api.count_refused(*exchange);
  became_ready(*exchange);
  order_.push_back(std::move(exchange));
  no_more_requests_ = true;
  loop_.give_back(std::move(incoming_));  // nobody will look at it
  account();
}

// A single answer may be as large as it has to be, but no further one is held for a client that does not read.
void Connection::became_ready(const Exchange& exchange) {
  if (unsent() > loop_.options.output_bytes_max) return close();
  ready_bytes_ += ready_bytes_of(exchange);
}

void Connection::answered(const Shared& exchange) {
  hold(*exchange, -1);
  // Nobody needs a token for this page, and it is large: those of one burst are made here one by one, each counted before the next.
  if (std::holds_alternative<Kept<observe::MetricsPage>>(exchange->answer) && loop_.in_flight.full())
    exchange->answer.emplace<Kept<observe::MetricsPage>>(fail(Code::kOverloaded, "overloaded, try again"));
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
  if (exchange.rare && !exchange.rare->location.empty()) {
    out_ += "Location: ";
    out_ += exchange.rare->location;
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
  while (order_.front_ready() && out_.size() - out_start_ < loop_.options.output_bytes_max / 2) {
    loop_.lend_output(out_);
    auto& exchange = *order_.front();
    if (draining_ && order_.size() == 1 && all_taken()) exchange.keep_alive = false;
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
      const auto outcome = tls_ ? write_sealed() : write_some();
      if (outcome == Socket::Outcome::kBlocked) return wait_to_write();
      if (outcome != Socket::Outcome::kMoved) return close();
    }
    finish_writing();
    if (closed_ || lingering_) return;
    // There may be room again for requests that waited in the buffer; what they answer at once goes out in another round.
    take_kept();
    if (out_.empty() && !order_.front_ready()) break;
  }
  if (closed_) return;
  if (input_ended_ && order_.empty()) return close();
  read();
  account();
}

Socket::Outcome Connection::write_some() {
  const auto [outcome, n] = socket_.send(std::string_view(out_).substr(out_start_));
  out_start_ += n;
  return outcome;
}

// Everything that was ready has been handed to the kernel.
void Connection::finish_writing() {
  write_blocked_ = false;
  if (!out_.empty()) {
    out_base_ += out_.size();
    out_.clear();
    out_start_ = 0;
    if (!claimed_.empty()) claimed_ = {};
    if (order_.empty() && state() == RequestReader::State::kIdle) waiting_since_ns_ = now_ns();
  }
  loop_.give_back_output(out_);
  if (order_.empty() && (no_more_requests_ || (draining_ && state() == RequestReader::State::kIdle))) linger();
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
  const auto whole = std::ranges::find_if(claimed_, [&](const Claimed& claim) { return claim.end > written; });
  claimed_.erase(claimed_.begin(), whole);
}

// The client gets time to read our last bytes: closing with unread input would reset the connection and could take them
// back (RFC 9112, 9.6).
void Connection::linger() {
  if (lingering_ || closed_) return;
  if (input_ended_) return close();
  if (tls_) say_last();
  socket_.finish_sending();
  lingering_ = true;
  linger_since_ns_ = now_ns();
  in_start_ = 0;
  free_bytes(in_);
  account();
  read();
}

void Connection::drain() {
  draining_ = true;
  if (closed_) return;
  if (lingering_ || (order_.empty() && out_start_ == out_.size() && state() == RequestReader::State::kIdle))
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
  switch (state()) {
    case RequestReader::State::kIdle:
      if (!order_.empty()) return;
      if (tls_ && tls_->before_hello()) read();  // one that waited for memory
      if (now - waiting_since_ns_ >= ns(served_one_ ? options.idle_timeout : options.header_timeout)) close();
      return;
    case RequestReader::State::kHead:
      if (now - waiting_since_ns_ < ns(options.header_timeout) || paused()) return;
      break;
    case RequestReader::State::kBody:
      if (now - incoming_->body_since_ns < ns(options.body_timeout) || paused()) return;
      break;
    default: return;
  }
  refuse({Code::kRequestTimeout, "request timeout"});
  flush();
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  if (tls_) say_last();
  let_go();
  socket_.close();
  loop_.remove(*this);
}

void Connection::let_go() {
  auto& api = loop_.api;
  while (!order_.empty()) {
    const auto exchange = order_.pop_front();
    exchange->connection = nullptr;
    if (!exchange->ready) api.client_gone(*exchange);
    if (!exchange->claimed.empty()) api.broker().undelivered(exchange->claimed);
  }
  const auto written = out_base_ + out_start_;
  for (const auto& claim : claimed_) {
    if (claim.end > written) api.broker().undelivered(claim.tasks);
  }
  claimed_.clear();
}

}  // namespace codeq::transport::http
