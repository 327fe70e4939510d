// What was answered about queues: topics, pauses, subscriptions. Part of the oracle.
//
// Shape    a fact is what may be so: one thing once it was answered, more of them after a process died with a call under way
// Order    answers leave in the order in which they were decided, so what one tells holds until the next one
// Time     record time; a fact remembers what it was when
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "services/broker.h"

namespace codeq::sim {

// The record clock follows a wall clock that may go back: times are compared to within a moment.
inline constexpr std::int64_t kMomentNs = kNanosPerSecond;

// One value that calls change.
template <class T>
class Fact {
 public:
  using Call = std::uint64_t;
  explicit Fact(T first = {}) : periods_{{INT64_MIN, {std::move(first)}}} {}

  Call sent(T value, std::int64_t now_ns) {
    calls_[++last_] = {now_ns, std::move(value)};
    return last_;
  }
  void refused(Call call) { calls_.erase(call); }
  void answered(Call call, std::int64_t now_ns) {
    auto made = calls_.extract(call).mapped();
    widen(made);
    periods_.push_back({now_ns, {std::move(made.value)}});
  }
  // False: it cannot be so.
  [[nodiscard]] bool seen(const T& value, std::int64_t now_ns) {
    if (!may_be(value)) return false;
    if (now().size() > 1) periods_.push_back({now_ns, {value}});
    return true;
  }
  void process_ended() {
    for (const auto& [call, made] : calls_) widen(made);
    calls_.clear();
  }

  [[nodiscard]] const std::vector<T>& now() const { return periods_.back().values; }
  [[nodiscard]] bool may_be(const T& value) const { return std::find(now().begin(), now().end(), value) != now().end(); }
  [[nodiscard]] bool is(const T& value) const { return now().size() == 1 && now()[0] == value; }
  // What it may have been at that time, or a moment before or after.
  [[nodiscard]] std::vector<T> around(std::int64_t at_ns) const {
    std::vector<T> found;
    for (std::size_t i = 0; i < periods_.size(); ++i) {
      const bool begun = periods_[i].from_ns == INT64_MIN || periods_[i].from_ns <= at_ns + kMomentNs;
      const bool over = i + 1 < periods_.size() && periods_[i + 1].from_ns < at_ns - kMomentNs;
      if (begun && !over) found.insert(found.end(), periods_[i].values.begin(), periods_[i].values.end());
    }
    return found;
  }
  // Everything that it ever may have been.
  template <class F>
  void each(F&& f) const {
    for (const auto& period : periods_)
      for (const auto& value : period.values) f(value);
    for (const auto& [call, made] : calls_) f(made.value);
  }

 private:
  struct Made {
    std::int64_t sent_ns = 0;
    T value;
  };
  struct Period {  // until the next one begins
    std::int64_t from_ns = 0;
    std::vector<T> values;
  };
  void widen(const Made& made) {
    auto values = now();
    if (std::find(values.begin(), values.end(), made.value) == values.end()) values.push_back(made.value);
    periods_.push_back({made.sent_ns, std::move(values)});
  }

  std::vector<Period> periods_;
  std::map<Call, Made> calls_;
  Call last_ = 0;
};

using TopicFact = Fact<std::optional<core::TopicPolicy>>;

// One call to `subscribe`; its number stands in its URL.
struct Subscriber {
  std::size_t number = 0;
  services::Caller caller;
  services::Subscribe ask;
  std::string id;  // once it was told
  bool removed = false;
  bool may_be_removed = false;  // a process ended with that under way
  unsigned removals = 0;        // under way
  std::int64_t ends_first_ns = 0, ends_last_ns = 0;
  std::multiset<std::int64_t> renewals_ns;  // under way: when it would end at the earliest
};

class Catalogue {
 public:
  [[nodiscard]] TopicFact& topic(const std::string& tenant, const std::string& command);
  [[nodiscard]] Fact<bool>& paused(const std::string& tenant, const std::string& command);
  [[nodiscard]] std::map<std::string, Fact<bool>>& pauses() { return paused_; }  // by core::queue_key

  // Of the tasks that end in the queue, in seconds; `setting` where no topic says otherwise.
  [[nodiscard]] std::int64_t retention_min(const std::string& tenant, const std::string& command, std::int64_t setting);
  [[nodiscard]] bool had_retention() const;  // any topic, ever
  // Whether a task that died there may have a copy in the queue `to`.
  [[nodiscard]] bool may_copy(const std::string& tenant, const std::string& command, const std::string& to);

  Subscriber& subscribe_sent(services::Caller caller, services::Subscribe ask);
  [[nodiscard]] static std::string url_of(std::size_t number);
  void subscribed(Subscriber& one, const core::Subscription& answer);
  void renewed(Subscriber& one, std::int64_t would_end_ns, const Result<core::Subscription>& answer, std::int64_t now_ns);
  void unsubscribed(Subscriber& one, const Result<void>& answer, std::int64_t now_ns);
  void listed(const std::string& tenant, const std::vector<core::Subscription>& answer, std::int64_t asked_ns,
              std::int64_t now_ns);
  // A call to a subscriber begins.
  void called(const std::string& url, const std::string& body) const;
  [[nodiscard]] std::map<std::size_t, Subscriber>& subscribers() { return subscribers_; }

  void process_ended(std::int64_t now_ns);

 private:
  Subscriber& same(const core::Subscription& answer);

  std::map<std::string, TopicFact> topics_;
  std::map<std::string, Fact<bool>> paused_;
  std::map<std::size_t, Subscriber> subscribers_;
};

}  // namespace codeq::sim
