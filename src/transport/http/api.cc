#include "transport/http/api.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/rfc3339.h"
#include "core/trace_context.h"
#include "transport/http/openapi.h"
#include "transport/http/respond.h"
#include "transport/wire_status.h"

namespace codeq::transport::http {

namespace {

using services::TaskSnapshot;

constexpr std::size_t kRequestIdBytesMax = 128;
constexpr std::size_t kDeliveriesDefault = 100;
constexpr std::size_t kDeliveriesMax = 1000;
constexpr std::int64_t kCleanupDefault = 1000;
constexpr std::int64_t kCleanupMax = 100'000;  // of one call; what it names is in memory at once

bool visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::int64_t wait_seconds(std::string_view query) {
  std::string text;
  std::int64_t seconds = 0;
  if (!query_value(query, "waitSeconds", text)) return 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size()) return 0;
  return std::clamp<std::int64_t>(seconds, 0, kResultWaitSecondsMax);
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

void give_back(services::Broker& broker, const Exchange& exchange) {
  const auto* tasks = std::get_if<Result<std::vector<TaskSnapshot>>>(&exchange.answer);
  if (tasks != nullptr && *tasks && !(*tasks)->empty()) broker.undelivered(**tasks);
}

Api::Api(const HttpOptions& options, HttpDeps deps)
    : deps_(std::move(deps)),
      zone_(options.zone_offset_seconds),
      depth_max_(options.json_depth_max),
      parked_max_(options.parked_polls_max),
      dev_role_header_(options.dev_role_header),
      version_json_(options.version_json),
      secure_(options.tls != nullptr),
      artifacts_(options.artifacts_dir) {
  if (deps_.counters == nullptr) return;
  for (const auto& route : routes())
    figures_.push_back(&deps_.counters->of_route(route.span_name.substr(0, route.span_name.find(' ')), route.path));
  figures_.push_back(&deps_.counters->of_route("any", "none"));
}

void Api::count_ended(const Exchange& exchange, int code) {
  if (figures_.empty()) return;
  const auto* route = exchange.route;
  const auto at = route == nullptr ? figures_.size() - 1 : static_cast<std::size_t>(route - routes().data());
  const auto began_ns = exchange.caller.received_steady_ns;
  figures_[at]->ended(code, began_ns == 0 ? 0 : deps_.clock.steady_ns() - began_ns);
}

void Api::count_refused(const Exchange& exchange) {
  if (deps_.counters == nullptr) return;
  deps_.counters->http_begun.add();
  count_ended(exchange, exchange.response.status);
}

void Api::respond_error(Exchange& exchange, const Error& error) {
  const auto wire = wire_status(error.code);
  std::string body;
  append_error(body, error, exchange.span.trace_id);
  respond_json(exchange, wire.http, std::move(body));
  if (wire.http == 503) exchange.response.retry_after_seconds = 1;
}

void Api::set_request_id(Exchange& exchange, const std::string& given) {
  if (!given.empty() && given.size() <= kRequestIdBytesMax && visible_ascii(given)) {
    exchange.request_id = given;
    return;
  }
  exchange.request_id.reserve(32);
  append_hex(exchange.request_id, deps_.rng.next());
  append_hex(exchange.request_id, deps_.rng.next());
}

// ------------------------------------------------------------------------------------------------ the request's span

void Api::open_span(Exchange& exchange, const Request& request, core::TraceContext& incoming) {
  if (!request.traceparent.empty() || !request.tracestate.empty() || !request.baggage.empty()) {
    const auto traceparent = request.traceparent.views();
    const auto tracestate = request.tracestate.views();
    const auto baggage = request.baggage.views();
    incoming = core::extract({.traceparent = traceparent, .tracestate = tracestate, .baggage = baggage});
  }
  exchange.span = incoming.span;
  if (deps_.tracer.enabled()) {
    exchange.span = deps_.tracer.start(incoming.span, deps_.rng);
    exchange.parent = incoming.span.span_id;
    if (!incoming.tracestate.empty()) exchange.rarely().tracestate = incoming.tracestate;
    exchange.span_open = true;
  }
  exchange.caller.request = exchange.span;
}

bool Api::url_path(const Exchange& exchange, std::string& path) {
  constexpr std::string_view kId = ":id";
  path = exchange.route->path;
  const auto at = path.find(kId);
  if (at == std::string::npos) return path.find("/:") == std::string::npos;  // a name of the caller's own
  const bool number = !exchange.id.empty() && exchange.id.size() <= 20 &&
                      exchange.id.find_first_not_of("0123456789") == std::string::npos;
  if (!number && !core::parse_task_id(exchange.id)) return false;
  path.replace(at, kId.size(), exchange.id);
  return true;
}

void Api::close_span(Exchange& exchange) {
  if (!std::exchange(exchange.span_open, false)) return;
  observe::Span span;
  span.context = exchange.span;
  span.parent = exchange.parent;
  span.parent_is_remote = exchange.parent.valid();
  if (exchange.rare) span.tracestate = exchange.rare->tracestate;
  span.name = exchange.route->span_name;
  span.kind = observe::SpanKind::kServer;
  span.scope = observe::Scope::kHttp;
  span.start_ns = deps_.broker.to_record_ns(exchange.caller.received_steady_ns);
  span.end_ns = std::max(span.start_ns, deps_.broker.now_ns());
  // OpenTelemetry semantic conventions 1.27, http/http-spans.md; no agent, and of the path no more than the
  // route and an id that can be one of ours: the rest are the caller's own words.
  span.set("http.request.method", exchange.route->span_name.substr(0, exchange.route->span_name.find(' ')));
  span.set("http.route", exchange.route->path);
  thread_local std::string path;
  if (url_path(exchange, path)) span.set("url.path", std::string_view(path));
  span.set("url.scheme", secure_ ? "https" : "http");
  span.set("network.protocol.version", exchange.http11 ? "1.1" : "1.0");
  if (exchange.batch_count >= 0) span.set("messaging.batch.message_count", exchange.batch_count);
  std::array<char, 8> status{};
  if (exchange.ready) {
    span.set("http.response.status_code", std::int64_t{exchange.response.status});
    if (exchange.response.status >= 500) {
      const auto end = std::to_chars(status.data(), status.data() + status.size(), exchange.response.status).ptr;
      span.error = true;
      span.set("error.type", std::string_view(status.data(), static_cast<std::size_t>(end - status.data())));
    }
  }
  deps_.tracer.record(span);
}

// ------------------------------------------------------------------------------------------------ in

void Api::start(const Shared& exchange, Request& request, std::int64_t head_read_ns, bool overloaded) {
  if (deps_.counters != nullptr) deps_.counters->http_begun.add();
  begin(exchange, request, head_read_ns, overloaded);
  if (exchange->ready) count_ended(*exchange, exchange->response.status);
}

void Api::begin(const Shared& exchange, Request& request, std::int64_t head_read_ns, bool overloaded) {
  exchange->keep_alive = request.keep_alive;
  exchange->http11 = request.http11;
  exchange->head_only = request.method == Method::kHead;
  exchange->caller.received_steady_ns = head_read_ns;
  auto found = match(request.method, request.target);
  if (found.kind == Match::Kind::kRedirect) {
    exchange->rarely().location = std::move(found.location);
    respond_nothing(*exchange, request.method == Method::kGet ? 301 : 307);
    return;
  }
  set_request_id(*exchange, request.request_id);
  if (found.kind == Match::Kind::kBadPath) {
    exchange->keep_alive = false;
    respond_error(*exchange, {Code::kBadRequest, "bad request"});
    return;
  }
  if (found.kind == Match::Kind::kNotFound) {
    respond_text(*exchange, 404, "404 page not found");
    return;
  }
  exchange->route = found.route;
  exchange->id = std::move(found.id);
  core::TraceContext incoming;
  if (found.route->auth != AuthKind::kNone) {
    open_span(*exchange, request, incoming);
    authenticate(exchange, request, found.query, std::move(incoming), overloaded);
  } else if (overloaded) {
    respond_error(*exchange, {Code::kOverloaded, "overloaded, try again"});
  } else {
    route(exchange, request, found.query, std::move(incoming), {});
  }
  if (exchange->ready) close_span(*exchange);
}

void Api::route(const Shared& exchange, const Request& request, std::string_view query, core::TraceContext incoming,
                const services::Principal& principal) {
  switch (exchange->route->id) {
    case RouteId::kCreate: return create(exchange, request, std::move(incoming));
    case RouteId::kCreateBatch: return create_batch(exchange, request, incoming);
    case RouteId::kClaim:
    case RouteId::kClaimBatch: return claim(exchange, request, principal);
    case RouteId::kHeartbeat: return heartbeat(exchange, request);
    case RouteId::kAbandon: return abandon(exchange, request);
    case RouteId::kNack: return nack(exchange, request);
    case RouteId::kSubmit: return submit(exchange, request);
    case RouteId::kSubmitBatch: return submit_batch(exchange, request);
    case RouteId::kGetTask:
      exchange->waiting_for_broker = true;
      return deps_.broker.get_task(exchange->caller, exchange->id, reply_to<TaskSnapshot>(exchange));
    case RouteId::kGetResult: return get_result(exchange, query);
    case RouteId::kGetTrace: return get_trace(exchange, query);
    case RouteId::kListDeliveries: return list_deliveries(exchange, query);
    case RouteId::kReplayDelivery: return replay_delivery(exchange);
    case RouteId::kCleanup: return cleanup(exchange, request);
    case RouteId::kPutTopic: return put_topic(exchange, request);
    case RouteId::kGetTopic:
    case RouteId::kDeleteTopic: return topic(exchange, query);
    case RouteId::kSubscribe: return subscribe(exchange, request, principal);
    case RouteId::kRenewSubscription:
    case RouteId::kUnsubscribe:
    case RouteId::kListSubscriptions: return subscription(exchange, request);
    case RouteId::kListTasks: return list_tasks(exchange, query);
    case RouteId::kCancel: return cancel(exchange, request);
    case RouteId::kAdminQueues:
      exchange->waiting_for_broker = true;
      return deps_.broker.queues(exchange->caller, reply_to<std::vector<services::TenantQueue>>(exchange));
    case RouteId::kAdminQueue:
    case RouteId::kPauseQueue:
    case RouteId::kResumeQueue: return admin_queue(exchange);
    case RouteId::kDeadLetters: return list_dead_letters(exchange, query);
    case RouteId::kRedrive:
    case RouteId::kPurge: return redrive_or_purge(exchange, request);
    case RouteId::kRaftStatus: return respond_json(*exchange, 200, R"({"enabled":false,"numGroups":0})");
    case RouteId::kOpenApi: return respond_json(*exchange, 200, std::string(openapi_json()));
    case RouteId::kLivez:
    case RouteId::kHealthz: return respond_text(*exchange, 200, "ok");
    case RouteId::kReadyz: return readyz(*exchange, query);
    case RouteId::kVersion: return respond_json(*exchange, 200, version_json_);
    case RouteId::kMetrics: return metrics(exchange, request);
  }
}

void Api::create(const Shared& exchange, const Request& request, core::TraceContext incoming) {
  auto task = decode_create(request.body, depth_max_);
  if (!task) return respond_error(*exchange, task.error());
  task->incoming = std::move(incoming);
  std::vector<services::CreateTask> tasks;
  tasks.push_back(*std::move(task));
  exchange->waiting_for_broker = true;
  deps_.broker.create(exchange->caller, std::move(tasks), reply_to<std::vector<Result<TaskSnapshot>>>(exchange));
}

void Api::create_batch(const Shared& exchange, const Request& request, const core::TraceContext& incoming) {
  auto decoded = decode_create_batch(request.body, depth_max_);
  if (!decoded) return respond_error(*exchange, decoded.error());
  exchange->batch_count = static_cast<std::int64_t>(decoded->size());
  std::vector<services::CreateTask> tasks;
  auto& refused = exchange->rarely().refused;
  for (auto& task : *decoded) {
    if (!task) {
      refused.emplace_back(std::move(task).error());
      continue;
    }
    refused.emplace_back();
    task->incoming = incoming;
    tasks.push_back(*std::move(task));
  }
  if (tasks.empty()) {
    std::vector<Result<TaskSnapshot>> none;
    return answer_batch_create(*exchange, none);
  }
  exchange->waiting_for_broker = true;
  deps_.broker.create(exchange->caller, std::move(tasks), reply_to<std::vector<Result<TaskSnapshot>>>(exchange));
}

void Api::claim(const Shared& exchange, const Request& request, const services::Principal& principal) {
  auto ask = exchange->route->id == RouteId::kClaim ? decode_claim(request.body, depth_max_)
                                                    : decode_claim_batch(request.body, depth_max_);
  if (!ask) return respond_error(*exchange, ask.error());
  for (const auto& command : ask->commands) {
    if (!principal.may_handle(command)) return respond_error(*exchange, {Code::kForbidden, "event type not allowed"});
  }
  // Nothing asked for: whatever the token may handle, which is any command of the tenant for a wildcard.
  if (ask->commands.empty() && !principal.any_event_type()) ask->commands = principal.event_types;
  if (exchange->route->id == RouteId::kClaimBatch) exchange->batch_count = 0;
  if (ask->wait_ms > 0 && !park(*exchange)) return;
  exchange->waiting_for_broker = true;
  exchange->call = deps_.broker.claim(exchange->caller, *std::move(ask), reply_to<std::vector<TaskSnapshot>>(exchange));
}

void Api::heartbeat(const Shared& exchange, const Request& request) {
  auto body = decode_heartbeat(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  exchange->waiting_for_broker = true;
  deps_.broker.heartbeat(exchange->caller, {.task_id = exchange->id, .lease_token = body->lease_token}, body->seconds,
                         reply_to<void>(exchange));
}

void Api::abandon(const Shared& exchange, const Request& request) {
  auto body = decode_abandon(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  exchange->waiting_for_broker = true;
  deps_.broker.abandon(exchange->caller, {.task_id = exchange->id, .lease_token = body->lease_token},
                       reply_to<void>(exchange));
}

void Api::nack(const Shared& exchange, const Request& request) {
  auto body = decode_nack(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  exchange->waiting_for_broker = true;
  deps_.broker.nack(exchange->caller, {.task_id = exchange->id, .lease_token = body->lease_token}, body->seconds,
                    std::move(body->reason), reply_to<services::NackOutcome>(exchange));
}

void Api::get_result(const Shared& exchange, std::string_view query) {
  const auto seconds = wait_seconds(query);
  if (seconds > 0 && !park(*exchange)) return;
  exchange->waiting_for_broker = true;
  exchange->call = deps_.broker.get_result(exchange->caller, exchange->id, seconds * 1000,
                                           reply_to<services::TaskAndResult>(exchange));
}

void Api::get_trace(const Shared& exchange, std::string_view query) {
  std::string text;
  if (query_value(query, "format", text)) {
    const auto format = trace_format(text);
    if (!format) return respond_error(*exchange, {Code::kInvalidArgument, "invalid 'format': json, otlp or perfetto"});
    if (*format != TraceFormat::kJson) exchange->rarely().trace_format = *format;
  }
  exchange->waiting_for_broker = true;
  deps_.broker.get_timeline(exchange->caller, exchange->id, reply_to<services::TimelineSnapshot>(exchange));
}

void Api::list_deliveries(const Shared& exchange, std::string_view query) {
  std::string text;
  std::uint64_t after = 0;
  std::uint64_t limit = kDeliveriesDefault;
  if (query_value(query, "after", text)) {
    const auto number = decimal(text);
    if (!number) return respond_error(*exchange, {Code::kInvalidArgument, "invalid 'after'"});
    after = *number;
  }
  if (query_value(query, "limit", text)) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    limit = decimal(text).value_or(kDeliveriesMax);  // more than 64 bits of it are only "many"
    if (!digits || limit == 0) return respond_error(*exchange, {Code::kInvalidArgument, "invalid 'limit'"});
    limit = std::min<std::uint64_t>(limit, kDeliveriesMax);
  }
  exchange->waiting_for_broker = true;
  deps_.broker.list_deliveries(exchange->caller, after, static_cast<std::size_t>(limit),
                               reply_to<std::vector<services::DeliverySnapshot>>(exchange));
}

void Api::replay_delivery(const Shared& exchange) {
  const auto id = decimal(exchange->id);
  if (!id) return respond_error(*exchange, {Code::kNotFound, "not-found"});
  exchange->waiting_for_broker = true;
  deps_.broker.replay_delivery(exchange->caller, *id, reply_to<services::DeliverySnapshot>(exchange));
}

void Api::cleanup(const Shared& exchange, const Request& request) {
  auto body = decode_cleanup(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  if (!body->before_ns) {
    body->before_ns = deps_.broker.now_ns();
    core::append_rfc3339_seconds(body->before, *body->before_ns);
  }
  const auto limit = body->limit <= 0 ? kCleanupDefault : std::min(body->limit, kCleanupMax);
  const auto before_ns = *body->before_ns;
  exchange->rarely().cleanup = *std::move(body);
  exchange->waiting_for_broker = true;
  deps_.broker.cleanup(exchange->caller, before_ns, static_cast<std::size_t>(limit),
                       reply_to<std::size_t>(exchange));
}

void Api::readyz(Exchange& exchange, std::string_view query) {
  auto state = deps_.readiness ? deps_.readiness() : Readiness{.ready = true, .checks = {}};
  if (stopping_.load()) state.ready = false;
  std::string text;
  std::string unused;
  if (query_value(query, "verbose", unused)) {
    for (const auto& [name, good] : state.checks)
      text += (good ? "[+]" : "[-]") + name + (good ? " ok\n" : " failed\n");
    if (stopping_.load()) text += "[-]stopping\n";
  }
  text += state.ready ? "ready" : "not ready";
  respond_text(exchange, state.ready ? 200 : 503, std::move(text));
}

void Api::metrics(const Shared& exchange, const Request& request) {
  if (!deps_.metrics) return respond_text(*exchange, 200, "", ContentKind::kMetrics);
  exchange->waiting_for_broker = true;
  exchange->rarely().metrics_format = observe::negotiate(request.accept.views());
  deps_.metrics(reply_to<observe::MetricsPage>(exchange));
}

// ------------------------------------------------------------------------------------------------ polls

bool Api::park(Exchange& exchange) {
  if (parked_.fetch_add(1) >= parked_max_) {
    parked_.fetch_sub(1);
    respond_error(exchange, {Code::kOverloaded, "too many waiting polls"});
    return false;
  }
  exchange.poll = true;
  return true;
}

void Api::client_gone(Exchange& exchange) {
  if (exchange.waiting_for_broker && exchange.poll) deps_.broker.abandon_call(exchange.call);
}

void Api::nobody_reads(Exchange& exchange) {
  exchange.waiting_for_broker = false;
  if (std::exchange(exchange.poll, false)) parked_.fetch_sub(1);
  give_back(deps_.broker, exchange);
  close_span(exchange);
  count_ended(exchange, 499);
}

}  // namespace codeq::transport::http
