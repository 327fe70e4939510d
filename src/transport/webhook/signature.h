// Signs a webhook so that its receiver knows who sent it, and when.
//
// Formats  X-CodeQ-Signature   lower-case hex of HMAC-SHA256(key, timestamp "." body)
//          webhook-signature   "v1," base64 of HMAC-SHA256(key, id "." timestamp "." body)
//                              Standard Webhooks 1.0.0, https://github.com/standard-webhooks/standard-webhooks
// Key      the secret's bytes; of a secret that starts with "whsec_", the base64-decoded rest. Both formats use the same key.
// Threads  immutable after construction
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::transport {

class WebhookSigner {
 public:
  // A blank secret gives a signer that does not sign.
  // Errors: kInvalidArgument  what follows "whsec_" is empty or not base64 (padding may be left out)
  static Result<WebhookSigner> from_secret(std::string_view secret);

  [[nodiscard]] bool signs() const { return !key_.empty(); }
  // `timestamp`: seconds since 1970-01-01T00:00:00Z. Empty: the library could not compute it.
  [[nodiscard]] std::string codeq_signature(std::int64_t timestamp, std::string_view body) const;
  [[nodiscard]] std::string standard_signature(std::string_view id, std::int64_t timestamp,
                                               std::string_view body) const;

 private:
  [[nodiscard]] std::string hmac(std::string_view message) const;
  std::string key_;
};

}  // namespace codeq::transport
