// A small OTLP/gRPC endpoint for traces: plaintext HTTP/2 on loopback, for the demo, `codeq dev` and the tests.
// Not a collector: it keeps what comes, in memory and as JSON lines.
//
// Threads  one of its own serves all connections; every method may be called from any thread
// Bounds   64 connections, 8 calls each at a time, 16 MiB a call (docs/formats/otlp.md), kSpansKeptMax spans in memory
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/otlp_decode.h"
#include "base/result.h"

namespace codeq::app {

class OtlpReceiver {
 public:
  static constexpr std::size_t kSpansKeptMax = 200'000;  // further ones go to the file only

  struct Options {
    std::uint16_t port = 0;  // 0: any free one
    std::string out_file;    // spans are appended, one JSON object a line (to_json); empty: none
    bool discard = false;    // takes every call and forgets it unread, for whoever measures the sender
  };

  // Serving when it returns. Errors: kIo  the port or the file cannot be had
  static Result<std::unique_ptr<OtlpReceiver>> start(Options options);
  static Result<std::unique_ptr<OtlpReceiver>> start(std::uint16_t port) {
    return start({.port = port, .out_file = {}});
  }
  ~OtlpReceiver();  // stop()
  OtlpReceiver(const OtlpReceiver&) = delete;
  OtlpReceiver& operator=(const OtlpReceiver&) = delete;

  void stop();  // closes every connection; what was received stays readable
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string endpoint() const;  // 127.0.0.1:port

  // A copy of what is kept, in the order of arrival.
  [[nodiscard]] std::vector<ReceivedSpan> spans() const;
  [[nodiscard]] std::size_t calls() const;  // that were answered, also with an error
  // Waits until `count` spans have come; false: `limit` was first.
  bool wait_for(std::size_t count, std::chrono::milliseconds limit) const;
  // For tests of exporters: from now on every call is answered with this status and, where it is 0, this many spans
  // are said to be rejected. Spans of calls with another status than 0 are not kept.
  void answer_with(int grpc_status, std::uint64_t rejected_spans = 0);
  // Headers of the last call, "name: value" a line.
  [[nodiscard]] std::string last_headers() const;

 private:
  class Server;
  explicit OtlpReceiver(std::unique_ptr<Server> server);
  std::unique_ptr<Server> server_;
};

}  // namespace codeq::app
