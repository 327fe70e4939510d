// From the bytes of a request body to what the Broker is asked: the field rules of api/openapi.yaml.
//
// Rules    unknown fields are ignored, names match in any case, the last of several wins, null leaves the default
// Errors   kInvalidBody with the route's text, kInvalidRunAt, kInvalidDelay, kBatchTooLarge, kInvalidArtifact; what needs
//          the task's state is the Broker's to refuse
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

inline constexpr std::size_t kBatchMax = 100;
inline constexpr std::int64_t kClaimWaitSecondsMax = 30;
inline constexpr std::int64_t kResultWaitSecondsMax = 60;

struct Upload {
  std::string name;
  std::string bytes;
};

struct SubmitBody {
  services::SubmitResult submit;  // artifacts with a URL are in it
  std::vector<Upload> uploads;  // those that came as content, decoded
  std::optional<Error> refused;  // an artifact that cannot be accepted
};

struct OwnerBody {
  std::optional<std::uint64_t> lease_token;
  std::int64_t seconds = 0;  // extendSeconds or delaySeconds
  std::string reason;
};

struct CleanupBody {
  std::int64_t limit = 0;  // as sent
  std::optional<std::int64_t> before_ns;
  std::string before;  // as it is said back: whole seconds
};

// `depth_max`: how deep arrays and objects may nest in a body.
Result<services::CreateTask> decode_create(std::string_view body, std::size_t depth_max);
// Per item what a single create would have been told, so that one bad item does not fail the others.
Result<std::vector<Result<services::CreateTask>>> decode_create_batch(std::string_view body, std::size_t depth_max);
Result<services::ClaimTasks> decode_claim(std::string_view body, std::size_t depth_max);
Result<services::ClaimTasks> decode_claim_batch(std::string_view body, std::size_t depth_max);
Result<OwnerBody> decode_heartbeat(std::string_view body, std::size_t depth_max);
Result<OwnerBody> decode_nack(std::string_view body, std::size_t depth_max);
// An abandon reads no body but for a leaseToken; anything that is not JSON is ignored as the reference does.
Result<OwnerBody> decode_abandon(std::string_view body, std::size_t depth_max);
// Anything that is not JSON is ignored as the reference does; a `before` that is no time is kInvalidArgument.
Result<CleanupBody> decode_cleanup(std::string_view body, std::size_t depth_max);
Result<SubmitBody> decode_submit(std::string_view body, std::size_t depth_max);
Result<std::vector<SubmitBody>> decode_submit_batch(std::string_view body, std::size_t depth_max);

// What a submission must look like whatever the task's state: kInvalidStatus, kResultRequired, kErrorRequired.
Result<> check_submission(const services::SubmitResult& submit);
// Not empty, no separators, not `.` or `..`, at most 255 bytes, no control characters.
bool valid_artifact_name(std::string_view name);

}  // namespace codeq::transport::http
