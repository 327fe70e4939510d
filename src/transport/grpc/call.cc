#include "transport/grpc/call.h"

namespace codeq::transport::grpc {

std::string_view code_name(GrpcStatus status) {
  switch (status) {
    case GrpcStatus::kInvalidArgument: return "InvalidArgument";
    case GrpcStatus::kDeadlineExceeded: return "DeadlineExceeded";
    case GrpcStatus::kNotFound: return "NotFound";
    case GrpcStatus::kAlreadyExists: return "AlreadyExists";
    case GrpcStatus::kPermissionDenied: return "PermissionDenied";
    case GrpcStatus::kResourceExhausted: return "ResourceExhausted";
    case GrpcStatus::kFailedPrecondition: return "FailedPrecondition";
    case GrpcStatus::kInternal: return "Internal";
    case GrpcStatus::kUnavailable: return "Unavailable";
    case GrpcStatus::kDataLoss: return "DataLoss";
    case GrpcStatus::kUnauthenticated: return "Unauthenticated";
  }
  return "Unknown";
}

}  // namespace codeq::transport::grpc
