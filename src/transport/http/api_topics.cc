// Topics and subscriptions over HTTP.
#include <algorithm>

#include "core/json_scan.h"
#include "transport/http/api.h"
#include "transport/http/decode_topics.h"
#include "transport/http/respond.h"

namespace codeq::transport::http {
namespace {

// As every error, and which field it is about.
void respond_field_error(Exchange& exchange, const FieldError& error) {
  Api::respond_error(exchange,
                     {Code::kInvalidTopic, "invalid " + std::string(error.field) + ": " + std::string(error.message)});
  auto& body = exchange.response.body;
  body.pop_back();
  body += R"(,"field":")" + std::string(error.field) + "\"}";
}

void append_text(std::string& out, std::string_view key, std::string_view text) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
  core::append_json_string(out, text);
}

void append_integer(std::string& out, std::string_view key, std::int64_t number) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
  append_number(out, number);
}

void append_instant(std::string& out, std::string_view key, std::int64_t ns, const ZoneOffset& zone) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
  append_time(out, ns, zone);
}

// Times of topics are in UTC whatever the zone.
std::string topic_json(const core::Topic& topic) {
  const auto utc = [](std::int64_t) { return 0; };
  std::string out = "{";
  append_text(out, "topicId", topic.tenant + '.' + topic.name);
  append_text(out, "tenantId", topic.tenant);
  append_text(out, "topicName", topic.name);
  out += R"(,"policy":{"priorityTiers":[)";
  for (const auto tier : topic.policy.priority_tiers) {
    if (out.back() != '[') out += ',';
    append_number(out, tier);
  }
  out += ']';
  append_integer(out, "maxAttempts", topic.policy.max_attempts);
  append_text(out, "deadLetterTopicRef", topic.policy.dead_letter);
  if (topic.policy.retention_seconds != 0) append_integer(out, "retentionSeconds", topic.policy.retention_seconds);
  if (topic.policy.max_consumers != 0) append_integer(out, "maxConsumers", topic.policy.max_consumers);
  out += '}';
  append_integer(out, "version", topic.version);
  append_instant(out, "createdAt", topic.created_ns, utc);
  append_instant(out, "updatedAt", topic.updated_ns, utc);
  out += '}';
  return out;
}

std::string_view mode_text(core::DeliveryMode mode) {
  switch (mode) {
    case core::DeliveryMode::kFanout: return "fanout";
    case core::DeliveryMode::kGroup: return "group";
    case core::DeliveryMode::kHash: return "hash";
  }
  return "fanout";
}

}  // namespace

// ------------------------------------------------------------------------------------------------ topics

void Api::put_topic(const Shared& exchange, const Request& request) {
  auto body = decode_topic_body(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  if (const auto wrong = check_topic(exchange->id, *body)) return respond_field_error(*exchange, *wrong);
  exchange->waiting_for_broker = true;
  deps_.broker.put_topic(exchange->caller, exchange->id, policy_of(*std::move(body)),
                         reply_to<services::TopicPut>(exchange));
}

void Api::topic(const Shared& exchange, std::string_view query) {
  const bool get = exchange->route->id == RouteId::kGetTopic;
  std::string policy;
  if (!get && (!query_value(query, "deletionPolicy", policy) || policy != "Delete"))
    return respond_error(*exchange, {Code::kInvalidArgument, "deletionPolicy=Delete is required"});
  if (!valid_topic_name(exchange->id))
    return respond_field_error(*exchange, {"topicName", "must be a DNS label with at most 63 characters"});
  exchange->waiting_for_broker = true;
  if (get) return deps_.broker.get_topic(exchange->caller, exchange->id, reply_to<core::Topic>(exchange));
  deps_.broker.delete_topic(exchange->caller, exchange->id, reply_to<void>(exchange));
}

void Api::answer_topic(Exchange& exchange, const core::Topic& topic, bool created) {
  respond_json(exchange, created ? 201 : 200, topic_json(topic));
}

// ------------------------------------------------------------------------------------------------ subscriptions

void Api::subscribe(const Shared& exchange, const Request& request, const services::Principal& principal) {
  auto ask = decode_subscribe(request.body, depth_max_);
  if (!ask) return respond_error(*exchange, ask.error());
  for (const auto& type : ask->event_types)
    if (type == core::kAnyCommand ? !principal.any_event_type() : !principal.may_handle(type))
      return respond_error(*exchange, {Code::kForbidden, "event type not allowed"});
  // None named: whatever the token may handle.
  if (ask->event_types.empty()) {
    if (principal.any_event_type())
      ask->event_types.emplace_back(core::kAnyCommand);
    else
      ask->event_types = principal.event_types;
  }
  exchange->waiting_for_broker = true;
  deps_.broker.subscribe(exchange->caller, *std::move(ask), reply_to<core::Subscription>(exchange));
}

void Api::subscription(const Shared& exchange, const Request& request) {
  exchange->waiting_for_broker = true;
  switch (exchange->route->id) {
    case RouteId::kRenewSubscription:
      return deps_.broker.renew_subscription(exchange->caller, exchange->id,
                                             decode_ttl_seconds(request.body, depth_max_),
                                             reply_to<core::Subscription>(exchange));
    case RouteId::kUnsubscribe:
      return deps_.broker.unsubscribe(exchange->caller, exchange->id, reply_to<void>(exchange));
    default:
      return deps_.broker.list_subscriptions(exchange->caller, reply_to<std::vector<core::Subscription>>(exchange));
  }
}

void Api::answer_subscription(Exchange& exchange, const core::Subscription& subscription) const {
  std::string body = "{";
  append_instant(body, "expiresAt", subscription.expires_ns, zone_);
  append_text(body, "subscriptionId", subscription.id);
  body += '}';
  respond_json(exchange, 200, std::move(body));
}

// The address is the owner's alone: it can hold a secret. Nor does anybody else need the id.
void Api::answer_subscriptions(Exchange& exchange, const std::vector<core::Subscription>& subscriptions) const {
  std::string body = R"({"subscriptions":[)";
  for (const auto& one : subscriptions) {
    body += body.back() == '[' ? "{" : ",{";
    const bool own = one.owner == exchange.caller.subject;
    if (own) append_text(body, "subscriptionId", one.id);
    if (own) append_text(body, "callbackUrl", one.callback_url);
    append_text(body, "host", one.host);
    append_text(body, "workerId", one.owner);
    body += R"(,"eventTypes":[)";
    for (const auto& type : one.event_types) {
      if (body.back() != '[') body += ',';
      core::append_json_string(body, type);
    }
    body += ']';
    append_text(body, "deliveryMode", mode_text(one.mode));
    if (!one.group.empty()) append_text(body, "groupId", one.group);
    append_integer(body, "minIntervalSeconds", one.min_interval_seconds);
    append_instant(body, "createdAt", one.created_ns, zone_);
    append_instant(body, "expiresAt", one.expires_ns, zone_);
    body += '}';
  }
  body += "]}";
  respond_json(exchange, 200, std::move(body));
}

}  // namespace codeq::transport::http
