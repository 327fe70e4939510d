#include "transport/http/router.h"

#include <optional>
#include <span>

namespace codeq::transport::http {

namespace {

#define CODEQ_ROUTE(id, verb, text, auth, scope, path) \
  {RouteId::id, Method::verb, AuthKind::auth, scope, path, text " " path}
constexpr std::array kRoutes = std::to_array<Route>({
    CODEQ_ROUTE(kCreate, kPost, "POST", kProducer, "", "/v1/codeq/tasks"),
    CODEQ_ROUTE(kClaim, kPost, "POST", kWorker, "codeq:claim", "/v1/codeq/tasks/claim"),
    CODEQ_ROUTE(kSubmit, kPost, "POST", kWorker, "codeq:result", "/v1/codeq/tasks/:id/result"),
    CODEQ_ROUTE(kHeartbeat, kPost, "POST", kWorker, "codeq:heartbeat", "/v1/codeq/tasks/:id/heartbeat"),
    CODEQ_ROUTE(kCreateBatch, kPost, "POST", kProducer, "", "/v1/codeq/tasks/batch"),
    CODEQ_ROUTE(kClaimBatch, kPost, "POST", kWorker, "codeq:claim", "/v1/codeq/tasks/claim/batch"),
    CODEQ_ROUTE(kSubmitBatch, kPost, "POST", kWorker, "codeq:result", "/v1/codeq/tasks/batch/results"),
    CODEQ_ROUTE(kNack, kPost, "POST", kWorker, "codeq:nack", "/v1/codeq/tasks/:id/nack"),
    CODEQ_ROUTE(kAbandon, kPost, "POST", kWorker, "codeq:abandon", "/v1/codeq/tasks/:id/abandon"),
    CODEQ_ROUTE(kGetTask, kGet, "GET", kAny, "", "/v1/codeq/tasks/:id"),
    CODEQ_ROUTE(kGetResult, kGet, "GET", kAny, "", "/v1/codeq/tasks/:id/result"),
    CODEQ_ROUTE(kGetTrace, kGet, "GET", kAny, "", "/v1/codeq/tasks/:id/trace"),
    CODEQ_ROUTE(kListDeliveries, kGet, "GET", kAny, "", "/v1/codeq/webhooks/deliveries"),
    CODEQ_ROUTE(kReplayDelivery, kPost, "POST", kProducer, "", "/v1/codeq/webhooks/deliveries/:id/replay"),
    CODEQ_ROUTE(kCleanup, kPost, "POST", kAdmin, "", "/v1/codeq/admin/tasks/cleanup"),
    CODEQ_ROUTE(kPutTopic, kPut, "PUT", kAdmin, "", "/v1/codeq/admin/topics/:topicName"),
    CODEQ_ROUTE(kGetTopic, kGet, "GET", kAdmin, "", "/v1/codeq/admin/topics/:topicName"),
    CODEQ_ROUTE(kDeleteTopic, kDelete, "DELETE", kAdmin, "", "/v1/codeq/admin/topics/:topicName"),
    CODEQ_ROUTE(kSubscribe, kPost, "POST", kWorker, "codeq:subscribe", "/v1/codeq/workers/subscriptions"),
    CODEQ_ROUTE(kListSubscriptions, kGet, "GET", kWorker, "codeq:subscribe", "/v1/codeq/workers/subscriptions"),
    CODEQ_ROUTE(kRenewSubscription, kPost, "POST", kWorker, "codeq:subscribe",
                "/v1/codeq/workers/subscriptions/:id/heartbeat"),
    CODEQ_ROUTE(kUnsubscribe, kDelete, "DELETE", kWorker, "codeq:subscribe", "/v1/codeq/workers/subscriptions/:id"),
    CODEQ_ROUTE(kListTasks, kGet, "GET", kAny, "", "/v1/codeq/tasks"),
    CODEQ_ROUTE(kCancel, kPost, "POST", kProducer, "", "/v1/codeq/tasks/:id/cancel"),
    CODEQ_ROUTE(kAdminQueues, kGet, "GET", kAdmin, "", "/v1/codeq/admin/queues"),
    CODEQ_ROUTE(kAdminQueue, kGet, "GET", kAdmin, "", "/v1/codeq/admin/queues/:command"),
    CODEQ_ROUTE(kPauseQueue, kPost, "POST", kAdmin, "", "/v1/codeq/admin/queues/:command/pause"),
    CODEQ_ROUTE(kResumeQueue, kPost, "POST", kAdmin, "", "/v1/codeq/admin/queues/:command/resume"),
    CODEQ_ROUTE(kDeadLetters, kGet, "GET", kAdmin, "", "/v1/codeq/admin/dead-letters"),
    CODEQ_ROUTE(kRedrive, kPost, "POST", kAdmin, "", "/v1/codeq/admin/dead-letters/redrive"),
    CODEQ_ROUTE(kPurge, kPost, "POST", kAdmin, "", "/v1/codeq/admin/dead-letters/purge"),
    CODEQ_ROUTE(kRaftStatus, kGet, "GET", kAny, "", "/v1/codeq/raft/status"),
    CODEQ_ROUTE(kOpenApi, kGet, "GET", kNone, "", "/openapi.json"),
    CODEQ_ROUTE(kLivez, kGet, "GET", kNone, "", "/livez"),
    CODEQ_ROUTE(kReadyz, kGet, "GET", kNone, "", "/readyz"),
    CODEQ_ROUTE(kHealthz, kGet, "GET", kNone, "", "/healthz"),
    CODEQ_ROUTE(kVersion, kGet, "GET", kNone, "", "/version"),
    CODEQ_ROUTE(kMetrics, kGet, "GET", kNone, "", "/metrics"),
});
#undef CODEQ_ROUTE

std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1);  // the slash
  const auto segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

bool fits(std::string_view pattern, std::string_view path, std::string_view& id) {
  while (!pattern.empty() && !path.empty()) {
    const auto want = next_segment(pattern);
    const auto got = next_segment(path);
    if (want.starts_with(':')) {
      if (got.empty()) return false;
      id = got;
    } else if (want != got) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

const Route* find(Method method, std::string_view path, std::string_view& id) {
  for (const auto& route : kRoutes) {
    if (route.method == method && fits(route.path, path, id)) return &route;
  }
  return nullptr;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

Match match(Method method, std::string_view target) {
  Match result;
  if (!target.starts_with('/')) {
    const auto scheme = target.find("://");
    const auto slash = scheme == std::string_view::npos ? scheme : target.find('/', scheme + 3);
    if (slash == std::string_view::npos) return result;
    target.remove_prefix(slash);
  }
  const auto question = target.find('?');
  auto path = target.substr(0, question);
  if (question != std::string_view::npos) result.query = target.substr(question + 1);
  const auto raw_path = path;
  std::string decoded;
  if (path.find('%') != std::string_view::npos) {
    auto text = percent_decode(path, false);
    if (!text) {
      result.kind = Match::Kind::kBadPath;
      return result;
    }
    decoded = *std::move(text);
    path = decoded;
  }
  std::string_view id;
  if (const auto* route = find(method, path, id)) {
    result.kind = Match::Kind::kRoute;
    result.route = route;
    result.id = id;
  } else if (path.size() > 1 && path.ends_with('/') && raw_path.ends_with('/') &&
             find(method, path.substr(0, path.size() - 1), id) != nullptr) {
    result.kind = Match::Kind::kRedirect;
    result.location = raw_path.substr(0, raw_path.size() - 1);
    if (question != std::string_view::npos) result.location += target.substr(question);
  }
  return result;
}

bool query_value(std::string_view query, std::string_view name, std::string& out) {
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(pair.size() == query.size() ? pair.size() : pair.size() + 1);
    const auto equals = pair.find('=');
    const auto key = percent_decode(pair.substr(0, equals), true);
    if (!key || *key != name) continue;
    auto value = equals == std::string_view::npos ? std::string() : percent_decode(pair.substr(equals + 1), true);
    if (!value) continue;
    out = *std::move(value);
    return true;
  }
  return false;
}

}  // namespace codeq::transport::http
