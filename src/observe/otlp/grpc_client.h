// One unary gRPC call at a time over libcurl: TraceService/Export.
//
// Source   gRPC PROTOCOL-HTTP2.md; plaintext is HTTP/2 with prior knowledge, TLS negotiates h2 by ALPN
// Threads  call: one thread; cancel_at: any. Proxies are off, redirects are not followed
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "observe/otlp/export_answer.h"
#include "observe/otlp/options.h"

namespace codeq::observe {

class GrpcClient {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Opens no connection yet. Errors: kInternal  libcurl cannot be set up or knows no HTTP/2
  static Result<std::unique_ptr<GrpcClient>> open(const TracingOptions& options);
  ~GrpcClient();
  GrpcClient(const GrpcClient&) = delete;
  GrpcClient& operator=(const GrpcClient&) = delete;

  // Sends one ExportTraceServiceRequest and waits for its answer, at most options.timeout and not past cancel_at.
  ExportAnswer call(std::string_view request);
  // Calls end at `deadline` as kCancelled, also one that is waiting now.
  void cancel_at(Time deadline);

 private:
  struct Impl;
  explicit GrpcClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace codeq::observe
