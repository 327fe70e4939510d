#include "transport/grpc/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstring>

#include "transport/grpc/health_call.h"
#include "transport/grpc/producer_call.h"
#include "transport/grpc/worker_call.h"

namespace codeq::transport::grpc {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t kOutputAhead = 256U << 10U;    // packed for the socket at one time
constexpr std::size_t kProgressBytes = 16U << 10U;   // what resets the clock of a slow message
constexpr std::size_t kKeptBytes = 64U << 10U;       // a larger buffer is given back when it is empty
constexpr std::size_t kReadsPerTurn = 4;             // of a full buffer, before others get their turn
constexpr std::size_t kStrayBytesPerSecond = 32U << 20U;  // DATA of streams that are over
constexpr auto kStalledWhenCrowded = std::chrono::milliseconds(2'000);  // unread output that takes what others need
constexpr auto kLinger = std::chrono::milliseconds(2'000);  // after our last byte, for the client to read it

constexpr std::string_view kProducerService = "producerpb.ProducerStream";
constexpr std::string_view kWorkerService = "workerpb.WorkerStream";

std::int64_t ns(std::chrono::milliseconds ms) { return std::chrono::nanoseconds(ms).count(); }

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 copies both; its interface is just not const.
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// grpc-message: printable ASCII as it is, the rest and '%' as %XX (PROTOCOL-HTTP2.md, "Percent-Encoded").
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

std::vector<std::string_view> views(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

}  // namespace

// ---------------------------------------------------------------- a connection's beginning

Connection::Connection(Loop& loop, tcp::socket socket, const GrpcListener& services)
    : loop_(loop), socket_(std::move(socket)), services_(services) {
  if (services.tls) tls_ = std::make_unique<TlsSession>(services.tls);
}

Connection::~Connection() {
  loop_.held.fetch_sub(static_cast<std::ptrdiff_t>(held_));
  if (session_ != nullptr) nghttp2_session_del(session_);
}

std::shared_ptr<Connection> Connection::open(Loop& loop, tcp::socket socket, const GrpcListener& services) {
  std::shared_ptr<Connection> connection(new Connection(loop, std::move(socket), services));
  return connection->make_session() ? connection : nullptr;
}

bool Connection::make_session() {
  const auto& options = loop_.options;
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* settings = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
  const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> owned(
      callbacks, nghttp2_session_callbacks_del);
  if (nghttp2_option_new(&settings) != 0) return false;
  const std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> owned_settings(settings, nghttp2_option_del);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, &on_begin_frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &on_frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_stream_close);
  nghttp2_option_set_no_auto_window_update(settings, 1);
  nghttp2_option_set_no_closed_streams(settings, 1);
  nghttp2_option_set_stream_reset_rate_limit(settings, options.reset_burst, options.reset_per_second);
  nghttp2_option_set_max_continuations(settings, options.continuations_max);
  nghttp2_option_set_max_settings(settings, options.settings_max);
  nghttp2_option_set_max_outbound_ack(settings, options.acks_unsent_max);
  nghttp2_option_set_max_deflate_dynamic_table_size(settings, 4096);
  if (nghttp2_session_server_new2(&session_, callbacks, this, settings) != 0) return false;
  const std::array<nghttp2_settings_entry, 4> offer = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.streams_max},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window_bytes},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options.header_bytes_max)},
       {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096}}};
  // The window of the connection is that of all its streams together: what bounds memory is the window of each.
  constexpr std::int32_t kConnectionWindow = 16 << 20;
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, offer.data(), offer.size()) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

void Connection::start() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  heard_ns_ = idle_since_ns_ = loop_.deps.clock.steady_ns();
  flush();  // our SETTINGS
  wait_to_read();
}

// ---------------------------------------------------------------- in

void Connection::wait_to_read() {
  if (reading_ || closed_) return;
  if (tls_ && tls_->before_hello() && loop_.crowded()) return;  // a handshake needs memory; `tick` looks again
  reading_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& ec) {
    self->reading_ = false;
    if (self->closed_) return;
    if (ec) return self->close();
    self->read();
  });
}

