// services::HttpGet by libcurl's multi interface, on a thread of its own.
//
// Shape    one GET per call, HTTP/1.1; no redirects (a 3xx is an answer like any other), no proxies, no cookies, no user
//          info in the address; http and https only, certificates verified. An answer counts when it is whole.
// Time     the limit covers everything, from the look-up of the name to the last byte
// Bounds   the body as the request says, 32 KiB of header lines; kInFlightMax transfers at a time, more wait in order
// Threads  get, after: any. What is handed over runs on our thread
// Stop     the destructor aborts what is under way and forgets what waits; it returns at once, also in the middle of a look-up
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "services/http_get.h"

namespace codeq::transport {

class CurlGet final : public services::HttpGet {
 public:
  static constexpr std::size_t kInFlightMax = 16;

  // `version`: of the User-Agent, codeq/<version>. Errors: kInternal  libcurl could not be set up
  static Result<std::unique_ptr<CurlGet>> open(std::string version, Clock& clock);
  ~CurlGet() override;

  void get(services::HttpGetRequest request, std::move_only_function<void(services::HttpGetAnswer)> done) override;
  void after(std::chrono::nanoseconds wait, std::move_only_function<void()> then) override;

 private:
  class Loop;
  explicit CurlGet(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace codeq::transport
