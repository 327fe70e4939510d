#include "catalogue.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "core/rfc3339.h"
#include "core/state.h"
#include "oracle.h"

namespace codeq::sim {

namespace {

constexpr std::string_view kUrl = "http://subscriber.example/";
constexpr std::int64_t kDayNs = 86'400 * kNanosPerSecond;

}  // namespace

TopicFact& Catalogue::topic(const std::string& tenant, const std::string& command) {
  return topics_[core::queue_key(tenant, command)];
}

Fact<bool>& Catalogue::paused(const std::string& tenant, const std::string& command) {
  return paused_[core::queue_key(tenant, command)];
}

std::int64_t Catalogue::retention_min(const std::string& tenant, const std::string& command, std::int64_t setting) {
  auto least = setting;
  topic(tenant, command).each([&](const std::optional<core::TopicPolicy>& policy) {
    if (policy && policy->retention_seconds > 0) least = std::min(least, policy->retention_seconds);
  });
  return least;
}

bool Catalogue::had_retention() const {
  bool had = false;
  for (const auto& [key, topic] : topics_)
    topic.each([&](const auto& policy) { had = had || (policy && policy->retention_seconds > 0); });
  return had;
}

bool Catalogue::may_copy(const std::string& tenant, const std::string& command, const std::string& to) {
  bool may = false;
  topic(tenant, command).each([&](const std::optional<core::TopicPolicy>& policy) {
    may = may || (policy && policy->dead_letter == to);
  });
  return may;
}

// ------------------------------------------------ subscriptions

std::string Catalogue::url_of(std::size_t number) { return std::string(kUrl) + std::to_string(number); }

Subscriber& Catalogue::subscribe_sent(services::Caller caller, services::Subscribe ask) {
  const auto number = subscribers_.size() + 1;
  ask.callback_url = url_of(number);
  return subscribers_[number] = {.number = number, .caller = std::move(caller), .ask = std::move(ask)};
}

Subscriber& Catalogue::same(const core::Subscription& answer) {
  std::size_t number = 0;
  const auto text = std::string_view(answer.callback_url).substr(std::min(kUrl.size(), answer.callback_url.size()));
  std::from_chars(text.data(), text.data() + text.size(), number);
  const auto found = subscribers_.find(number);
  if (found == subscribers_.end()) throw Violation{"a subscription that nobody made: " + answer.callback_url};
  auto& one = found->second;
  const bool whose = answer.tenant == one.caller.tenant && answer.owner == one.caller.subject;
  if (!whose || answer.event_types != one.ask.event_types || answer.mode != one.ask.mode ||
      answer.group != (one.ask.mode == core::DeliveryMode::kGroup ? one.ask.group : ""))
    throw Violation{fmt::format("subscription {} is not what was asked for", number)};
  if (!one.id.empty() && one.id != answer.id) throw Violation{fmt::format("subscription {} has two ids", number)};
  one.id = answer.id;
  return one;
}

void Catalogue::subscribed(Subscriber& one, const core::Subscription& answer) {
  if (&same(answer) != &one) throw Violation{"a subscription was answered with another one"};
  one.ends_first_ns = one.ends_last_ns = answer.expires_ns;
}

void Catalogue::renewed(Subscriber& one, std::int64_t would_end_ns, const Result<core::Subscription>& answer,
                        std::int64_t now_ns) {
  one.renewals_ns.erase(one.renewals_ns.find(would_end_ns));
  if (answer) {
    if (&same(*answer) != &one) throw Violation{"a renewal was answered with another subscription"};
    if (one.removed) throw Violation{fmt::format("subscription {} was removed and is renewed", one.number)};
    one.may_be_removed = false;
    one.ends_first_ns = one.ends_last_ns = answer->expires_ns;
    return;
  }
  if (answer.error().code == Code::kNotFound && !one.removed && !one.may_be_removed &&
      now_ns + kMomentNs < one.ends_first_ns)
    throw Violation{fmt::format("subscription {} is gone before its end, says a renewal", one.number)};
}

void Catalogue::unsubscribed(Subscriber& one, const Result<void>& answer, std::int64_t now_ns) {
  --one.removals;
  if (answer) {
    if (one.removed) throw Violation{fmt::format("subscription {} was removed twice", one.number)};
    one.removed = true;
  } else if (answer.error().code == Code::kNotFound) {
    if (!one.removed && !one.may_be_removed && now_ns + kMomentNs < one.ends_first_ns)
      throw Violation{fmt::format("subscription {} is gone before its end", one.number)};
    one.removed = true;
  }
}

void Catalogue::listed(const std::string& tenant, const std::vector<core::Subscription>& answer, std::int64_t asked_ns,
                       std::int64_t now_ns) {
  std::set<std::size_t> there;
  for (const auto& shown : answer) {
    auto& one = same(shown);
    if (!there.insert(one.number).second) throw Violation{fmt::format("subscription {} stands twice", one.number)};
    if (shown.tenant != tenant) throw Violation{"a tenant sees the subscription of another one"};
    if (one.removed) throw Violation{fmt::format("subscription {} was removed and is listed", one.number)};
    if (shown.expires_ns + kMomentNs <= asked_ns) throw Violation{fmt::format("subscription {} is listed after its end", one.number)};
    if (one.ends_first_ns != 0 && (shown.expires_ns < one.ends_first_ns || shown.expires_ns > one.ends_last_ns))
      throw Violation{fmt::format("subscription {} ends at {}, not from {} to {}", one.number, shown.expires_ns,
                                  one.ends_first_ns, one.ends_last_ns)};
    one.ends_first_ns = one.ends_last_ns = shown.expires_ns;
    one.may_be_removed = false;
  }
  for (auto& [number, one] : subscribers_) {
    if (one.caller.tenant != tenant || one.id.empty() || there.contains(number) || one.removed) continue;
    if (!one.may_be_removed && now_ns + kMomentNs < one.ends_first_ns)
      throw Violation{fmt::format("subscription {} was acknowledged until {} and is gone at {}", number, one.ends_first_ns,
                                  now_ns)};
    if (one.may_be_removed) one.removed = true;
  }
}

void Catalogue::called(const std::string& url, const std::string& body) const {
  std::size_t number = 0;
  std::from_chars(url.data() + kUrl.size(), url.data() + url.size(), number);
  const auto found = subscribers_.find(number);
  if (!url.starts_with(kUrl) || found == subscribers_.end())
    throw Violation{"somebody is called who never subscribed: " + url};
  const auto& one = found->second;
  if (one.removed) throw Violation{fmt::format("subscriber {} is called after it was removed", number)};
  constexpr std::string_view kSentAt = R"("sentAt":")";
  const auto at = body.find(kSentAt) + kSentAt.size();
  const auto sent_ns = core::parse_rfc3339(body.substr(at, body.find('"', at) - at)).value_or(INT64_MAX);
  if (one.ends_last_ns != 0 && sent_ns > one.ends_last_ns)
    throw Violation{fmt::format("subscriber {} is called at {}, after its end at {}", number, sent_ns, one.ends_last_ns)};
  constexpr std::string_view kType = R"({"eventType":")";
  const auto command = core::queue_key("", body.substr(kType.size(), body.find('"', kType.size()) - kType.size()));
  const auto& types = one.ask.event_types;
  if (std::none_of(types.begin(), types.end(), [&](const std::string& type) {
        return type == core::kAnyCommand || core::queue_key("", type) == command;
      }))
    throw Violation{fmt::format("subscriber {} is called for a queue that it did not name", number)};
}

void Catalogue::process_ended(std::int64_t now_ns) {
  for (auto& [key, topic] : topics_) topic.process_ended();
  for (auto& [key, pause] : paused_) pause.process_ended();
  for (auto& [number, one] : subscribers_) {
    one.may_be_removed = one.may_be_removed || std::exchange(one.removals, 0) > 0;
    for (const auto would_end_ns : std::exchange(one.renewals_ns, {})) {
      one.ends_first_ns = std::min(one.ends_first_ns, would_end_ns);
      one.ends_last_ns = std::max(one.ends_last_ns, now_ns + kDayNs);
    }
  }
}

}  // namespace codeq::sim
