#include "transport/tls/session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "transport/tls/context.h"
#include "transport/tls/counters.h"
#include "transport/tls/handshake_guard.h"

namespace codeq::transport {

namespace {

constexpr std::size_t kRecordBytes = 16U << 10U;
constexpr std::size_t kWireKept = 32U << 10U;         // a larger buffer is given back when it is empty
constexpr std::size_t kHandshakeBytes = 45U << 10U;   // measured: what OpenSSL holds until the handshake is done

// A change of keys costs us some 10 us for 27 bytes of the client's, and is answered. Nobody needs many.
constexpr std::uint64_t kLateMessagesFree = 32;
constexpr std::uint64_t kPlainBytesPerLateMessage = 16U << 10U;

std::string subject_of(SSL* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return "";
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  // Control characters and bytes outside ASCII come out escaped.
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const auto bytes = BIO_get_mem_data(text.get(), &data);
  constexpr long kSubjectBytesMax = 1024;
  return {data, static_cast<std::size_t>(std::clamp(bytes, 0L, kSubjectBytesMax))};
}

}  // namespace

// OpenSSL's ends of the two wires. It reads straight from the bytes that the caller of `receive` holds (the part of a record
// that came too early is kept by OpenSSL itself) and appends to the session's `out_`.
struct TlsSession::Engine {
  std::string_view source;
  std::string& sink;
  HandshakeGuard guard;
  std::shared_ptr<SSL_CTX> context;  // what this session began with
  SSL* ssl = nullptr;
  std::uint64_t late_messages = 0;  // of handshakes, after the handshake
  std::uint64_t plain_bytes = 0;  // received
  bool open = false, too_many = false;

  explicit Engine(std::string& out) : sink(out) {}
  ~Engine() { SSL_free(ssl); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  void start();  // a session costs 9 KiB from here on

  static Engine& of(BIO* bio) { return *static_cast<Engine*>(BIO_get_data(bio)); }
  static int read(BIO* bio, char* to, int room) {
    auto& source = of(bio).source;
    BIO_clear_retry_flags(bio);
    const auto n = std::min(source.size(), static_cast<std::size_t>(std::max(room, 0)));
    if (n == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(to, source.data(), n);
    source.remove_prefix(n);
    return static_cast<int>(n);
  }
  static int write(BIO* bio, const char* from, int bytes) {
    BIO_clear_retry_flags(bio);
    if (bytes > 0) of(bio).sink.append(from, static_cast<std::size_t>(bytes));
    return bytes;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }
  static void message(int is_ours, int, int type, const void*, std::size_t, SSL*, void* engine) {
    auto& self = *static_cast<Engine*>(engine);
    if (is_ours != 0 || type != SSL3_RT_HANDSHAKE || !self.open) return;
    if (++self.late_messages <= kLateMessagesFree + self.plain_bytes / kPlainBytesPerLateMessage) return;
    self.too_many = true;
    self.source = {};  // OpenSSL comes back to us for more
  }
  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      auto* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "codeq");
      CHECK(fresh != nullptr);
      BIO_meth_set_read(fresh, &Engine::read);
      BIO_meth_set_write(fresh, &Engine::write);
      BIO_meth_set_ctrl(fresh, &Engine::control);
      BIO_meth_set_create(fresh, &Engine::create);
      return fresh;  // for the life of the process
    }();
    return made;
  }
};

TlsSession::TlsSession(std::shared_ptr<TlsContext> context)
    : context_(std::move(context)), engine_(std::make_unique<Engine>(out_)) {
  const std::scoped_lock lock(context_->mutex_);
  engine_->context = context_->current_;
}

TlsSession::~TlsSession() {
  // Who only looks whether the port is open has not tried to shake hands.
  if (state_ == State::kHandshake || !hello_.empty()) ++context_->counters_->handshakes_failed;
}

void TlsSession::Engine::start() {
  ssl = SSL_new(context.get());
  CHECK(ssl != nullptr);
  auto* bio = BIO_new(Engine::method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl, bio, bio);  // takes it
  SSL_set_accept_state(ssl);
  SSL_set_msg_callback(ssl, &Engine::message);
  SSL_set_msg_callback_arg(ssl, this);
}

std::size_t TlsSession::memory() const {
  return out_.capacity() + hello_.capacity() + (state_ == State::kHandshake ? kHandshakeBytes : 0);
}

void TlsSession::written(std::size_t bytes) {
  CHECK(bytes <= out_.size() - out_start_);
  out_start_ += bytes;
  if (out_start_ < out_.size()) return;
  out_.clear();
  out_start_ = 0;
  if (out_.capacity() > kWireKept) out_.shrink_to_fit();
}

