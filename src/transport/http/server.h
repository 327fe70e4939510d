// The HTTP/1.1 face of the broker.
//
// Shape    N io threads, each with its own connections; a request is decoded there, handed to the Broker, and its answer is
//          encoded there again. Answers leave in the order of their requests, several in one write.
// Errors   start: kIo with the address that could not be bound, kInvalidArgument
// Threads  start, stop_accepting, drain and the destructor from one thread
// Limits   every one of them is an option; a client that breaks one is answered where that can be done, and cut
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/rng.h"
#include "observe/metrics.h"
#include "observe/span.h"
#include "services/auth.h"
#include "services/broker.h"
#include "services/rate_limit.h"

namespace codeq::transport {

class TlsContext;

struct HttpOptions {
  std::string host;  // empty: every interface, IPv6 and IPv4; else an address or `localhost`
  std::uint16_t port = 8080;  // 0: any free one
  unsigned io_threads = 1;
  int backlog = 1024;
  std::shared_ptr<TlsContext> tls;  // null: plain HTTP; shared with whoever reloads it

  std::size_t header_bytes_max = 32U << 10U;  // 431 beyond
  std::size_t body_bytes_max = 1U << 20U;  // 413 beyond
  std::size_t json_depth_max = 64;
  std::size_t connections_max = 10'000;  // 503 beyond, and closed
  std::size_t parked_polls_max = 10'000;  // 503 beyond
  std::size_t pipelined_max = 64;  // requests of one connection under way; beyond, reading waits
  std::size_t in_flight_bytes_max = std::size_t{128} << 20U;  // bodies and answers of all connections; 503 beyond
  std::size_t output_bytes_max =
      8U << 20U;  // encoded and unsent answers of one connection; half of it and one answer at most
  std::chrono::milliseconds header_timeout{5'000};  // from the first byte, or from connecting; so for a TLS handshake
  std::chrono::milliseconds body_timeout{30'000};  // without 16 KiB of progress
  std::chrono::milliseconds idle_timeout{120'000};
  std::chrono::milliseconds write_timeout{30'000};  // without 16 KiB of progress
  std::chrono::milliseconds linger_timeout{2'000};  // after our last byte, for the client to read it

  std::function<int(std::int64_t)> zone_offset_seconds;  // of an instant in ns; empty: UTC
  bool dev_role_header = false;  // an `X-Role: ADMIN` counts where the token names no role
  std::string artifacts_dir = "/tmp/codeq-artifacts";
  std::string version_json = R"({"version":"0.0.0"})";  // body of GET /version
};

struct Readiness {
  bool ready = false;
  std::vector<std::pair<std::string, bool>> checks;  // shown by /readyz?verbose
};

struct HttpDeps {  // borrowed; outlive the server
  services::Broker& broker;
  const services::Authenticator& authenticator;
  observe::Tracer& tracer;
  Clock& clock;
  Rng& rng;  // any thread
  std::function<void(services::Done<observe::MetricsPage>)> metrics;  // empty: an empty page
  std::function<Readiness()> readiness;  // empty: ready
  services::RateLimiter* rates = nullptr;  // null: no limits
  observe::Metrics* counters = nullptr;    // for what a limit refuses
};

class HttpServer {
 public:
  // Returns when the port is bound and connections are accepted.
  static Result<std::unique_ptr<HttpServer>> start(HttpOptions options, HttpDeps deps);
  ~HttpServer();  // cuts what is left
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] std::size_t parked_polls() const;

  // New connections are refused from here on, and /readyz says 503.
  void stop_accepting();
  // Lets the requests that are under way finish, closes every connection after its last answer, and cuts what is left at
  // the deadline. True: nothing had to be cut.
  bool drain(std::chrono::milliseconds deadline);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace codeq::transport
