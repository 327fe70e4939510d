// From a query or a body to the filters of lists, dead letters and cancellations: the field rules of api/openapi.yaml.
//
// Rules    a body that deletes or revives is read strictly: a filter whose name is wrong must not mean "all"
// Errors   kInvalidArgument with the name of the parameter, kInvalidBody
// Bounds   filters of at most 256 bytes (commands, workers) and 1,024 (reasons), 1,000 ids
// Threads  pure functions
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "services/broker.h"

namespace codeq::transport::http {

inline constexpr std::size_t kListDefault = 50, kListMax = 200;
inline constexpr std::int64_t kDeadWorkDefault = 1000, kDeadWorkMax = 10'000;
inline constexpr std::size_t kIdsMax = 1000;
inline constexpr std::size_t kReasonBytesMax = 1024;

struct DeadLetterQuery {
  services::DeadLetterFilter filter;
  std::string from;  // 16 bytes, or empty: from the beginning
};
struct DeadWorkBody {
  services::DeadLetterFilter filter;
  bool dry_run = false;
  std::int64_t rate_per_second = 0;  // 0: no bound
};

Result<services::TaskFilter> decode_task_query(std::string_view query);
Result<DeadLetterQuery> decode_dead_letter_query(std::string_view query);
// `redrive`: ratePerSecond is a member; a purge has none. An empty body is an empty object.
Result<DeadWorkBody> decode_dead_work(std::string_view body, bool redrive, std::size_t depth_max);
// The reason, which may be empty, as the body may.
Result<std::string> decode_cancel(std::string_view body, std::size_t depth_max);

// What a list says where its next page begins, and back.
std::string cursor_text(std::string_view bytes);

}  // namespace codeq::transport::http
