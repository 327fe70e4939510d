// One HTTP client with one connection that is kept: libcurl, in the words that the client commands need.
//
// Threads  one at a time; a stop token may be pulled from any thread, and the call then returns at once
// Bounds   an answer of at most 64 MiB; five redirects, which keep method and body
// Errors   kUnavailable: no answer came, in the library's words, without the query of the URL; kInvalidArgument: a header
//          with control characters, a file of certificates that cannot be read
// Proxy    as curl's variables say, but never for loopback addresses
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "app/client/profile.h"
#include "base/result.h"

namespace codeq::app::client {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::optional<std::string> body;
  std::chrono::milliseconds timeout{30'000};
};

struct HttpResponse {
  long status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;
};

struct Tls {
  std::string ca_file, client_cert, client_key;  // empty: the system's, none
};

class HttpClient {
 public:
  explicit HttpClient(Tls tls);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request, std::stop_token stop = {});

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
  Tls tls_;
};

}  // namespace codeq::app::client
