// Topics and subscriptions in the state: what their records do, what a topic's policy does to tasks, their rows.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/plant.h"
#include "core/catalogue_codec.h"
#include "core/state.h"
#include "core/webhook_url.h"

namespace codeq::core {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kExpiredPerRecord = 1000;

std::string topic_row(const std::string& key) { return std::string(kTopicRows) + key; }
std::string subscription_row(const std::string& id) { return std::string(kSubscriptionRows) + id; }

std::string row_of(const Topic& topic) {
  std::string out;
  Writer io(out);
  io(kVersion);
  topic_fields(io, topic);
  io.end();
  return out;
}

std::string row_of(const Subscription& subscription) {
  std::string out;
  Writer io(out);
  io(kVersion);
  subscription_fields(io, subscription);
  io.end();
  return out;
}

}  // namespace

Result<Topic> decode_topic(std::string_view value) {
  Topic topic;
  Reader io(value);
  std::uint8_t version = 0;
  io(version);
  topic_fields(io, topic);
  if (!io.ok() || !io.at_end() || version != kVersion)
    return fail(Code::kCorrupt, "a row of the store cannot be read: table meta, a topic");
  return topic;
}

Result<Subscription> decode_subscription(std::string_view value) {
  Subscription subscription;
  Reader io(value);
  std::uint8_t version = 0;
  io(version);
  subscription_fields(io, subscription);
  if (!io.ok() || !io.at_end() || version != kVersion)
    return fail(Code::kCorrupt, "a row of the store cannot be read: table meta, a subscription");
  subscription.host = webhook_host(subscription.callback_url).value_or("");
  return subscription;
}

// ---------------------------------------------------------------- topics

bool Queue::full() const {
  return limited() && holders.size() >= topic->policy.max_consumers + (planted(Plant::kOneConsumerMore) ? 1U : 0U);
}

const Topic* State::topic(std::string_view tenant, std::string_view name) const {
  if (topics_.empty()) return nullptr;
  const auto it = topics_.find(queue_key(tenant, name));
  return it == topics_.end() ? nullptr : &it->second;
}

std::size_t State::topics_of(const std::string& tenant) const {
  const auto from = topics_.lower_bound(tenant + '\0');
  const auto until = topics_.lower_bound(tenant + '\1');
  return static_cast<std::size_t>(std::distance(from, until));
}

// Every lease counts, limit or not: one that is set later knows the holders without reading a task.
void State::count_holder(Queue& queue, const std::string& worker) {
  if (++queue.holders[worker] == 1) ++holders_;
}

void State::release_holder(const Task& task, Effects& effects) {
  auto& queue = *task.queue;
  const auto it = queue.holders.find(*task.worker);
  CHECK(it != queue.holders.end());
  if (--it->second > 0) return;
  queue.holders.erase(it);
  --holders_;
  effects.consumer_left = queue.limited();
}

Result<Effects> State::on(const PutTopicRecord& r) {
  Effects effects;
  const auto key = queue_key(r.tenant, r.name);
  auto [it, created] = topics_.try_emplace(key);
  auto& topic = it->second;
  if (!created && topic.policy == r.policy) {
    effects.duplicate = true;  // nothing changes, its time neither
    return effects;
  }
  if (created) {
    topic.tenant = r.tenant;
    topic.name = r.name;
    topic.created_ns = r.time_ns;
  }
  topic.policy = r.policy;
  topic.updated_ns = r.time_ns;
  ++topic.version;
  put(Table::kMeta, topic_row(key), row_of(topic));
  if (const auto queue = queues_.find(key); queue != queues_.end()) queue->second->topic = &topic;
  return effects;
}

Result<Effects> State::on(const DeleteTopicRecord& r) {
  Effects effects;
  const auto key = queue_key(r.tenant, r.name);
  if (topics_.erase(key) == 0) {
    effects.duplicate = true;
    return effects;
  }
  erase(Table::kMeta, topic_row(key));
  if (const auto queue = queues_.find(key); queue != queues_.end()) queue->second->topic = nullptr;
  return effects;
}

