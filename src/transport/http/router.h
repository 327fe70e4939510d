// Which route a request is for: the table of every path that we answer.
//
// Cost     one pass over the path; a copy only where it holds percent escapes
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "transport/http/request.h"

namespace codeq::transport::http {

enum class RouteId : std::uint8_t {
  kCreate,
  kCreateBatch,
  kClaim,
  kClaimBatch,
  kHeartbeat,
  kAbandon,
  kNack,
  kSubmit,
  kSubmitBatch,
  kGetTask,
  kGetResult,
  kGetTrace,
  kListDeliveries,
  kReplayDelivery,
  kCleanup,
  kPutTopic,
  kGetTopic,
  kDeleteTopic,
  kSubscribe,
  kRenewSubscription,
  kListSubscriptions,
  kUnsubscribe,
  kListTasks,
  kCancel,
  kAdminQueues,
  kAdminQueue,
  kPauseQueue,
  kResumeQueue,
  kDeadLetters,
  kRedrive,
  kPurge,
  kRaftStatus,
  kOpenApi,
  kLivez,
  kReadyz,
  kHealthz,
  kVersion,
  kMetrics,
};
enum class AuthKind : std::uint8_t { kNone, kProducer, kWorker, kAny, kAdmin };  // kAdmin: a producer who is one

struct Route {
  RouteId id;
  Method method;
  AuthKind auth;
  std::string_view scope;       // a worker needs it; empty: none
  std::string_view path;        // as in http.route, `:name` stands for one segment
  std::string_view span_name;   // "<METHOD> <path>"
};

struct Match {
  enum class Kind : std::uint8_t { kRoute, kNotFound, kRedirect, kBadPath } kind = Kind::kNotFound;
  const Route* route = nullptr;
  std::string id;                // the segment behind `:name`, percent-decoded
  std::string_view query;        // after the `?`; borrows the target
  std::string location;          // of a redirect
};

// Every route, in no order that matters.
std::span<const Route> routes();

// `target`: of the request line. The absolute form is taken too; a bad percent escape is kBadPath.
Match match(Method method, std::string_view target);

// The value of `name` in a query string, percent-decoded; false if it is not there.
bool query_value(std::string_view query, std::string_view name, std::string& out);

}  // namespace codeq::transport::http
