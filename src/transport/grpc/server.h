// The gRPC face of the broker: the stream services of producers and workers, and the standard health service.
//
// Shape    N io threads, each with its own connections; HTTP/2 by nghttp2, one write per wake-up; what a burst of messages
//          asks of the Broker is asked together, and its answers come home together
// Errors   start: kIo with the address that could not be bound, kInvalidArgument
// Threads  start, stop_accepting, drain and the destructor from one thread
// Source   RFC 9113 (HTTP/2), gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md)
// Limits   every one of them is an option; who floods is told so (RESOURCE_EXHAUSTED, ENHANCE_YOUR_CALM) and cut
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "transport/grpc/call.h"

namespace codeq::transport {

class TlsContext;

struct GrpcListener {
  std::string host;  // as for HttpOptions
  std::uint16_t port = 0;
  bool producers = false, workers = false;  // which services it has
  std::shared_ptr<TlsContext> tls;  // whoever reloads its files shares it; null: plaintext
};

struct GrpcOptions {
  std::vector<GrpcListener> listeners;
  unsigned io_threads = 1;
  int backlog = 1024;
  grpc::CallLimits calls;
  std::size_t connections_max = 10'000;  // closed beyond
  std::uint32_t streams_max = 1'000;  // of one connection; beyond, grpc-go waits without a word
  std::uint32_t window_bytes = 256U << 10U;  // of one stream that is not read: what a client may send ahead
  std::size_t header_bytes_max = 16U << 10U;  // of one request
  std::uint64_t reset_burst = 1'000, reset_per_second = 33;  // streams a client may cancel ("rapid reset")
  std::size_t continuations_max = 8;  // of one request's headers
  std::size_t settings_max = 32;  // entries of one SETTINGS
  std::size_t acks_unsent_max = 1'000;  // of PING and SETTINGS; a client that does not read them is cut
  std::size_t idle_frames_per_second = 2'000;  // PING, SETTINGS, PRIORITY, empty DATA; beyond: ENHANCE_YOUR_CALM
  std::size_t in_flight_bytes_max = std::size_t{64} << 20U;  // that all connections hold; RESOURCE_EXHAUSTED beyond
  std::chrono::milliseconds open_timeout{10'000};  // from connecting to the first request
  std::chrono::milliseconds idle_timeout{300'000};  // without a stream
  std::chrono::milliseconds message_timeout{30'000};  // of an unfinished message without 16 KiB of progress
  std::chrono::milliseconds write_timeout{30'000};  // without progress
  std::chrono::milliseconds keepalive_after{60'000};  // of silence: a PING
  std::chrono::milliseconds keepalive_timeout{20'000};  // for its answer
};

class GrpcServer {
 public:
  // Returns when the ports are bound and connections are accepted. `deps.limits` is taken from the options.
  static Result<std::unique_ptr<GrpcServer>> start(GrpcOptions options, grpc::CallDeps deps);
  ~GrpcServer();  // cuts what is left
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  [[nodiscard]] std::uint16_t port(std::size_t listener) const;
  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] std::size_t held_bytes() const;

  void stop_accepting();
  // Tells every client that we stop; what is under way is still answered.
  void begin_drain();
  // The same, and waits; what is left at the deadline is cut by the destructor. True: nothing is left.
  bool drain(std::chrono::milliseconds deadline);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace codeq::transport
