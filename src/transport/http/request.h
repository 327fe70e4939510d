// One HTTP request as the handlers see it, and the reader that cuts it out of a stream of bytes.
//
// Source   RFC 9110, RFC 9112. This file finds the end of the head, whose grammar is in head.h, and refuses folded lines and
//          bare LF; then it reads the body
// Errors   kBadRequest, kHeaderTooLarge, kBodyTooLarge; after one of them the connection cannot be used any more
// Threads  one thread at a time
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace codeq::transport::http {

enum class Method : std::uint8_t { kGet, kPost, kHead, kPut, kDelete, kOther };

// The values of the lines of one header, in order.
class HeaderLines {
 public:
  void add(std::string_view value);
  void clear() {
    bytes_.clear();
    ends_.clear();
  }
  [[nodiscard]] bool empty() const { return ends_.empty(); }
  [[nodiscard]] std::vector<std::string_view> views() const;

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

struct Request {
  Method method = Method::kOther;
  bool http11 = true;
  bool keep_alive = true;
  bool expect_continue = false;
  std::string target;
  std::string authorization;
  std::string request_id;
  std::string role;  // X-Role, which counts only with `devRoleHeader`
  HeaderLines traceparent, tracestate, baggage;
  HeaderLines accept;  // of a request for /metrics; nothing else has a choice
  std::string body;
};

struct RequestLimits {
  std::size_t header_bytes_max = 32U << 10U;
  std::size_t body_bytes_max = 1U << 20U;
};

class RequestReader {
 public:
  explicit RequestReader(RequestLimits limits) : limits_(limits) {}

  enum class State : std::uint8_t { kIdle, kHead, kBody, kComplete, kFailed };

  // Consumes a prefix of `bytes` and returns its length. An incomplete head is not consumed: call again with the same
  // bytes and more. Stops at the end of a request.
  std::size_t feed(std::string_view bytes);
  [[nodiscard]] State state() const { return state_; }  // kIdle: nothing of the next request was seen
  [[nodiscard]] Request& request() { return request_; }
  [[nodiscard]] const Error& error() const { return error_; }
  // Gets ready for the next request of the connection; buffers are kept.
  void next();

 private:
  enum class Phase : std::uint8_t { kSize, kData, kDataEnd, kTrailer };  // of a chunked body

  void read_head(std::string_view head);
  std::size_t take_bytes(std::string_view bytes);
  std::size_t take_chunks(std::string_view bytes);
  void take_chunk_line(std::string_view line);
  bool find_head_end(std::string_view bytes);
  void fail_with(Code code, std::string message);

  RequestLimits limits_;
  State state_ = State::kIdle;
  Request request_;
  Error error_{};
  std::size_t scanned_ = 0;  // of an incomplete head: no end of it before this offset
  std::size_t line_start_ = 0;
  std::size_t head_end_ = 0;
  bool chunked_ = false;
  Phase phase_ = Phase::kSize;
  std::size_t remaining_ = 0;  // of the body, or of the chunk
  std::size_t trailer_bytes_ = 0;
};

}  // namespace codeq::transport::http
