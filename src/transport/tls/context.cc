#include "transport/tls/context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "transport/tls/counters.h"

namespace codeq::transport {

namespace {

// Forward secrecy and authenticated encryption; TLS 1.3 has nothing else anyway.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr long kTicketSeconds =
    300;  // a resumed session is not checked again, so it shall not outlive a revoked client for long
constexpr long kClientChainBytesMax = 32L << 10;
constexpr unsigned char kSessionIdContext[] = "codeq";

// What changes when somebody puts another file there, also by a rename or behind a symbolic link.
std::string stamp_of(const std::string& path) {
  struct stat info{};
  if (path.empty()) return "-;";
  if (::stat(path.c_str(), &info) != 0) return "?;";
  return std::to_string(info.st_dev) + "," + std::to_string(info.st_ino) + "," + std::to_string(info.st_size) + "," +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + ";";
}

std::string stamp_of(const TlsOptions& options) {
  return stamp_of(options.certificate_file) + stamp_of(options.key_file) + stamp_of(options.client_ca_file);
}

// OpenSSL would wait for a writer of a named pipe, and says little about folders.
Result<void> check_file(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return fail(Code::kInvalidArgument, path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fail(Code::kInvalidArgument, path + " is not a file");
  constexpr off_t kFileBytesMax = 4 << 20;
  if (info.st_size > kFileBytesMax) return fail(Code::kInvalidArgument, path + " is too large for a PEM file");
  if (::access(path.c_str(), R_OK) != 0) return fail(Code::kInvalidArgument, path + ": " + std::strerror(errno));
  return {};
}

std::unexpected<Error> refused(const std::string& path, const std::string& what) {
  return fail(Code::kInvalidArgument, path + ": " + what + " (" + tls_error_text() + ")");
}

int no_passphrase(char*, int, int, void*) { return -1; }  // never a prompt on the terminal

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const auto& protocol : protocols) wire += static_cast<char>(protocol.size()) + protocol;
  return wire;
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_bytes, const unsigned char* theirs,
                    unsigned theirs_bytes, void* ours) {
  const auto& wire = *static_cast<const std::string*>(ours);
  unsigned char* chosen = nullptr;
  // OpenSSL's own interface: bytes are unsigned there.
  const auto* mine = reinterpret_cast<const unsigned char*>(wire.data());
  if (SSL_select_next_proto(&chosen, out_bytes, mine, static_cast<unsigned>(wire.size()), theirs, theirs_bytes) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::int64_t expiry_of(SSL_CTX* context) {
  std::tm utc{};
  const X509* certificate = SSL_CTX_get0_certificate(context);
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) != 1) return 0;
  return timegm(&utc);
}

Result<void> ask_for_certificates(SSL_CTX* context, const TlsOptions& options) {
  if (options.client_auth == TlsClientAuth::kNone) return {};
  const auto& file = options.client_ca_file;
  CODEQ_TRY_VOID(check_file(file));
  if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) return refused(file, "no certificates can be read from it");
  auto* names = SSL_load_client_CA_file(file.c_str());
  if (names == nullptr) return refused(file, "no certificates can be read from it");
  SSL_CTX_set_client_CA_list(context, names);  // takes it
  SSL_CTX_set_verify(
      context, SSL_VERIFY_PEER | (options.client_auth == TlsClientAuth::kRequire ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
      nullptr);
  return {};
}

}  // namespace

std::string tls_error_text() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);  // fixed texts; nothing that a peer sent
  if (reason != nullptr) return reason;
  return ERR_SYSTEM_ERROR(code) ? std::strerror(ERR_GET_REASON(code)) : "unknown";
}

TlsContext::TlsContext(TlsOptions options)
    : options_(std::move(options)), alpn_wire_(alpn_wire(options_.alpn)), counters_(std::make_unique<Counters>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::open(TlsOptions options) {
  for (const auto& protocol : options.alpn)
    if (protocol.empty() || protocol.size() > 255) return fail(Code::kInvalidArgument, "not an ALPN protocol");
  if (options.client_auth != TlsClientAuth::kNone && options.client_ca_file.empty())
    return fail(Code::kInvalidArgument, "clients cannot be asked for certificates without a file of their CAs");
  auto context = std::shared_ptr<TlsContext>(new TlsContext(std::move(options)));
  const std::scoped_lock lock(context->reload_mutex_);
  CODEQ_TRY_VOID(context->load());
  return context;
}

Result<void> TlsContext::load() {
  stamp_ = stamp_of(options_);  // before reading: what changes meanwhile is seen the next time
  ERR_clear_error();
  CODEQ_TRY_VOID(check_file(options_.certificate_file));
  CODEQ_TRY_VOID(check_file(options_.key_file));
  const std::shared_ptr<SSL_CTX> fresh(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  auto* context = fresh.get();
  if (context == nullptr) return fail(Code::kInternal, "no TLS context: " + tls_error_text());
  SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets hold no memory here
  SSL_CTX_set_timeout(context, kTicketSeconds);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_max_cert_list(context, kClientChainBytesMax);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kCiphers12) != 1 ||
      SSL_CTX_set_session_id_context(context, kSessionIdContext, sizeof(kSessionIdContext)) != 1)
    return fail(Code::kInternal, "no TLS context: " + tls_error_text());
  if (!alpn_wire_.empty()) SSL_CTX_set_alpn_select_cb(context, &choose_protocol, const_cast<std::string*>(&alpn_wire_));

  const auto& chain = options_.certificate_file;
  const auto& key = options_.key_file;
  if (SSL_CTX_use_certificate_chain_file(context, chain.c_str()) != 1)
    return refused(chain, "no certificate can be read from it");
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const auto last = ERR_peek_last_error();
    if (ERR_GET_LIB(last) == ERR_LIB_X509 && ERR_GET_REASON(last) == X509_R_KEY_VALUES_MISMATCH)
      return refused(key, "not the key of the certificate in " + chain);
    return refused(key, "no private key can be read from it; it must be PEM and not encrypted");
  }
  if (SSL_CTX_check_private_key(context) != 1) return refused(key, "not the key of the certificate in " + chain);
  CODEQ_TRY_VOID(ask_for_certificates(context, options_));

  counters_->not_after_s = expiry_of(context);
  const std::scoped_lock lock(mutex_);
  current_ = fresh;
  return {};
}

Result<void> TlsContext::load_again() {
  auto loaded = load();
  ++(loaded ? counters_->reloads : counters_->reloads_failed);
  return loaded;
}

Result<void> TlsContext::reload() {
  const std::scoped_lock lock(reload_mutex_);
  return load_again();
}

Result<bool> TlsContext::reload_if_changed() {
  const std::scoped_lock lock(reload_mutex_);
  auto stamp = stamp_of(options_);
  const bool settled = stamp == seen_;
  seen_ = std::move(stamp);
  if (!settled || seen_ == stamp_) return false;
  CODEQ_TRY_VOID(load_again());
  return true;
}

TlsStats TlsContext::stats() const {
  return {.handshakes = counters_->handshakes,
          .handshakes_failed = counters_->handshakes_failed,
          .reloads = counters_->reloads,
          .reloads_failed = counters_->reloads_failed,
          .not_after_s = counters_->not_after_s};
}

}  // namespace codeq::transport
