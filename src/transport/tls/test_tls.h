// A certificate authority, files in a folder of their own, and a client without a socket. Tests only.
#pragma once

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

namespace codeq::transport {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;

inline std::string pem_of(BIO* bio) {
  char* data = nullptr;
  const auto bytes = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(bytes));
  BIO_free(bio);
  return text;
}

struct Issued {
  KeyPtr key;
  CertificatePtr certificate;
  [[nodiscard]] std::string certificate_pem() const {
    auto* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate.get());
    return pem_of(bio);
  }
  [[nodiscard]] std::string key_pem() const {
    auto* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return pem_of(bio);
  }
};

// `issuer` null: signs itself.
inline Issued issue(const std::string& name, const Issued* issuer, bool is_ca = false, int days = 1) {
  static long serial = 0;
  Issued issued{KeyPtr(EVP_EC_gen("P-256")), CertificatePtr(X509_new())};
  auto* certificate = issued.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * 86'400);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86'400L);
  X509_set_pubkey(certificate, issued.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  const auto* from = issuer == nullptr ? &issued : issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(from->certificate.get()));
  const auto extend = [&](int nid, const char* value) {
    auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!is_ca) extend(NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  X509_sign(certificate, from->key.get(), EVP_sha256());
  return issued;
}

// Files that are gone with it.
class TlsFolder {
 public:
  TlsFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "codeq-tls-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TlsFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TlsFolder(const TlsFolder&) = delete;
  TlsFolder& operator=(const TlsFolder&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }
  // By a rename, as whoever renews certificates does it.
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name + ".new"), std::ios::binary) << text;
    std::filesystem::rename(path(name + ".new"), path(name));
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

struct TlsClientOptions {
  int version_max = TLS1_3_VERSION;
  int version_min = TLS1_VERSION;
  std::string alpn;  // wire format: "\x02h2"
  const Issued* shows = nullptr;
  const Issued* trusts = nullptr;  // null: whoever it is
};

// The client's side over memory: bytes in, bytes out.
class TlsPeer {
 public:
  explicit TlsPeer(const TlsClientOptions& options) : context_(SSL_CTX_new(TLS_client_method())), ssl_(nullptr) {
    auto* context = context_.get();
    SSL_CTX_set_security_level(context, 0);  // so that it can offer what is refused
    SSL_CTX_set_min_proto_version(context, options.version_min);
    SSL_CTX_set_max_proto_version(context, options.version_max);
    if (!options.alpn.empty())
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                              static_cast<unsigned>(options.alpn.size()));
    if (options.shows != nullptr) {
      SSL_CTX_use_certificate(context, options.shows->certificate.get());
      SSL_CTX_use_PrivateKey(context, options.shows->key.get());
    }
    if (options.trusts != nullptr) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), options.trusts->certificate.get());
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    }
    ssl_.reset(SSL_new(context));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl_.get()), -1);
    SSL_set_connect_state(ssl_.get());
  }

  void feed(std::string_view wire) {
    if (!wire.empty()) BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size()));
  }
  std::string take() {  // what it wants to send
    auto* bio = SSL_get_wbio(ssl_.get());
    std::string out(BIO_ctrl_pending(bio), '\0');
    if (!out.empty()) BIO_read(bio, out.data(), static_cast<int>(out.size()));
    return out;
  }
  // One step; reads what is there into `received`.
  void turn() {
    ERR_clear_error();
    if (!SSL_is_init_finished(ssl_.get())) {
      const int done = SSL_do_handshake(ssl_.get());
      if (done != 1) {
        const auto why = SSL_get_error(ssl_.get(), done);
        failed = failed || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE);
        return;
      }
    }
    char buffer[16'384];
    for (;;) {
      const int n = SSL_read(ssl_.get(), buffer, sizeof(buffer));
      if (n > 0) {
        received.append(buffer, static_cast<std::size_t>(n));
        continue;
      }
      const auto why = SSL_get_error(ssl_.get(), n);
      closed = closed || why == SSL_ERROR_ZERO_RETURN;
      failed = failed || (why != SSL_ERROR_ZERO_RETURN && why != SSL_ERROR_WANT_READ);
      return;
    }
  }
  void send(std::string_view plain) { SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size())); }
  void close() { SSL_shutdown(ssl_.get()); }
  [[nodiscard]] bool finished() const { return SSL_is_init_finished(ssl_.get()) == 1 && !failed; }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  [[nodiscard]] std::string server_name() const {  // CN of the certificate that it was shown
    const CertificatePtr certificate(SSL_get1_peer_certificate(ssl_.get()));
    char name[256] = {};
    if (certificate)
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name, sizeof(name));
    return name;
  }

  std::string received;
  bool failed = false, closed = false;

 private:
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, Freed<SSL_free>> ssl_;
};

}  // namespace codeq::transport
