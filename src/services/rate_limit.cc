#include "services/rate_limit.h"

#include <algorithm>
#include <limits>
#include <list>
#include <mutex>
#include <unordered_map>

#include "services/sha256.h"

namespace codeq::services {
namespace {

constexpr std::int64_t kIdleNs = 600 * kNanosPerSecond;
constexpr std::int64_t kFarNs = std::numeric_limits<std::int64_t>::max() / 4;

// One bucket of the configuration, with all its subjects.
//
// Instead of a number of tokens a subject has the instant at which it will be full again (the "theoretical arrival time"
// of the generic cell rate algorithm, ITU-T I.371): `interval` of it is one token, so it is exact and needs no filling.
class Bucket {
 public:
  explicit Bucket(const RateLimit& limit) : active_(limit.active()) {
    if (!active_) return;
    interval_ns_ = std::max<std::int64_t>(1, 60 * kNanosPerSecond / limit.requests_per_minute);
    std::int64_t depth = 0;
    depth_ns_ = __builtin_mul_overflow(interval_ns_, limit.burst - 1, &depth) ? kFarNs : std::min(depth, kFarNs);
  }

  // Nanoseconds until there is a token; it is taken if that is 0, or in any case with `anyway`.
  std::int64_t ask(std::string_view subject, Clock& clock, bool anyway) {
    if (!active_) return 0;
    const auto now_ns = clock.steady_ns();
    const auto digest = sha256(subject);
    const std::scoped_lock lock(mutex_);
    forget_idle(now_ns);
    auto found = by_subject_.find(digest);
    if (found == by_subject_.end()) {
      if (by_subject_.size() >= RateLimiter::kSubjectsMax) forget(std::prev(subjects_.end()));
      subjects_.push_front({.digest = digest, .full_ns = now_ns, .asked_ns = now_ns});
      found = by_subject_.emplace(digest, subjects_.begin()).first;
    } else {
      subjects_.splice(subjects_.begin(), subjects_, found->second);
    }
    auto& one = *found->second;
    one.asked_ns = now_ns;
    const auto full = std::max(one.full_ns, now_ns);
    const auto wait = std::max<std::int64_t>(0, full - now_ns - depth_ns_);
    if (wait == 0 || anyway) one.full_ns = full + std::min(interval_ns_, kFarNs - std::min(kFarNs, full - now_ns));
    return wait;
  }

 private:
  struct Subject {
    Digest digest;
    std::int64_t full_ns;  // steady
    std::int64_t asked_ns;
  };
  using Subjects = std::list<Subject>;  // the one that was asked for last in front

  void forget(Subjects::iterator one) {
    by_subject_.erase(one->digest);
    subjects_.erase(one);
  }
  // A few at a time, so that no call pays for many; one that is still owed something is kept.
  void forget_idle(std::int64_t now_ns) {
    for (int i = 0; i < 2 && !subjects_.empty(); ++i) {
      const auto last = std::prev(subjects_.end());
      if (now_ns - last->asked_ns < kIdleNs || last->full_ns > now_ns) return;
      forget(last);
    }
  }

  const bool active_;
  std::int64_t interval_ns_ = 0;  // one token
  std::int64_t depth_ns_ = 0;  // the other tokens of a full bucket
  std::mutex mutex_;
  Subjects subjects_;  // under mutex_, like the next
  std::unordered_map<Digest, Subjects::iterator, DigestHash> by_subject_;
};

class TokenBuckets final : public RateLimiter {
 public:
  TokenBuckets(const RateLimits& limits, Clock& clock)
      : clock_(clock), buckets_{Bucket(limits[0]), Bucket(limits[1]), Bucket(limits[2]), Bucket(limits[3])} {}

  std::int64_t take(RateBucket bucket, std::string_view subject) override {
    const auto wait = of(bucket).ask(subject, clock_, false);
    return wait == 0 ? 0 : (wait - 1) / kNanosPerSecond + 1;
  }
  std::int64_t reserve_ns(RateBucket bucket, std::string_view subject) override {
    return of(bucket).ask(subject, clock_, true);
  }

 private:
  Bucket& of(RateBucket bucket) { return buckets_[static_cast<std::size_t>(bucket)]; }

  Clock& clock_;
  std::array<Bucket, kRateBuckets> buckets_;
};

}  // namespace

std::unique_ptr<RateLimiter> make_rate_limiter(const RateLimits& limits, Clock& clock) {
  return std::make_unique<TokenBuckets>(limits, clock);
}

std::string_view rate_scope(RateBucket bucket) {
  switch (bucket) {
    case RateBucket::kProducer: return "producer";
    case RateBucket::kWorker: return "worker";
    case RateBucket::kWebhook: return "webhook";
    case RateBucket::kAdmin: return "admin";
  }
  return "";
}

}  // namespace codeq::services
