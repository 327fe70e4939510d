// Sends one webhook request at a time; retries, order and bookkeeping are the outbox's.
//
// Threads  `send` from one thread; `finished` is called on a thread of the sender, once per job; not for jobs that the
//          sender's end aborts, whose outcome nobody knows: the outbox makes those attempts again after the next start
// Errors   an outcome, never an exception
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace codeq::services {

struct WebhookJob {
  std::uint64_t id = 0;         // the delivery's id, for `X-CodeQ-Delivery`; 0: there is none
  std::string url;
  std::string body;             // JSON
  std::string message_id;       // Standard Webhooks `webhook-id`: the same on every attempt
  std::string traceparent;      // empty: not sent
  std::string tracestate;
  std::string baggage;
};

struct WebhookOutcome {
  int http_status = 0;          // 0: no answer
  std::string_view
      error;       // "" or a short class: "timeout", "connect", "dns", "tls", "refused-address", "bad-url", "io"
  [[nodiscard]] bool delivered() const { return http_status >= 200 && http_status <= 299; }
};

class WebhookSender {
 public:
  virtual ~WebhookSender() = default;
  virtual void send(WebhookJob job, std::move_only_function<void(WebhookOutcome)> finished) = 0;
};

}  // namespace codeq::services
