// The keys behind one JWKS address: fetched ahead, kept for a while when the address does not answer. Internal to
// services/auth.
//
//   start ----> fetch ----> keys, fresh for five minutes ----(after four)----> fetch ...
//                 |  fails: what there was goes on serving, for six hours; again after 1, 2, 4, 8, 10, 10 ... seconds
//   an unknown `kid`: one fetch for all who ask, at most one a second; a name that was looked for in vain is not asked for
//   again for ten seconds
//
// Bounds   kWaitersMax calls that wait, kLookedForMax names that were looked for in vain
// Threads  any; `wait_for`'s callbacks on HttpGet's thread, or at once
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "services/auth/jwk.h"
#include "services/http_get.h"

namespace codeq::services::auth {

class KeySet : public std::enable_shared_from_this<KeySet> {  // callbacks of HttpGet hold it weakly
 public:
  static constexpr std::int64_t kRefreshNs = 240 * kNanosPerSecond;  // fresh is 300: the reference's number
  static constexpr std::int64_t kStaleNs = 6 * 3600 * kNanosPerSecond;  // without a good answer for so long: no keys
  static constexpr std::int64_t kPaceNs = kNanosPerSecond;  // between two fetches for unknown names
  static constexpr std::int64_t kRetryNsMax = 10 * kNanosPerSecond;
  static constexpr std::int64_t kLookedForNs = 10 * kNanosPerSecond;
  static constexpr std::size_t kWaitersMax = 4096;
  static constexpr std::size_t kLookedForMax = 2 * kWaitersMax;

  // `http` null: there are never any keys.
  KeySet(std::string url, std::chrono::milliseconds timeout, Clock& clock, HttpGet* http)
      : url_(std::move(url)), timeout_(timeout), clock_(clock), http_(http) {}
  KeySet(const KeySet&) = delete;
  KeySet& operator=(const KeySet&) = delete;

  void start();  // the first fetch, in the background
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }

  struct View {
    std::shared_ptr<const Jwks> keys;  // shared with later views; null: none, or too old to be trusted
    std::uint64_t generation = 0;  // another one where the keys may differ
  };
  [[nodiscard]] View view() const;

  enum class Unknown : std::uint8_t { kAsk, kNotFound, kUnreachable };
  // What can be said of a name that is not in the view.
  [[nodiscard]] Unknown unknown(const std::string& kid) const;
  // `then` once a fetch is over that may bring `kid`, or at once where it is known or there is nothing to wait for.
  // False: too many wait already, and `then` is not called.
  [[nodiscard]] bool wait_for(const std::string& kid, std::move_only_function<void()> then);

 private:
  struct Waiter {
    std::string kid;
    std::move_only_function<void()> then;
  };

  [[nodiscard]] bool trusted() const;  // mutex_ held, as for the next three
  [[nodiscard]] Unknown unknown_now(const std::string& kid) const;
  void take(Jwks keys, std::int64_t now);
  [[nodiscard]] std::int64_t next_wait() const;
  void fetch();  // in_flight_ is set
  void fetched(HttpGetAnswer answer);
  void tick(std::uint64_t timer);
  void paced();

  const std::string url_;
  const std::chrono::milliseconds timeout_;
  Clock& clock_;
  HttpGet* const http_;

  mutable std::mutex mutex_;  // everything below
  std::shared_ptr<const Jwks> keys_;
  std::uint64_t generation_ = 0;
  std::int64_t fetched_ns_ = 0;  // steady, of the last good answer; of the last answer for `ended_ns_`
  std::int64_t ended_ns_ = 0;
  std::uint64_t fetches_ = 0;  // ended
  unsigned failures_ = 0;  // since the last good one
  bool in_flight_ = false;
  bool pacing_ = false;  // a fetch for those who wait comes as soon as it may
  std::uint64_t timer_ = 0;  // the newest: older ones do nothing
  std::unordered_map<std::string, std::int64_t> looked_for_;  // in vain, and when
  std::vector<Waiter> waiters_;
};

}  // namespace codeq::services::auth
