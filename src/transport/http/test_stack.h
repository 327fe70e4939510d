// A whole broker on memory twins behind a real HTTP server on loopback, and a client that sees raw bytes. Tests only.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/rng.h"
#include "log/memory/memory_log.h"
#include "observe/memory/memory_tracer.h"
#include "observe/metrics.h"
#include "observe/null_tracer.h"
#include "services/auth.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"
#include "transport/http/server.h"
#include "transport/tls/context.h"
#include "transport/tls/test_tls.h"

namespace codeq::transport::http {

// The same tests run once more with this variable set, every byte of them through TLS.
inline bool over_tls() {
  static const bool set = std::getenv("CODEQ_TEST_TLS") != nullptr;
  return set;
}

inline const std::shared_ptr<TlsContext>& test_tls_context() {
  static const auto context = [] {
    const TlsFolder folder;
    const auto issued = issue("localhost", nullptr);
    return TlsContext::open({.certificate_file = folder.write("cert.pem", issued.certificate_pem()),
                             .key_file = folder.write("key.pem", issued.key_pem()),
                             .alpn = {"http/1.1"}})
        .value();
  }();
  return context;
}

struct Reply {
  int status = 0;                             // 0: the connection ended first
  std::map<std::string, std::string> headers; // names in lower case
  std::string body;
  // The value of the first string member of that name in the body; "" if there is none.
  [[nodiscard]] std::string text(const std::string& name) const {
    const auto start = body.find("\"" + name + "\":\"");
    if (start == std::string::npos) return "";
    const auto value = start + name.size() + 4;
    return body.substr(value, body.find('"', value) - value);
  }
  [[nodiscard]] bool has(const std::string& part) const { return body.find(part) != std::string::npos; }
};

enum class Wire : std::uint8_t { kPlain, kTls };

class Client {
 public:
  explicit Client(std::uint16_t port, Wire wire = over_tls() ? Wire::kTls : Wire::kPlain,
                  const TlsClientOptions& tls = {})
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    // The C interface of sockets.
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    if (wire == Wire::kPlain) return;
    const int one = 1;
    // Or the second write of a request waits for an acknowledgement of the first.
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets that have been closed
    peer_ = std::make_unique<TlsPeer>(tls);
    ERR_clear_error();
    SSL_set_fd(peer_->ssl(), fd_);
    connected_ = connected_ && SSL_connect(peer_->ssl()) == 1;
  }
  ~Client() { hang_up(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] TlsPeer& peer() { return *peer_; }
  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void finish_sending() {
    if (peer_) peer_->close();
    ::shutdown(fd_, SHUT_WR);
  }
  bool send(std::string_view bytes) {
    if (peer_) return bytes.empty() || SSL_write(peer_->ssl(), bytes.data(), static_cast<int>(bytes.size())) > 0;
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  Reply receive(bool head_only = false) {
    Reply reply;
    std::size_t end = 0;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return reply;
    const auto head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    reply.status = std::stoi(head.substr(9, 3));
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const auto stop = head.find("\r\n", at);
      const auto colon = head.find(": ", at);
      auto name = head.substr(at, colon - at);
      for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      reply.headers[name] = head.substr(colon + 2, stop - colon - 2);
      at = stop + 2;
    }
    const auto length =
        reply.headers.contains("content-length") && !head_only ? std::stoul(reply.headers["content-length"]) : 0;
    while (in_.size() < length)
      if (!more()) return {};
    reply.body = in_.substr(0, length);
    in_.erase(0, length);
    return reply;
  }
  // True: the server closed, and nothing else came.
  bool closed() {
    while (more()) {}
    return in_.empty() && ended_;
  }

  Reply call(const std::string& method, const std::string& target, const std::string& token,
             const std::string& body = "", const std::string& headers = "") {
    send(request(method, target, token, body, headers));
    return receive();
  }
  static std::string request(const std::string& method, const std::string& target, const std::string& token,
                             const std::string& body = "", const std::string& headers = "") {
    return method + " " + target + " HTTP/1.1\r\nHost: test\r\n" +
           (token.empty() ? "" : "Authorization: Bearer " + token + "\r\n") + headers +
           (method == "GET" ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" + body;
  }

 private:
  bool more() {
    char buffer[4096];
    const auto n = peer_ ? tls_read(buffer, sizeof(buffer)) : ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n > 0) in_.append(buffer, static_cast<std::size_t>(n));
    ended_ = n == 0;
    return n > 0;
  }
  // As `recv`; the end is the server's close_notify.
  ssize_t tls_read(char* to, std::size_t room) {
    ERR_clear_error();
    const int n = SSL_read(peer_->ssl(), to, static_cast<int>(room));
    if (n > 0) return n;
    return SSL_get_error(peer_->ssl(), n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }
  int fd_;
  bool connected_ = false, ended_ = false;
  std::unique_ptr<TlsPeer> peer_;
  std::string in_;
};

class SilentSender final : public services::WebhookSender {
 public:
  void send(services::WebhookJob, std::move_only_function<void(services::WebhookOutcome)> finished) override {
    finished({.http_status = 500, .error = ""});
  }
};

// Waits for what another thread is about to do. No time is asserted: it gives up only when a test would hang.
template <class F>
bool eventually(F&& happened) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!happened()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::yield();
  }
  return true;
}