void Connection::read() {
  auto& buffer = loop_.buffer;
  for (std::size_t turn = 0; turn < kReadsPerTurn; ++turn) {
    error_code ec;
    const auto n = socket_.read_some(asio::buffer(buffer.data(), buffer.size()), ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) break;
    if (ec) return close();
    heard_ns_ = received_ns_ = loop_.deps.clock.steady_ns();
    pinged_ns_ = 0;
    if (!lingering_ && !feed(std::string_view(buffer.data(), n))) break;
    if (n < buffer.size()) break;
  }
  flush();
  wait_to_read();
}

bool Connection::feed(std::string_view bytes) {
  if (tls_) {
    thread_local std::string plain;
    plain.clear();
    const auto received = tls_->receive(bytes, plain);
    account_tls();
    if (!received) {  // what it has to say (an alert) still goes out
      said_goodbye_ = cut_ = true;
      return false;
    }
    if (tls_->input_ended()) said_goodbye_ = true;
    return plain.empty() || take(plain);
  }
  return take(bytes);
}

bool Connection::take(std::string_view bytes) {
  const auto taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) {
    cut_ = true;
    // Not HTTP/2, or a flood that nghttp2 has no frame for. What it has to say (GOAWAY) still goes out.
    if (taken != NGHTTP2_ERR_BAD_CLIENT_MAGIC) nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
    said_goodbye_ = true;
    return false;
  }
  return true;
}

int Connection::on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& self = *static_cast<Connection*>(user);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto slot = std::make_unique<Slot>();
  slot->connection = &self;
  slot->id = frame->hd.stream_id;
  nghttp2_session_set_stream_user_data(session, slot->id, slot.get());
  self.slots_.emplace(slot->id, std::move(slot));
  return 0;
}

int Connection::on_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name_bytes,
                          std::size_t name_size, const std::uint8_t* value_bytes, std::size_t value_size, std::uint8_t,
                          void* user) {
  auto& self = *static_cast<Connection*>(user);
  auto* slot = static_cast<Slot*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
  if (slot == nullptr || slot->opened) return 0;
  const std::string_view name(reinterpret_cast<const char*>(name_bytes), name_size);
  const std::string_view value(reinterpret_cast<const char*>(value_bytes), value_size);
  slot->header_bytes += name_size + value_size + 32;  // as RFC 9113 6.5.2 counts
  if (slot->header_bytes > self.loop_.options.header_bytes_max) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (name == ":path") slot->path = value;
  if (name == ":method") slot->method = value;
  if (name == "content-type") slot->content_type = value;
  if (name == "grpc-encoding") slot->encoding = value;
  if (name == "traceparent") slot->traceparent.emplace_back(value);
  if (name == "tracestate") slot->tracestate.emplace_back(value);
  if (name == "baggage") slot->baggage.emplace_back(value);
  return 0;
}

int Connection::on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& self = *static_cast<Connection*>(user);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      auto* slot = static_cast<Slot*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
      if (slot == nullptr) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS && !slot->opened) self.open_call(*slot);
      if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0) self.count_idle_frame();
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        slot->input_over = true;
        self.touch(*slot);
      }
      return 0;
    }
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY: self.count_idle_frame(); return 0;
    default: return 0;
  }
}

void Connection::new_second() {
  if (received_ns_ - idle_second_ns_ < kNanosPerSecond) return;
  idle_second_ns_ = received_ns_;
  idle_frames_ = stray_bytes_ = 0;
}

// gRPC clients measure the path with PINGs while we send (a bandwidth probe), so frames that we have sent clear the count.
void Connection::count_idle_frame() {
  new_second();
  if (++idle_frames_ > loop_.options.idle_frames_per_second) end_with(NGHTTP2_ENHANCE_YOUR_CALM);
}

