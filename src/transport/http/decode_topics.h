// From the bytes of a request body to a topic's policy or a subscription: the field rules of api/openapi.yaml.
//
// Rules    a topic's body is strict: an unknown field or anything behind the object is refused; a subscription's is read
//          like every other body (decode.h)
// Errors   kInvalidBody with the route's text; what a rule refuses by field is check_topic's
// Threads  pure functions
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "services/broker.h"

namespace codeq::transport::http {

struct TopicBody {
  std::vector<std::int64_t> priority_tiers;  // as sent; those behind the eleventh are only known to be there
  std::int64_t max_attempts = 0;
  std::string dead_letter;
  std::int64_t retention_seconds = 0;
  std::int64_t max_consumers = 0;
};
struct FieldError {
  std::string_view field;
  std::string_view message;
};

Result<TopicBody> decode_topic_body(std::string_view body, std::size_t depth_max);
// A DNS label of at most 63 characters.
bool valid_topic_name(std::string_view name);
// The first rule that is broken, in the order of the reference.
std::optional<FieldError> check_topic(std::string_view name, const TopicBody& body);
core::TopicPolicy policy_of(TopicBody&& body);  // of one that was checked

// Without event types none stand in the answer.
Result<services::Subscribe> decode_subscribe(std::string_view body, std::size_t depth_max);
// 0 where none is there, or the body is no object.
std::int64_t decode_ttl_seconds(std::string_view body, std::size_t depth_max);

}  // namespace codeq::transport::http