inline std::unique_ptr<services::Authenticator> test_tokens() {
  auto tokens = services::make_authenticator({.producer_type = "multi",
                                              .producer_config = R"({"providers":[
        {"type":"static","config":{"token":"producer","subject":"p","raw":{"tenantId":"acme"}}},
        {"type":"static","config":{"token":"admin","subject":"a","raw":{"tenantId":"acme","role":"ADMIN"}}},
        {"type":"static","config":{"token":"stranger","subject":"s","raw":{"tenantId":"other"}}}]})",
                                              .worker_type = "multi",
                                              .worker_config = R"({"providers":[
        {"type":"static","config":{"token":"worker","subject":"w1","raw":{"tenantId":"acme"},"eventTypes":["*"],
          "scopes":["codeq:claim","codeq:heartbeat","codeq:abandon","codeq:nack","codeq:result","codeq:subscribe"]}},
        {"type":"static","config":{"token":"second","subject":"w2","raw":{"tenantId":"acme"},"eventTypes":["A","B"],
          "scopes":["codeq:claim","codeq:result","codeq:heartbeat","codeq:subscribe"]}},
        {"type":"static","config":{"token":"reader","subject":"w3","raw":{"tenantId":"acme"},"eventTypes":["A"],"scopes":["codeq:nack"]}}]})"});
  EXPECT_TRUE(tokens.has_value()) << (tokens ? "" : tokens.error().message);
  return std::move(*tokens);
}

class Stack {
 public:
  // `server_clock`: what the server's timeouts are measured with; null: the system's.
  explicit Stack(HttpOptions options = {}, bool tracing = true, Clock* server_clock = nullptr) : tracing_(tracing) {
    partition = std::make_unique<services::Partition>(
        services::PartitionOptions{.webhook_attempts_max = 1},
        services::Partition::Deps{.log = log,
                                  .store = store,
                                  .clock = clock,
                                  .rng = rng,
                                  .tracer = the_tracer(),
                                  .metrics = metrics,
                                  .webhooks = webhooks,
                                  .disk_low = [] { return false; },
                                  .on_failure = [](const Error&) { std::abort(); }});
    EXPECT_TRUE(partition->start().has_value());
    if (over_tls() && !options.tls) options.tls = test_tls_context();
    options.host = "127.0.0.1";
    options.port = 0;
    auto started = HttpServer::start(
        std::move(options), {.broker = *partition,
                             .authenticator = *tokens,
                             .tracer = the_tracer(),
                             .clock = server_clock == nullptr ? clock : *server_clock,
                             .rng = rng,
                             .metrics = [this](services::Done<observe::MetricsPage> done) {
                               done([this](observe::MetricsFormat format) { return metrics.exposition({}, format); });
                             },
                             .readiness = [] { return Readiness{.ready = true, .checks = {{"log", true}}}; }});
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message);
    server = std::move(*started);
  }
  ~Stack() {
    server.reset();
    partition->stop();
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  observe::Tracer& the_tracer() {
    if (tracing_) return tracer;
    return no_tracer;
  }
  std::string create(const std::string& body = R"({"command":"A","payload":{"k":1}})") {
    Client client(server->port());
    const auto reply = client.call("POST", "/v1/codeq/tasks", "producer", body);
    EXPECT_EQ(reply.status, 202) << reply.body;
    return reply.text("id");
  }

  bool tracing_;
  SystemClock clock;
  SystemRng rng;
  log::MemoryLog log;
  storage::MemoryStore store;
  observe::MemoryTracer tracer;
  observe::NullTracer no_tracer;
  observe::Metrics metrics;
  SilentSender webhooks;
  std::unique_ptr<services::Authenticator> tokens = test_tokens();
  std::unique_ptr<services::Partition> partition;
  std::unique_ptr<HttpServer> server;
};

}  // namespace codeq::transport::http