// What was under way when a stream ended is dropped by nghttp2; who goes on sending it is cut.
int Connection::on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* frame, void* user) {
  auto& self = *static_cast<Connection*>(user);
  if (frame->type != NGHTTP2_DATA || nghttp2_session_get_stream_user_data(session, frame->stream_id) != nullptr)
    return 0;
  self.new_second();
  self.stray_bytes_ += frame->length;
  if (self.stray_bytes_ > kStrayBytesPerSecond) self.end_with(NGHTTP2_ENHANCE_YOUR_CALM);
  return 0;
}

int Connection::on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                        std::size_t size, void* user) {
  auto& self = *static_cast<Connection*>(user);
  // Other streams must not wait for one that is not read: its own window is what holds it.
  nghttp2_session_consume_connection(session, size);
  auto* slot = static_cast<Slot*>(nghttp2_session_get_stream_user_data(session, id));
  if (slot == nullptr || slot->call == nullptr || slot->call->ending) {
    nghttp2_session_consume_stream(session, id, size);
    return 0;
  }
  slot->owed += size;
  slot->reader.feed({reinterpret_cast<const char*>(bytes), size});
  self.touch(*slot);
  self.go_on(*slot);
  return 0;
}

// ---------------------------------------------------------------- calls

void Connection::open_call(Slot& slot) {
  slot.opened = true;
  served_one_ = true;
  if (slot.method != "POST" || !slot.content_type.starts_with("application/grpc")) {
    const std::array headers = {header(":status", "415")};
    nghttp2_submit_response(session_, slot.id, headers.data(), headers.size(), nullptr);
    return;
  }
  if (draining_) return refuse(slot, number_of(GrpcStatus::kUnavailable), "the broker is stopping");
  if (!slot.encoding.empty() && slot.encoding != "identity")
    return refuse(slot, kUnimplemented, "compression is not supported");
  if (crowded()) return refuse(slot, number_of(GrpcStatus::kResourceExhausted), "overloaded, try again");
  slot.call = make_call(slot);
  if (slot.call == nullptr) return refuse(slot, kUnimplemented, "unknown service or method");
  slot.call->slot = &slot;
  const std::array headers = {header(":status", "200"), header("content-type", "application/grpc"),
                              header("grpc-accept-encoding", "identity")};
  nghttp2_data_provider body{};
  body.source.ptr = &slot;
  body.read_callback = &on_read_output;
  nghttp2_submit_response(session_, slot.id, headers.data(), headers.size(), &body);
}

// "Trailers-Only" of gRPC over HTTP/2.
void Connection::refuse(Slot& slot, int status, std::string_view message) {
  const auto number = std::to_string(status);
  const auto text = percent_encoded(message);
  const std::array headers = {header(":status", "200"), header("content-type", "application/grpc"),
                              header("grpc-status", number), header("grpc-message", text),
                              header("grpc-accept-encoding", "identity")};
  slot.trailers = true;
  nghttp2_submit_response(session_, slot.id, headers.data(), headers.size(), nullptr);
}

std::shared_ptr<Call> Connection::make_call(const Slot& slot) {
  const auto traceparent = views(slot.traceparent), tracestate = views(slot.tracestate), baggage = views(slot.baggage);
  const auto metadata = [&] {
    return core::extract({.traceparent = traceparent, .tracestate = tracestate, .baggage = baggage});
  };
  const std::string_view path = slot.path;
  if (services_.producers && path == "/producerpb.ProducerStream/Stream")
    return std::make_shared<ProducerCall>(loop_.deps, loop_.mailbox, metadata());
  if (services_.workers && path == "/workerpb.WorkerStream/Stream")
    return std::make_shared<WorkerCall>(loop_.deps, loop_.mailbox, metadata());
  const bool check = path == "/grpc.health.v1.Health/Check";
  if (check || path == "/grpc.health.v1.Health/Watch") {
    std::vector<std::string_view> services;
    if (services_.producers) services.push_back(kProducerService);
    if (services_.workers) services.push_back(kWorkerService);
    return std::make_shared<HealthCall>(loop_.deps, loop_.mailbox, std::move(services), !check);
  }
  return nullptr;
}

