#include "transport/grpc/health_call.h"

#include <algorithm>

#include "transport/grpc/messages.h"

namespace codeq::transport::grpc {
namespace {

constexpr int kServing = 1, kNotServing = 2, kServiceUnknown = 3;

}  // namespace

void HealthCall::message(std::string_view bytes, std::int64_t) {
  if (std::exchange(asked_, true)) return finish(number_of(GrpcStatus::kInvalidArgument), "one request only");
  const auto service = read_health_request(bytes);
  if (!service) return finish(number_of(GrpcStatus::kInvalidArgument), "malformed message");
  const bool known = service->empty() || std::ranges::find(services_, *service) != services_.end();
  if (!known && !watch_) return finish(number_of(GrpcStatus::kNotFound), "unknown service");
  reply([&](std::string& out) { append_health_response(out, known ? kServing : kServiceUnknown); });
  if (!watch_) finish(kOk, "");
}

void HealthCall::half_closed() {
  if (!asked_) finish(number_of(GrpcStatus::kInvalidArgument), "a request is missing");
}

void HealthCall::tick(std::int64_t now_ns) {
  if (!asked_ && now_ns - opened_ns_ >= deps_.limits.hello_timeout_ns)
    finish(number_of(GrpcStatus::kDeadlineExceeded), "no request in time");
}

void HealthCall::drain() {
  if (ending) return;
  if (watch_ && asked_) reply([](std::string& out) { append_health_response(out, kNotServing); });
  finish(number_of(GrpcStatus::kUnavailable), "the broker is stopping");
}

}  // namespace codeq::transport::grpc
