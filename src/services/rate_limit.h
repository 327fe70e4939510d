// Token buckets of the API: how often a bearer token, or the destination of a webhook, may come.
//
// Shape    rate `requests_per_minute / 60` a second, capacity `burst`, starts full, one token a call; a bucket is active
//          only if both numbers are > 0. The subject is kept as its SHA-256 only.
// Threads  any
// Cost     a hash and a look-up. What has not been asked for in ten minutes and is full again is dropped; of more than
//          kSubjectsMax in a bucket the one that was quiet for longest is forgotten
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"

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
  static constexpr std::size_t kSubjectsMax = 65'536;  // of each bucket

  virtual ~RateLimiter() = default;
  // Takes one token. 0: granted; otherwise the seconds (>= 1) after which there will be one.
  [[nodiscard]] virtual std::int64_t take(RateBucket bucket, std::string_view subject) = 0;
  // Takes one token whatever there is: the nanoseconds after which it may be used, 0 for now. For work that waits its turn
  // instead of being refused: everyone who asks gets a turn of their own, in the order of asking.
  [[nodiscard]] virtual std::int64_t reserve_ns(RateBucket bucket, std::string_view subject) = 0;
};

using RateLimits = std::array<RateLimit, kRateBuckets>;  // by RateBucket
// `clock` is borrowed.
std::unique_ptr<RateLimiter> make_rate_limiter(const RateLimits& limits, Clock& clock);

// The words for it in a 429 and in the metric.
std::string_view rate_scope(RateBucket bucket);

}  // namespace codeq::services
