#include "services/auth/key_set.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace codeq::services::auth {
namespace {

bool same_keys(const Jwks& a, const Jwks& b) {
  return a.size() == b.size() &&
         std::ranges::all_of(a.keys(), [&](const Key& key) { return b.holds(key.fingerprint); });
}

}  // namespace

void KeySet::start() {
  if (http_ == nullptr) return;
  {
    const std::scoped_lock lock(mutex_);
    if (in_flight_) return;
    in_flight_ = true;
  }
  fetch();
}

bool KeySet::trusted() const { return keys_ != nullptr && clock_.steady_ns() - fetched_ns_ < kStaleNs; }

KeySet::View KeySet::view() const {
  const std::scoped_lock lock(mutex_);
  if (!trusted()) return {.keys = nullptr, .generation = generation_};
  return {.keys = keys_, .generation = generation_};
}

KeySet::Unknown KeySet::unknown(const std::string& kid) const {
  const std::scoped_lock lock(mutex_);
  return unknown_now(kid);
}

KeySet::Unknown KeySet::unknown_now(const std::string& kid) const {
  if (http_ == nullptr) return Unknown::kUnreachable;
  const auto looked = looked_for_.find(kid);
  if (looked != looked_for_.end() && clock_.steady_ns() - looked->second < kLookedForNs) return Unknown::kNotFound;
  if (in_flight_) return Unknown::kAsk;
  // After a failure the next try comes by itself: those who ask meanwhile are not kept waiting, and do not hasten it.
  return failures_ > 0 ? Unknown::kUnreachable : Unknown::kAsk;
}

bool KeySet::wait_for(const std::string& kid, std::move_only_function<void()> then) {
  bool now = false;
  std::int64_t wait = 0;
  {
    const std::scoped_lock lock(mutex_);
    if ((trusted() && keys_->knows(kid)) || unknown_now(kid) != Unknown::kAsk) {
      now = true;
    } else {
      if (waiters_.size() >= kWaitersMax) return false;
      waiters_.push_back({kid, std::move(then)});
      if (in_flight_ || pacing_) return true;
      if (fetches_ > 0) wait = std::max<std::int64_t>(0, ended_ns_ + kPaceNs - clock_.steady_ns());
      (wait > 0 ? pacing_ : in_flight_) = true;
    }
  }
  if (now) {
    then();
  } else if (wait > 0) {
    http_->after(std::chrono::nanoseconds(wait), [self = weak_from_this()] {
      if (const auto set = self.lock()) set->paced();
    });
  } else {
    fetch();
  }
  return true;
}

void KeySet::paced() {
  {
    const std::scoped_lock lock(mutex_);
    pacing_ = false;
    if (in_flight_ || waiters_.empty()) return;
    in_flight_ = true;
  }
  fetch();
}

void KeySet::tick(std::uint64_t timer) {
  {
    const std::scoped_lock lock(mutex_);
    if (timer != timer_ || in_flight_) return;
    in_flight_ = true;
  }
  fetch();
}

void KeySet::fetch() {
  http_->get({.url = url_, .timeout = timeout_, .body_bytes_max = kJwksBytesMax},
             [self = weak_from_this()](HttpGetAnswer answer) {
               if (const auto set = self.lock()) set->fetched(std::move(answer));
             });
}

void KeySet::take(Jwks keys, std::int64_t now) {
  if (keys_ == nullptr || !same_keys(*keys_, keys)) {
    keys_ = std::make_shared<const Jwks>(std::move(keys));
    ++generation_;
  }
  fetched_ns_ = now;
  if (looked_for_.size() + waiters_.size() > kLookedForMax) {
    std::erase_if(looked_for_, [&](const auto& looked) { return now - looked.second >= kLookedForNs; });
    if (looked_for_.size() + waiters_.size() > kLookedForMax) looked_for_.clear();  // the pace bounds what that costs
  }
  for (const auto& waiter : waiters_)
    if (!keys_->knows(waiter.kid)) looked_for_.insert_or_assign(waiter.kid, now);
}

std::int64_t KeySet::next_wait() const {
  if (failures_ == 0) return kRefreshNs;
  return std::min(kRetryNsMax, kNanosPerSecond << std::min(failures_ - 1, 10U));
}

void KeySet::fetched(HttpGetAnswer answer) {
  auto keys = answer.http_status == 200 ? Jwks::read(answer.body) : fail(Code::kIo, "");
  std::string why;
  if (answer.http_status == 0)
    why = answer.error;
  else if (answer.http_status != 200)
    why = "status " + std::to_string(answer.http_status);
  else if (!keys)
    why = keys.error().message;
  std::vector<Waiter> waiters;
  std::uint64_t timer = 0;
  std::int64_t wait = 0;
  unsigned failed_before = 0;
  std::size_t usable = 0;
  bool serving = false;
  {
    const std::scoped_lock lock(mutex_);
    const auto now = clock_.steady_ns();
    in_flight_ = false;
    ended_ns_ = now;
    ++fetches_;
    failed_before = failures_;
    if (keys) {
      failures_ = 0;
      take(*std::move(keys), now);
      usable = keys_->size();
    } else {
      ++failures_;
    }
    serving = trusted();
    waiters.swap(waiters_);
    timer = ++timer_;
    wait = next_wait();
  }
  // The address stays out of the log: it is the operator's, and may carry a secret of theirs.
  if (!why.empty() && failed_before == 0)
    spdlog::warn("a key set of JWTs cannot be fetched ({}); {}", why,
                 serving ? "the keys from before go on serving" : "tokens that need it are refused until it can");
  if (why.empty() && failed_before > 0) spdlog::info("a key set of JWTs was fetched again, {} keys", usable);
  if (why.empty() && usable == 0) spdlog::warn("a key set of JWTs has no key that can be used");
  http_->after(std::chrono::nanoseconds(wait), [self = weak_from_this(), timer] {
    if (const auto set = self.lock()) set->tick(timer);
  });
  for (auto& waiter : waiters) waiter.then();
}

}  // namespace codeq::services::auth