void Connection::touch(Slot& slot) {
  if (std::exchange(slot.touched, true)) return;
  touched_.push_back(&slot);
}

void Connection::answered(Slot& slot) {
  touch(slot);
  loop_.mark_dirty(*this);
}

void Connection::go_on(Slot& slot) {
  if (slot.call == nullptr) return;
  auto& call = *slot.call;
  std::string_view message;
  bool whole = false;
  while (!call.ending && !call.paused()) {
    const auto state = slot.reader.next(call.message_bytes_max(), message);
    if (state == FrameReader::State::kNeedsMore) break;
    switch (state) {
      case FrameReader::State::kMessage:
        whole = true;
        call.message(message, received_ns_);
        break;
      case FrameReader::State::kTooLarge:
        call.finish(number_of(GrpcStatus::kResourceExhausted), "a message is larger than this server takes");
        break;
      case FrameReader::State::kCompressed: call.finish(kUnimplemented, "compression is not supported"); break;
      case FrameReader::State::kNeedsMore: break;
    }
  }
  if (call.ending) slot.reader.release();
  slot.reader.compact();
  const bool stuck = !call.ending && call.paused();
  // Where memory is spent, a message that is half here waits for the rest of its window; `tick` looks again.
  const bool held_back = !slot.reader.empty() && must_wait(slot);
  if (!stuck && !held_back && slot.owed > 0)
    nghttp2_session_consume_stream(session_, slot.id, std::exchange(slot.owed, 0));
  // Who is made to wait for another stream's message is not late with its own.
  if (slot.reader.empty() || stuck || (held_back && !loop_.crowded())) {
    slot.partial_since_ns = 0;
  } else if (whole || slot.partial_since_ns == 0 || slot.reader.pending() >= slot.partial_then + kProgressBytes) {
    slot.partial_since_ns = received_ns_;
    slot.partial_then = slot.reader.pending();
  }
}

// What a burst has touched: calls ask the Broker, the output wakes.
void Connection::work() {
  for (std::size_t i = 0; i < touched_.size(); ++i) {  // it may grow meanwhile
    auto& slot = *touched_[i];
    slot.touched = false;
    if (slot.call == nullptr) continue;
    auto& call = *slot.call;
    go_on(slot);  // it may have been paused
    call.ending ? call.ask_rest() : call.burst_over();
    if (slot.input_over && !slot.told_input_over && !call.ending && !call.paused()) {
      slot.told_input_over = true;
      if (!slot.reader.empty())
        call.finish(number_of(GrpcStatus::kInvalidArgument), "the last message is cut off");
      else
        call.half_closed();
    }
    if ((call.unsent() > 0 || call.ending) && std::exchange(slot.deferred, false))
      nghttp2_session_resume_data(session_, slot.id);
    account(slot);
  }
  touched_.clear();
}

void Connection::account_tls() {
  account(tls_accounted_, tls_ ? tls_->memory() : 0);
}

void Connection::account(std::size_t& accounted, std::size_t now) {
  loop_.held.fetch_add(static_cast<std::ptrdiff_t>(now) - static_cast<std::ptrdiff_t>(accounted),
                       std::memory_order_relaxed);
  held_ += now - accounted;  // modulo 2^64 where it is less
  accounted = now;
}

bool Connection::crowded() const {
  const auto all = loop_.options.in_flight_bytes_max;
  return loop_.crowded() || (loop_.holds_more_than(all / 2) && held_ > all / 8);
}

// Whether the rest of a message that is half here has to wait. Where only this client has more than its share, the message on
// its oldest stream goes on, so that one after the other gets done.
bool Connection::must_wait(const Slot& slot) const {
  if (loop_.crowded()) return true;
  if (!crowded()) return false;
  for (const auto& [id, other] : slots_)
    if (id < slot.id && !other->reader.empty()) return true;
  return false;
}

