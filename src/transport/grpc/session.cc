#include "transport/grpc/session.h"

namespace codeq::transport::grpc {
namespace {

constexpr std::uint64_t kCheckJob = 0;

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::size_t Session::message_bytes_max() const {
  return state_ == State::kOpen ? deps_.limits.message_bytes_max : deps_.limits.hello_bytes_max;
}

bool Session::paused() const {
  const auto& limits = deps_.limits;
  return state_ == State::kChecking || draining_ || in_flight_ >= limits.in_flight_max ||
         in_flight_bytes_ >= limits.in_flight_bytes_max || unsent() >= limits.output_bytes_pause;
}

void Session::message(std::string_view bytes, std::int64_t received_ns) {
  received_ns_ = received_ns;
  if (state_ == State::kOpen) return event(bytes);
  const auto greeting = first(bytes);
  if (!greeting) return malformed();
  if (!*greeting) return finish(number_of(GrpcStatus::kFailedPrecondition), "first event must be Hello");
  hello(**greeting);
}

void Session::hello(const HelloMessage& hello) {
  const auto token = trimmed(hello.token);
  if (token.empty()) {
    const bool worker = use() == services::TokenUse::kWorker;
    return finish(number_of(GrpcStatus::kUnauthenticated), worker ? "auth failed: missing token" : "missing token");
  }
  worker_id_ = trimmed(hello.worker_id);
  rate_key_ = token;
  if (auto who = deps_.authenticator.check(use(), token)) return checked(*std::move(who));
  state_ = State::kChecking;
  deps_.authenticator.check_later(use(), std::string(token), to_me<services::Principal>(kCheckJob));
}

void Session::checked(Result<services::Principal> who) {
  if (!who) {
    const auto& error = who.error();
    switch (error.code) {
      case Code::kForbidden: return finish(number_of(GrpcStatus::kPermissionDenied), error.message);
      case Code::kInternal: return finish(number_of(GrpcStatus::kInternal), "no " + error.message);
      case Code::kUnauthenticated:
        return finish(number_of(GrpcStatus::kUnauthenticated), "auth failed: " + error.message);
      default: return finish(number_of(wire_status(error.code).grpc), error.message);
    }
  }
  who_ = *std::move(who);
  state_ = State::kOpen;
  if (auto* kept = figures(); kept != nullptr) kept->opened.add();
  if (!opened(worker_id_)) return;
  maybe_over();
}

void Session::gone() {
  if (gone_) return;
  Call::gone();
  if (auto* kept = figures(); kept != nullptr && state_ == State::kOpen) kept->ended.add();
}

void Session::half_closed() {
  half_closed_ = true;
  if (state_ == State::kHello) return finish(kUnknown, "EOF");
  quiet();
  maybe_over();
}

void Session::maybe_over() {
  if (ending || gone_ || in_flight_ > 0 || state_ == State::kChecking) return;
  if (half_closed_) return finish(kOk, "");
  if (draining_) finish(number_of(GrpcStatus::kUnavailable), "the broker is stopping");
}

void Session::answered(std::uint64_t job, Answer& answer) {
  if (job != kCheckJob) return result_of(job, answer);
  if (auto* who = std::get_if<Result<services::Principal>>(&answer); who != nullptr && !gone_) checked(std::move(*who));
}

void Session::tick(std::int64_t now_ns) {
  if (ending || gone_) return;
  if (state_ != State::kOpen) {
    if (now_ns - opened_ns_ >= deps_.limits.hello_timeout_ns)
      finish(number_of(GrpcStatus::kDeadlineExceeded), "no Hello in time");
    return;
  }
  if (who_.expires_unix_ns != 0 && deps_.clock.wall_ns() >= who_.expires_unix_ns)
    return finish(number_of(GrpcStatus::kUnauthenticated), "auth failed: token is expired");
  retry(now_ns);
}

std::int64_t Session::rate(services::RateBucket bucket, std::string_view scope, std::string_view operation) {
  if (deps_.rates == nullptr) return 0;
  const auto wait = deps_.rates->take(bucket, rate_key_);
  if (wait > 0 && deps_.metrics != nullptr) deps_.metrics->rate_limit_hit(scope, operation);
  return wait;
}

}  // namespace codeq::transport::grpc
