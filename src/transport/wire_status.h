// The one table that says what an error code is on each wire.
//
// Shape    Code -> HTTP status, gRPC status, the stable slug that clients branch on (a page each in docs/errors/)
// Source   gRPC numbers: https://grpc.io/docs/guides/status-codes/
#pragma once

#include <string_view>
#include <utility>

#include "base/result.h"

namespace codeq::transport {

enum class GrpcStatus : int {
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

struct WireStatus {
  int http;
  GrpcStatus grpc;
  std::string_view slug;
};

constexpr WireStatus wire_status(Code code) {
  using enum GrpcStatus;
  switch (code) {  // no default: with -Werror=switch a new Code does not compile until it is placed here
    case Code::kInvalidBody: return {400, kInvalidArgument, "invalid-body"};
    case Code::kInvalidRunAt: return {400, kInvalidArgument, "invalid-run-at"};
    case Code::kInvalidDelay: return {400, kInvalidArgument, "invalid-delay"};
    case Code::kInvalidCommand: return {400, kInvalidArgument, "invalid-command"};
    case Code::kInvalidWebhookUrl: return {400, kInvalidArgument, "invalid-webhook-url"};
    case Code::kInvalidArgument: return {400, kInvalidArgument, "invalid-argument"};
    case Code::kInvalidStatus: return {400, kInvalidArgument, "invalid-status"};
    case Code::kResultRequired: return {400, kInvalidArgument, "result-required"};
    case Code::kErrorRequired: return {400, kInvalidArgument, "error-required"};
    case Code::kInvalidArtifact: return {400, kInvalidArgument, "invalid-artifact"};
    case Code::kInvalidTopic: return {422, kInvalidArgument, "invalid-topic"};
    case Code::kBatchTooLarge: return {400, kInvalidArgument, "batch-too-large"};
    case Code::kBodyTooLarge: return {413, kResourceExhausted, "body-too-large"};
    case Code::kHeaderTooLarge: return {431, kResourceExhausted, "header-too-large"};
    case Code::kBadRequest: return {400, kInvalidArgument, "bad-request"};
    case Code::kRequestTimeout: return {408, kDeadlineExceeded, "request-timeout"};
    case Code::kUnauthenticated: return {401, kUnauthenticated, "unauthenticated"};
    case Code::kForbidden: return {403, kPermissionDenied, "forbidden"};
    case Code::kNotOwner: return {403, kPermissionDenied, "not-owner"};
    case Code::kNotFound: return {404, kNotFound, "not-found"};
    case Code::kTaskNotFound: return {404, kNotFound, "task-not-found"};
    case Code::kResultNotFound: return {404, kNotFound, "result-not-found"};
    case Code::kNotInProgress: return {409, kFailedPrecondition, "not-in-progress"};
    case Code::kLeaseLost: return {409, kFailedPrecondition, "lease-lost"};
    case Code::kIdempotencyMismatch: return {409, kAlreadyExists, "idempotency-mismatch"};
    case Code::kRateLimited: return {429, kResourceExhausted, "rate-limited"};
    case Code::kOverloaded: return {503, kResourceExhausted, "overloaded"};
    case Code::kDiskFull: return {503, kResourceExhausted, "disk-full"};
    case Code::kUnavailable: return {503, kUnavailable, "unavailable"};
    case Code::kCorrupt: return {500, kDataLoss, "corrupt"};
    case Code::kIo: return {500, kInternal, "io"};
    case Code::kInternal: return {500, kInternal, "internal"};
  }
  std::unreachable();
}

// The reason phrase of an HTTP status that we send.
std::string_view reason_phrase(int http_status);

}  // namespace codeq::transport
