// Who asks, whether they may, and how often. In this order: token, event types and tenant (the authenticator), admin, scope,
// rate; only then the body is looked at.
#include "transport/http/api.h"
#include "transport/http/respond.h"
#include "transport/wire_status.h"

namespace codeq::transport::http {

using services::RateBucket;
using services::TokenUse;

namespace {

TokenUse use_of(AuthKind kind) {
  switch (kind) {
    case AuthKind::kWorker: return TokenUse::kWorker;
    case AuthKind::kAny: return TokenUse::kAny;
    case AuthKind::kNone:
    case AuthKind::kProducer:
    case AuthKind::kAdmin: break;
  }
  return TokenUse::kProducer;
}

struct Rate {
  RateBucket bucket;
  std::string_view operation;
};

// One token a call, however many tasks are in it.
std::optional<Rate> rate_of(RouteId route) {
  switch (route) {
    case RouteId::kCreate:
    case RouteId::kCreateBatch: return Rate{RateBucket::kProducer, "create_task"};
    case RouteId::kClaim:
    case RouteId::kClaimBatch: return Rate{RateBucket::kWorker, "claim"};
    case RouteId::kCleanup: return Rate{RateBucket::kAdmin, "cleanup"};
    case RouteId::kRedrive: return Rate{RateBucket::kAdmin, "redrive"};
    case RouteId::kPurge: return Rate{RateBucket::kAdmin, "purge"};
    default: return std::nullopt;
  }
}

}  // namespace

void Api::authenticate(const Shared& exchange, Request& request, std::string_view query, core::TraceContext incoming,
                       bool overloaded) {
  const auto use = use_of(exchange->route->auth);
  const auto token = services::bearer_token(deps_.authenticator, use, request.authorization);
  if (!token) return respond_error(*exchange, token.error());
  if (auto who = deps_.authenticator.check(use, *token)) {
    if (admit(*exchange, request, *who, overloaded)) route(exchange, request, query, std::move(incoming), **who);
    return;
  }
  // The io thread serves its other connections meanwhile; the answer comes through the inbox like the broker's.
  std::string bare(*token);
  exchange->held = std::make_unique<HeldRequest>(
      HeldRequest{std::move(request), std::string(query), std::move(incoming), overloaded});
  exchange->waiting_for_broker = true;
  deps_.authenticator.check_later(use, std::move(bare), reply_to<services::Principal>(exchange));
}

void Api::took(const Shared& exchange, Result<services::Principal>& who) {
  const auto held = std::move(exchange->held);
  if (admit(*exchange, held->request, who, held->overloaded))
    route(exchange, held->request, held->query, std::move(held->incoming), *who);
}

// Takes tenant and subject out of `who`.
bool Api::admit(Exchange& exchange, const Request& request, Result<services::Principal>& who, bool overloaded) {
  const auto refuse = [&](Error error) {
    respond_error(exchange, error);
    return false;
  };
  if (!who) return refuse(who.error());
  const auto& route = *exchange.route;
  if (route.auth == AuthKind::kAdmin && !who->admin &&
      !(dev_role_header_ && services::role_header_grants_admin(*who, request.role))) {
    return refuse({Code::kUnauthenticated, "unauthorized. Admin only"});
  }
  if (!route.scope.empty() && !who->has_scope(route.scope)) return refuse({Code::kForbidden, "missing scope"});
  if (route.auth == AuthKind::kWorker && who->subject.empty())
    return refuse({Code::kInvalidArgument, "workerId is required"});
  if (overloaded) return refuse({Code::kOverloaded, "overloaded, try again"});
  if (!within_rate(exchange, request)) return false;
  exchange.caller.tenant = std::move(who->tenant);
  exchange.caller.subject = std::move(who->subject);
  return true;
}

bool Api::within_rate(Exchange& exchange, const Request& request) {
  const auto rate = rate_of(exchange.route->id);
  if (!rate || deps_.rates == nullptr) return true;
  const auto token = services::bearer_token(deps_.authenticator, use_of(exchange.route->auth), request.authorization);
  const auto seconds = token ? deps_.rates->take(rate->bucket, *token) : 0;
  if (seconds == 0) return true;
  const auto scope = services::rate_scope(rate->bucket);
  if (deps_.counters != nullptr) deps_.counters->rate_limit_hit(scope, rate->operation);
  std::string body;
  append_error(body, {Code::kRateLimited, "rate limit exceeded"}, exchange.span.trace_id);
  body.pop_back();  // the brace
  body += R"(,"operation":")";
  body += rate->operation;
  body += R"(","retryAfterSeconds":)";
  append_number(body, seconds);
  body += R"(,"scope":")";
  body += scope;
  body += "\"}";
  respond_json(exchange, wire_status(Code::kRateLimited).http, std::move(body));
  exchange.response.retry_after_seconds = seconds;
  return false;
}

}  // namespace codeq::transport::http
