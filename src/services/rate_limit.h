// Token buckets of the API: how often a bearer token, or the destination of a webhook, may come.
//
// Shape    rate `requests_per_minute / 60` a second, capacity `burst`, starts full, one token a call; a bucket is active
//          only if both numbers are > 0. The subject is kept as its SHA-256 only.
// Threads  any
// Cost     a hash and a look-up; what has not been asked for in ten minutes is dropped, and at most kSubjectsMax are kept
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace codeq::services {

struct RateLimit {
  std::int64_t requests_per_minute = 0;
  std::int64_t burst = 0;
  [[nodiscard]] bool active() const { return requests_per_minute > 0 && burst > 0; }
};

enum class RateBucket : std::uint8_t { kProducer, kWorker, kWebhook, kAdmin };
inline constexpr std::size_t kRateBuckets = 4;

class RateLimiter {
 public:
  virtual ~RateLimiter() = default;
  // Takes one token. 0: granted; otherwise the seconds (>= 1) after which there will be one.
  [[nodiscard]] virtual std::int64_t take(RateBucket bucket, std::string_view subject) = 0;
};

}  // namespace codeq::services
