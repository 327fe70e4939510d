// Fetches small documents over HTTP, and waits: what the key sets of JWTs need from outside.
//
// Shape    one GET per call: no redirects, http and https only, certificates verified
// Threads  both calls from any thread, at once; what is handed over runs on a thread of ours, once, and must not block.
//          Whatever is still waiting when we end is dropped.
// Errors   an answer, never an exception
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace codeq::services {

struct HttpGetRequest {
  std::string url;
  std::chrono::milliseconds timeout{5'000};  // of the whole, from the look-up of the name
  std::size_t body_bytes_max = std::size_t{256} << 10;
};

struct HttpGetAnswer {
  int http_status = 0;  // 0: no whole answer
  std::string_view error;  // then a short class: "timeout", "connect", "dns", "tls", "bad-url", "too-large", "io"
  std::string body;
};

class HttpGet {
 public:
  virtual ~HttpGet() = default;
  virtual void get(HttpGetRequest request, std::move_only_function<void(HttpGetAnswer)> done) = 0;
  virtual void after(std::chrono::nanoseconds wait, std::move_only_function<void()> then) = 0;
};

}  // namespace codeq::services
