// What one listener shows to its clients: certificate, key, whom it asks for a certificate, protocols. From PEM files, read
// again while it runs.
//
// Shape    sessions keep what they began with; after a reload new ones get the new certificate
// Limits   TLS 1.2 and 1.3, forward secrecy and AEAD only, no renegotiation, no compression, no early data
// Errors   open: kInvalidArgument with the file and what is wrong with it. A reload that fails changes nothing
// Threads  any; reading files blocks, so `reload` belongs on a thread that may wait
// Cost     a session is made under one mutex, held for the copy of a pointer
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace codeq::transport {

enum class TlsClientAuth : std::uint8_t {
  kNone,  // clients are not asked for a certificate
  kOptional,  // one that comes has to be right
  kRequire,
};

struct TlsOptions {
  std::string certificate_file;  // PEM: the server's certificate, then the intermediate ones
  std::string key_file;  // PEM, not encrypted
  std::string client_ca_file;  // PEM: who may have signed clients' certificates; needed unless kNone
  TlsClientAuth client_auth = TlsClientAuth::kNone;
  std::vector<std::string> alpn;  // ours, the preferred one first; a client that asks for none of them is refused
};

struct TlsStats {
  std::uint64_t handshakes = 0, handshakes_failed = 0;
  std::uint64_t reloads = 0, reloads_failed = 0;
  std::int64_t not_after_s = 0;  // since the epoch: when the certificate in use expires
};

class TlsContext {
 public:
  // Shared by the listener, whoever reloads it, and its sessions.
  static Result<std::shared_ptr<TlsContext>> open(TlsOptions options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Reads the files again. The error says what is wrong with them; what was in use stays in use.
  Result<void> reload();
  // The same where a file is another one, or another size or time, than at the last attempt, and still as at the last look:
  // certificate and key are replaced one after the other. False: nothing was read.
  Result<bool> reload_if_changed();

  [[nodiscard]] TlsStats stats() const;
  [[nodiscard]] const TlsOptions& options() const { return options_; }

 private:
  friend class TlsSession;
  struct Counters;
  explicit TlsContext(TlsOptions options);
  Result<void> load();  // reload_mutex_ held, and so below
  Result<void> load_again();

  const TlsOptions options_;
  const std::string alpn_wire_;  // as RFC 7301 writes it
  std::unique_ptr<Counters> counters_;
  std::mutex reload_mutex_;  // one reload at a time
  std::string stamp_;  // of the files at the last attempt, under reload_mutex_
  std::string seen_;  // and at the last look
  mutable std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> current_;  // under mutex_; shared with the sessions that began with it
};

// The parts of an OpenSSL error that may be shown, and an empty queue. Internal.
std::string tls_error_text();

}  // namespace codeq::transport