void Connection::account(Slot& slot) {
  const auto now =
      slot.reader.capacity() + (slot.call == nullptr ? 0 : slot.call->output.capacity() + slot.call->held_bytes());
  account(slot.accounted, now);
}

// ---------------------------------------------------------------- out

ssize_t Connection::on_read_output(nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t room,
                                   std::uint32_t* flags, nghttp2_data_source* source, void* user) {
  auto& self = *static_cast<Connection*>(user);
  auto& slot = *static_cast<Slot*>(source->ptr);
  auto& call = *slot.call;
  const auto part = std::min(room, call.unsent());
  if (part > 0) {
    std::memcpy(out, call.output.data() + call.output_start, part);
    call.output_start += part;
    slot.packed += part;
    self.idle_frames_ = 0;
    if (call.unsent() == 0) {
      call.output.clear();
      call.output_start = 0;
      if (call.output.capacity() > kKeptBytes) call.output.shrink_to_fit();
      self.touch(slot);  // it may have waited for room
    } else if (call.output_start > kOutputAhead) {
      call.output.erase(0, call.output_start);
      call.output_start = 0;
    }
    if (!call.handed.empty() && call.handed.front().end <= slot.packed) self.handing_.push_back(&slot);
  }
  if (call.unsent() > 0) return static_cast<ssize_t>(part);
  if (call.ending) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const auto status = std::to_string(call.ending->status);
    const auto text = percent_encoded(call.ending->message);
    const std::array trailer = {header("grpc-status", status), header("grpc-message", text)};
    nghttp2_submit_trailer(session, id, trailer.data(), text.empty() ? 1 : 2);
    slot.trailers = true;
    return static_cast<ssize_t>(part);
  }
  if (part > 0) return static_cast<ssize_t>(part);
  slot.deferred = true;
  return NGHTTP2_ERR_DEFERRED;
}

// A client can make us end streams by what it sends on them, again and again.
void Connection::count_own_reset() {
  const auto& options = loop_.options;
  const auto burst = static_cast<double>(options.reset_burst);
  const auto now = loop_.deps.clock.steady_ns();
  const auto back =
      static_cast<double>(now - resets_then_ns_) / kNanosPerSecond * static_cast<double>(options.reset_per_second);
  resets_left_ = resets_then_ns_ == 0 ? burst : std::min(burst, resets_left_ + back);
  resets_then_ns_ = now;
  resets_left_ -= 1;
  if (resets_left_ < 0) end_with(NGHTTP2_ENHANCE_YOUR_CALM);
}

int Connection::on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& self = *static_cast<Connection*>(user);
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    // A client that sends beyond its window does not speak HTTP/2: nothing that it sends is worth reading.
    if (frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR) self.end_with(NGHTTP2_FLOW_CONTROL_ERROR);
    self.count_own_reset();
  }
  // The RPC is over for us; a client that is still sending is told so, as gRPC servers do.
  const bool last = frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (last && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return 0;
}

int Connection::on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t error_code, void* user) {
  auto& self = *static_cast<Connection*>(user);
  const auto it = self.slots_.find(id);
  if (it == self.slots_.end()) return 0;
  self.stream_over(*it->second, error_code);
  self.slots_.erase(it);
  if (self.slots_.empty()) self.idle_since_ns_ = self.loop_.deps.clock.steady_ns();
  return 0;
}

void Connection::stream_over(Slot& slot, std::uint32_t error_code) {
  account(slot.accounted, 0);
  std::erase(touched_, &slot);
  std::erase(handing_, &slot);
  if (slot.call == nullptr) return;
  slot.call->slot = nullptr;
  slot.call->ask_rest();
  slot.call->gone();
  for (auto& handed : slot.call->handed) loop_.deps.broker.undelivered(std::move(handed.leases));
  slot.call->handed.clear();
  if (error_code == NGHTTP2_NO_ERROR) return;
  // A client that cancels reads no more of this stream: what its machine has not got yet, it will never get.
  const auto got = acknowledged();
  for (auto& given : given_) {
    if (given.stream != slot.id || given.end <= got) continue;
    loop_.deps.broker.undelivered(std::exchange(given.leases, {}));
  }
}

