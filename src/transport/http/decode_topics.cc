#include "transport/http/decode_topics.h"

#include <algorithm>
#include <array>

#include "core/json_scan.h"

namespace codeq::transport::http {
namespace {

using core::JsonMember;
using core::JsonType;

constexpr std::size_t kTopicBodyBytesMax = std::size_t{1} << 20;
constexpr std::size_t kTiersMax = 10;
constexpr std::size_t kShownBytesMax = 64;  // of a name that the caller made up
constexpr std::string_view kLabelRule = "must be a DNS label with at most 63 characters";
constexpr std::array<std::string_view, 5> kTopicFields = {"priorityTiers", "maxAttempts", "deadLetterTopicRef",
                                                          "retentionSeconds", "maxConsumers"};

std::unexpected<Error> invalid(const std::string& detail) {
  return fail(Code::kInvalidBody, "invalid request body: " + detail);
}

bool read_int(const JsonMember& member, std::int64_t& out) {
  if (member.type == JsonType::kNull) return true;
  const auto number = core::json_int(member.value);
  if (member.type != JsonType::kNumber || !number) return false;
  out = *number;
  return true;
}

bool read_string(const JsonMember& member, std::string& out) {
  if (member.type == JsonType::kNull) return true;
  auto text = member.type == JsonType::kString ? core::json_unescape(member.value) : std::nullopt;
  if (!text) return false;
  out = *std::move(text);
  return true;
}

bool read_tiers(const JsonMember& member, std::vector<std::int64_t>& out, std::size_t depth_max) {
  out.clear();
  if (member.type == JsonType::kNull) return true;
  const auto visit = [&](const JsonMember& element) {
    std::int64_t tier = 0;
    if (!read_int(element, tier)) return false;
    if (out.size() <= kTiersMax) out.push_back(tier);
    return true;
  };
  return !core::scan_array(member.value, visit, depth_max);
}

bool read_field(std::size_t field, const JsonMember& member, TopicBody& out, std::size_t depth_max) {
  switch (field) {
    case 0: return read_tiers(member, out.priority_tiers, depth_max);
    case 1: return read_int(member, out.max_attempts);
    case 2: return read_string(member, out.dead_letter);
    case 3: return read_int(member, out.retention_seconds);
    default: return read_int(member, out.max_consumers);
  }
}

bool blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool valid_topic_name(std::string_view name) {
  if (name.empty() || name.size() > 63 || !letter_or_digit(name.front()) || !letter_or_digit(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return letter_or_digit(c) || c == '-'; });
}

Result<TopicBody> decode_topic_body(std::string_view body, std::size_t depth_max) {
  if (body.size() > kTopicBodyBytesMax) return invalid("http: request body too large");
  if (blank(body)) return invalid("EOF");
  TopicBody topic;
  std::string refused;  // what this one says goes before the scanner's own words
  const auto visit = [&](const JsonMember& member) {
    const auto field = core::json_name(member.key_raw, kTopicFields);
    if (!field) {
      refused =
          "json: unknown field \"" + core::json_unescape(member.key_raw).value_or("").substr(0, kShownBytesMax) + '"';
      return false;
    }
    if (read_field(*field, member, topic, depth_max)) return true;
    refused = "json: cannot unmarshal the value of field " + std::string(kTopicFields[*field]);
    return false;
  };
  const auto error = core::scan_object(body, visit, depth_max);
  if (!error) return topic;
  if (!refused.empty()) return invalid(refused);
  if (error->offset > 0 && error->offset < body.size() && core::valid_json(body.substr(0, error->offset), depth_max))
    return invalid("only one JSON object is allowed");
  if (core::valid_json(body, depth_max)) {
    if (body.substr(body.find_first_not_of(" \t\r\n")).starts_with("null")) return topic;
    return invalid("json: cannot unmarshal the body into an object");
  }
  return invalid(std::string(error->reason));
}

std::optional<FieldError> check_topic(std::string_view name, const TopicBody& body) {
  if (!valid_topic_name(name)) return FieldError{"topicName", kLabelRule};
  auto tiers = body.priority_tiers;
  if (tiers.empty() || tiers.size() > kTiersMax)
    return FieldError{"priorityTiers", "must contain between 1 and 10 priorities"};
  if (std::any_of(tiers.begin(), tiers.end(), [](auto tier) { return tier < 0 || tier > 10; }))
    return FieldError{"priorityTiers", "priorities must be integers from 0 through 10"};
  std::sort(tiers.begin(), tiers.end());
  if (std::adjacent_find(tiers.begin(), tiers.end()) != tiers.end())
    return FieldError{"priorityTiers", "priorities must be unique"};
  if (body.max_attempts < 1 || body.max_attempts > 100) return FieldError{"maxAttempts", "must be between 1 and 100"};
  if (!valid_topic_name(body.dead_letter)) return FieldError{"deadLetterTopicRef", kLabelRule};
  if (body.dead_letter == name) return FieldError{"deadLetterTopicRef", "must differ from topicName"};
  if (body.retention_seconds < 0 || body.retention_seconds > 2'147'483'647)
    return FieldError{"retentionSeconds", "must be between 0 and 2147483647"};
  if (body.max_consumers < 0 || body.max_consumers > 10'000)
    return FieldError{"maxConsumers", "must be between 0 and 10000"};
  return std::nullopt;
}

core::TopicPolicy policy_of(TopicBody&& body) {
  core::TopicPolicy policy;
  for (const auto tier : body.priority_tiers) policy.priority_tiers.push_back(static_cast<std::uint8_t>(tier));
  std::sort(policy.priority_tiers.begin(), policy.priority_tiers.end());
  policy.max_attempts = static_cast<std::uint32_t>(body.max_attempts);
  policy.dead_letter = std::move(body.dead_letter);
  policy.retention_seconds = body.retention_seconds;
  policy.max_consumers = static_cast<std::uint32_t>(body.max_consumers);
  return policy;
}

Result<services::Subscribe> decode_subscribe(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 6> kNames = {"callbackUrl",  "eventTypes", "ttlSeconds",
                                                             "deliveryMode", "groupId",    "minIntervalSeconds"};
  services::Subscribe ask;
  std::string mode;
  const auto read_types = [&](const JsonMember& member) {
    ask.event_types.clear();
    if (member.type == JsonType::kNull) return true;
    const auto visit = [&](const JsonMember& element) { return read_string(element, ask.event_types.emplace_back()); };
    return !core::scan_array(member.value, visit, depth_max);
  };
  const auto visit = [&](const JsonMember& member) {
    const auto name = core::json_name(member.key_raw, kNames);
    if (!name) return true;
    switch (*name) {
      case 0: return read_string(member, ask.callback_url);
      case 1: return read_types(member);
      case 2: return read_int(member, ask.ttl_seconds);
      case 3: return read_string(member, mode);
      case 4: return read_string(member, ask.group);
      default: return read_int(member, ask.min_interval_seconds);
    }
  };
  if (core::scan_object(body, visit, depth_max) || ask.callback_url.empty())
    return fail(Code::kInvalidBody, "invalid body");
  if (mode.empty() || mode == "fanout")
    ask.mode = core::DeliveryMode::kFanout;
  else if (mode == "group")
    ask.mode = core::DeliveryMode::kGroup;
  else if (mode == "hash")
    ask.mode = core::DeliveryMode::kHash;
  else
    return fail(Code::kInvalidArgument, "invalid deliveryMode");
  return ask;
}

std::int64_t decode_ttl_seconds(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 1> kNames = {"ttlSeconds"};
  std::int64_t seconds = 0;
  const auto visit = [&](const JsonMember& member) {
    return !core::json_name(member.key_raw, kNames) || read_int(member, seconds);
  };
  return core::scan_object(body, visit, depth_max) ? 0 : seconds;
}

}  // namespace codeq::transport::http
