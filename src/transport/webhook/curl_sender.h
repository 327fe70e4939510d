// The real webhook sender: libcurl's multi interface on a thread of its own.
//
// Shape    one POST per job: no redirects, no proxies, no cookies, no HTTP authentication, HTTP/1.1, http and https only,
//          certificates verified. Connections are kept and used again; every new one is judged by its address (address.h)
//          after the name was resolved, so a name that changes its mind between look-up and connect gains nothing.
// Answer   the final status line counts once the answer's head is complete. The body is read and thrown away, so that the
//          connection can be used again; a body longer than the bound, one that breaks off or one that never ends costs
//          the connection (or the rest of the time limit), not the outcome.
// Time     the limit covers a whole attempt, from the look-up of the name to the end of the answer, not the wait for a
//          free place. Timestamp and signatures are made when the attempt starts.
// Threads  `send` from any thread; it never blocks on the network. `finished` is called on the sender's thread, once per
//          job, and must not block or destroy the sender.
// Stop     the destructor aborts what is under way and returns at once, also in the middle of a DNS look-up. `finished`
//          is not called for a job that was aborted or still waiting: nothing is known about its outcome.
// Secrets  neither the URL nor a body appears in an outcome; nothing is logged.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "services/webhook_sender.h"
#include "transport/webhook/address.h"

namespace codeq::transport {

struct WebhookSenderOptions {
  std::string hmac_secret;  // blank: not signed; see signature.h
  AllowedNetworks allowed;
  std::chrono::milliseconds timeout{15'000};
  std::size_t in_flight_max = 256;  // more jobs than this wait in the order they came
  std::size_t answer_head_bytes_max = 32 * 1024;  // all header lines, also of 1xx answers; beyond it: "io"
  std::size_t answer_body_bytes_max = 64 * 1024;  // thrown away up to here, then the connection is closed
  std::string version = "0";  // User-Agent: codeq/<version>
};

class CurlWebhookSender final : public services::WebhookSender {
 public:
  // Errors: kInvalidArgument  the secret, a timeout or a bound is not usable
  //         kInternal         libcurl could not be set up
  static Result<std::unique_ptr<CurlWebhookSender>> open(WebhookSenderOptions options, Clock& clock);
  ~CurlWebhookSender() override;

  void send(services::WebhookJob job, std::move_only_function<void(services::WebhookOutcome)> finished) override;

 private:
  class Loop;
  explicit CurlWebhookSender(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace codeq::transport