bool Connection::fill() {
  while (out_.size() - out_start_ < kOutputAhead) {
    const std::uint8_t* bytes = nullptr;
    const auto made = nghttp2_session_mem_send(session_, &bytes);
    if (made < 0) return false;
    if (made == 0) return true;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(made));
    note_handed();
  }
  return true;
}

void Connection::note_handed() {
  for (auto* slot : handing_) {
    auto& handed = slot->call->handed;
    while (!handed.empty() && handed.front().end <= slot->packed) {
      given_leases_ += handed.front().leases.size();
      given_.push_back({out_base_ + out_.size(), slot->id, std::move(handed.front().leases)});
      handed.pop_front();
    }
  }
  handing_.clear();
}

void Connection::forget_acknowledged() {
  const auto got = acknowledged();
  for (; !given_.empty() && given_.front().end <= got; given_.pop_front())
    given_leases_ -= std::min(given_leases_, given_.front().leases.size());
  if (given_.empty()) given_leases_ = 0;
}

void Connection::flush() {
  if (write_waiting_ && !closed_ && !lingering_) work();  // what has come is asked, whether or not answers can leave
  while (!closed_ && !write_waiting_) {
    if (!lingering_) {
      work();
      if (!fill()) return close();
    }
    const auto before = out_base_ + out_start_;
    if (!write_out()) return;
    if (out_base_ + out_start_ == before) break;
    // Kept until the client's machine has them; `tick` looks too.
    constexpr std::size_t kGivenKept = 64, kLeasesKept = 4096;
    if (given_.size() > kGivenKept || given_leases_ > kLeasesKept) forget_acknowledged();
  }
  if (closed_ || write_waiting_ || lingering_) return;
  if (draining_ && slots_.empty() && !said_goodbye_) {
    end_with(NGHTTP2_NO_ERROR);
    return flush();
  }
  const bool over = nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (over || (said_goodbye_ && nghttp2_session_want_write(session_) == 0)) return linger();
}

bool Connection::write_bytes(std::string_view bytes, std::size_t& written) {
  error_code ec;
  written = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), ec);
  if (!ec) return true;
  written = 0;
  if (ec == asio::error::would_block || ec == asio::error::try_again)
    wait_to_write();
  else
    close();
  return false;
}

bool Connection::write_out() {
  std::size_t written = 0;
  if (tls_) {
    if (out_start_ < out_.size() && tls_->established()) {
      if (!tls_->send(std::string_view(out_).substr(out_start_))) return close(), false;
      out_start_ = out_.size();
      sealed_.push_back({out_base_ + out_start_, cipher_written_ + tls_->wire().size()});
    }
    while (!tls_->wire().empty()) {
      if (!write_bytes(tls_->wire(), written)) return false;
      tls_->written(written);
      cipher_written_ += written;
    }
    if (sealed_.size() > 64) static_cast<void>(acknowledged());
  }
  while (!tls_ && out_start_ < out_.size()) {
    if (!write_bytes(std::string_view(out_).substr(out_start_), written)) return false;
    out_start_ += written;
  }
  if (out_start_ < out_.size()) return true;  // the handshake is still under way
  out_base_ += out_.size();
  out_.clear();
  out_start_ = 0;
  if (out_.capacity() > kKeptBytes) out_.shrink_to_fit();
  return true;
}

void Connection::end_with(std::uint32_t error_code) {
  if (std::exchange(said_goodbye_, true)) return;
  cut_ = error_code != NGHTTP2_NO_ERROR;
  nghttp2_session_terminate_session(session_, error_code);
  loop_.mark_dirty(*this);
}

void Connection::wait_to_write() {
  write_waiting_ = true;
  write_since_ns_ = loop_.deps.clock.steady_ns();
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code& ec) {
    self->write_waiting_ = false;
    if (self->closed_) return;
    if (ec) return self->close();
    self->flush();
  });
}