// What died in a queue with a dead-letter topic begins again in that one: the same payload and trace, nothing else of its past.
void State::copy_dead(const Task& dead, std::int64_t now_ns, const ReturnRules& rules, Effects& effects) {
  const auto& from = *dead.info;
  const auto* policy = dead.queue->topic == nullptr ? nullptr : &dead.queue->topic->policy;
  // A copy is not copied again, so that two topics that name each other come to an end.
  if (policy == nullptr || policy->dead_letter.empty() || from.from_dead_letter || !rules.copy_span.valid()) return;
  auto info = std::make_shared<TaskInfo>();
  info->id = {
      .sequence = ++last_sequence_, .random = rules.copy_random & kIdRandomMask, .partition = from.id.partition};
  info->id_text = to_string(info->id);
  info->tenant = from.tenant;
  info->command = policy->dead_letter;
  info->priority = from.priority;
  const auto* own = topic(from.tenant, info->command);
  info->max_attempts = own != nullptr ? own->policy.max_attempts : from.max_attempts;
  info->created_ns = now_ns;
  info->trace = from.trace;
  if (from.traced) info->trace.span.span_id = rules.copy_span;
  info->create_span = rules.copy_span;
  info->create_parent = rules.dead_letter_span;
  info->traced = from.traced;
  info->timeline_trace_id = from.timeline_trace_id;
  info->from_dead_letter = true;
  auto& copy = add_task(std::move(info), dead.payload);
  Effects of_copy;
  note(copy,
       {.kind = EventKind::kCreate,
        .attempt = 0,
        .start_ns = now_ns,
        .end_ns = 0,
        .span = rules.copy_span,
        .parent = rules.dead_letter_span},
       of_copy);
  make_ready(copy, now_ns, WaitCause::kReady, of_copy);
  effects.copy = &copy;
  effects.copy_events = of_copy.events;
}

Result<void> State::restore_topic(std::string_view value) {
  CODEQ_TRY(auto topic, decode_topic(value));
  auto key = queue_key(topic.tenant, topic.name);
  auto& kept = topics_[key] = std::move(topic);
  if (const auto queue = queues_.find(key); queue != queues_.end()) queue->second->topic = &kept;
  return {};
}

// ---------------------------------------------------------------- subscriptions

Result<Effects> State::on(const SubscribeRecord& r) {
  if (subscriptions_.find(r.subscription.id) != nullptr)
    return fail(Code::kInternal, "a subscription's id stands twice");
  auto made = r.subscription;
  made.created_ns = r.time_ns;
  made.host = webhook_host(made.callback_url).value_or("");
  put(Table::kMeta, subscription_row(made.id), row_of(made));
  subscriptions_.add(std::move(made));
  return Effects{};
}

const Subscription* State::subscription_of(const std::string& id, const std::string& tenant, const std::string& subject,
                                           std::int64_t now_ns) const {
  const auto* found = subscriptions_.find(id);
  if (found == nullptr || found->tenant != tenant || found->owner != subject || now_ns >= found->expires_ns)
    return nullptr;
  return found;
}

Result<Effects> State::on(const RenewSubscriptionRecord& r) {
  const auto* found = subscription_of(r.id, r.tenant, r.subject, r.time_ns);
  if (found == nullptr) return fail(Code::kNotFound, "not-found");
  subscriptions_.renew(r.id, r.time_ns + r.ttl_ns);
  put(Table::kMeta, subscription_row(r.id), row_of(*found));
  return Effects{};
}

Result<Effects> State::on(const UnsubscribeRecord& r) {
  if (subscription_of(r.id, r.tenant, r.subject, r.time_ns) == nullptr) return fail(Code::kNotFound, "not-found");
  subscriptions_.remove(r.id);
  erase(Table::kMeta, subscription_row(r.id));
  return Effects{};
}

Result<Effects> State::on(const ExpireSubscriptionsRecord& r) {
  const auto over = subscriptions_.over(r.time_ns, kExpiredPerRecord);
  if (over.empty()) return fail(Code::kNotFound, "not-found");
  for (const auto& id : over) {
    subscriptions_.remove(id);
    erase(Table::kMeta, subscription_row(id));
  }
  return Effects{};
}

Result<void> State::restore_subscription(std::string_view value) {
  CODEQ_TRY(auto subscription, decode_subscription(value));
  if (subscriptions_.find(subscription.id) != nullptr)
    return fail(Code::kCorrupt, "a row of the store cannot be read: table meta, a subscription that stands twice");
  subscriptions_.add(std::move(subscription));
  return {};
}

// ---------------------------------------------------------------- digest

void State::digest_catalogue(std::string& out) const {
  Writer io(out);
  for (const auto& [key, topic] : topics_) topic_fields(io, topic);
  io(std::uint64_t{topics_.size()});
  for (const auto& [id, subscription] : subscriptions_.all()) subscription_fields(io, subscription);
  io.end();
}

}  // namespace codeq::core