Error TlsSession::failure() const {
  const auto code = ERR_peek_last_error();
  const auto text = tls_error_text();
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return {Code::kBadRequest, "TLS: " + text};
  switch (ERR_GET_REASON(code)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return {Code::kUnauthenticated, "TLS: the client shows no certificate"};
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return {Code::kUnauthenticated, std::string("TLS: the client's certificate is not accepted: ") +
                                          X509_verify_cert_error_string(SSL_get_verify_result(engine_->ssl))};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW: return {Code::kBadRequest, "TLS: the client offers no version from 1.2 on"};
    case SSL_R_NO_APPLICATION_PROTOCOL: return {Code::kBadRequest, "TLS: the client speaks another protocol (ALPN)"};
    default: return {Code::kBadRequest, "TLS: " + text};
  }
}

Result<void> TlsSession::fail_now(Error error) {
  if (state_ != State::kOpen) ++context_->counters_->handshakes_failed;
  state_ = State::kFailed;
  hello_ = {};
  engine_.reset();
  return std::unexpected(std::move(error));
}

// Nothing is computed, and little is kept, before a ClientHello is complete.
Result<void> TlsSession::greet(std::string_view wire) {
  switch (engine_->guard.look(wire, state_ == State::kHandshake && SSL_version(engine_->ssl) <= TLS1_2_VERSION)) {
    case HandshakeGuard::Verdict::kFine: break;
    case HandshakeGuard::Verdict::kNotTls: not_tls_ = true; return fail_now({Code::kBadRequest, "TLS is spoken here"});
    case HandshakeGuard::Verdict::kTooLarge:
      return fail_now({Code::kBadRequest, "TLS: a handshake message is too large"});
  }
  if (state_ == State::kHandshake) return {};
  hello_.append(wire);
  if (!engine_->guard.hello_complete()) return {};
  state_ = State::kHandshake;
  engine_->start();
  return {};
}

Result<void> TlsSession::handshake() {
  auto* ssl = engine_->ssl;
  const int done = SSL_do_handshake(ssl);
  if (done != 1) {
    if (SSL_get_error(ssl, done) == SSL_ERROR_WANT_READ) return {};
    return fail_now(failure());
  }
  state_ = State::kOpen;
  engine_->open = true;
  ++context_->counters_->handshakes;
  const unsigned char* protocol = nullptr;
  unsigned protocol_bytes = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &protocol_bytes);
  alpn_.assign(protocol, protocol + protocol_bytes);
  version_ = SSL_get_version(ssl);
  client_subject_ = subject_of(ssl);
  return {};
}

Result<void> TlsSession::receive(std::string_view wire, std::string& plain) {
  if (state_ == State::kFailed) return fail(Code::kBadRequest, "TLS: the session has failed before");
  if (input_ended_ || wire.empty()) return {};
  ERR_clear_error();
  engine_->source = wire;
  std::string hello;
  if (state_ != State::kOpen) {
    CODEQ_TRY_VOID(greet(wire));
    if (state_ == State::kHello) return {};
    if (!hello_.empty()) {  // which ends with `wire`
      hello = std::exchange(hello_, {});
      engine_->source = hello;
    }
    CODEQ_TRY_VOID(handshake());
  }
  std::array<char, kRecordBytes> buffer;
  while (state_ == State::kOpen) {
    std::size_t n = 0;
    const int done = SSL_read_ex(engine_->ssl, buffer.data(), buffer.size(), &n);
    if (done == 1) {
      plain.append(buffer.data(), n);
      engine_->plain_bytes += n;
      continue;
    }
    const auto why = SSL_get_error(engine_->ssl, done);
    if (engine_->too_many) return fail_now({Code::kBadRequest, "TLS: too many changes of keys"});
    if (why == SSL_ERROR_WANT_READ) break;
    if (why != SSL_ERROR_ZERO_RETURN) return fail_now(failure());
    input_ended_ = true;
    break;
  }
  engine_->source = {};
  return {};
}

Result<void> TlsSession::send(std::string_view plain) {
  CHECK(state_ == State::kOpen || state_ == State::kFailed);
  if (state_ == State::kFailed) return fail(Code::kBadRequest, "TLS: the session has failed before");
  if (plain.empty()) return {};
  ERR_clear_error();
  std::size_t n = 0;
  if (SSL_write_ex(engine_->ssl, plain.data(), plain.size(), &n) != 1) return fail_now(failure());
  CHECK(n == plain.size());  // the sink takes everything
  return {};
}

void TlsSession::close() {
  if (state_ != State::kOpen || std::exchange(close_sent_, true)) return;
  ERR_clear_error();
  SSL_shutdown(engine_->ssl);
  ERR_clear_error();
}

}  // namespace codeq::transport