// The client gets time to read our last bytes: closing with unread input would reset the connection.
void Connection::linger() {
  if (tls_) {
    tls_->close();
    if (!write_out()) return;
  }
  if (cut_) return close();
  if (std::exchange(lingering_, true)) return;
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  linger_since_ns_ = loop_.deps.clock.steady_ns();
}

std::uint64_t Connection::acknowledged() {
  const auto written = tls_ ? cipher_written_ : out_base_ + out_start_;
  int unacknowledged = 0;
  if (!socket_.is_open() || ::ioctl(socket_.native_handle(), SIOCOUTQ, &unacknowledged) != 0 || unacknowledged < 0)
    unacknowledged = 0;
  const auto got = written - std::min<std::uint64_t>(written, static_cast<std::uint64_t>(unacknowledged));
  if (!tls_) return got;
  for (; !sealed_.empty() && sealed_.front().cipher_end <= got; sealed_.pop_front())
    plain_acknowledged_ = sealed_.front().plain_end;
  return plain_acknowledged_;
}

// ---------------------------------------------------------------- the end

void Connection::drain() {
  if (std::exchange(draining_, true) || closed_) return;
  nghttp2_submit_shutdown_notice(session_);
  for (auto& [id, slot] : slots_) {
    if (slot->call == nullptr) continue;
    slot->call->drain();
    touch(*slot);
  }
  flush();
}

void Connection::tick(std::int64_t now) {
  if (closed_) return;
  const auto& options = loop_.options;
  if (lingering_) {
    if (now - linger_since_ns_ >= ns(draining_ ? std::chrono::milliseconds(0) : kLinger)) close();
    return;
  }
  if (write_waiting_ && now - write_since_ns_ >= ns(options.write_timeout)) return close();
  if (slots_.empty()) {
    if (now - idle_since_ns_ >= ns(served_one_ ? options.idle_timeout : options.open_timeout)) {
      served_one_ ? end_with(NGHTTP2_NO_ERROR) : close();
      return;
    }
  }
  if (pinged_ns_ != 0) {
    if (now - pinged_ns_ >= ns(options.keepalive_timeout)) return close();
  } else if (now - heard_ns_ >= ns(options.keepalive_after)) {
    pinged_ns_ = now;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    loop_.mark_dirty(*this);
  }
  if (!given_.empty()) forget_acknowledged();
  if (tls_) {
    account_tls();
    wait_to_read();
  }
  for (auto& [id, slot] : slots_) {
    if (slot->call == nullptr) continue;
    auto& call = *slot->call;
    call.tick(now);
    if (slot->partial_since_ns != 0 && now - slot->partial_since_ns >= ns(options.message_timeout))
      call.finish(number_of(GrpcStatus::kDeadlineExceeded), "a message did not arrive in time");
    if (call.unsent() == 0 || slot->packed != std::exchange(slot->packed_then, slot->packed)) {
      slot->stalled_since_ns = 0;
    } else if (slot->stalled_since_ns == 0) {
      slot->stalled_since_ns = now;
    } else if (now - slot->stalled_since_ns >= ns(kStalledWhenCrowded) && crowded()) {
      // It holds what others need and does not read; what waits there for it goes back.
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_ENHANCE_YOUR_CALM);
      loop_.mark_dirty(*this);
    }
    if (call.ending || call.unsent() > 0 || slot->owed > 0) answered(*slot);
  }
  if (dirty) flush();
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  const auto got = acknowledged();
  auto& broker = loop_.deps.broker;
  for (auto& [id, slot] : slots_) stream_over(*slot, NGHTTP2_NO_ERROR);
  slots_.clear();
  for (const auto& given : given_)
    if (given.end > got && !given.leases.empty()) broker.undelivered(given.leases);
  given_.clear();
  error_code ignored;
  socket_.close(ignored);
  loop_.remove(*this);
}

}  // namespace codeq::transport::grpc
