// The broker's answers as responses.
#include "core/json_scan.h"
#include "transport/http/api.h"
#include "transport/http/respond.h"
#include "transport/wire_status.h"

namespace codeq::transport::http {

using services::TaskSnapshot;

namespace {

// A member of a batch answer that failed.
void append_item_error(std::string& out, const Error& error) {
  out += R"("error":)";
  core::append_json_string(out, error.message);
  out += R"(,"code":")";
  out += wire_status(error.code).slug;
  out += '"';
}

}  // namespace

struct Api::Visitor {
  Api& api;
  const Shared& exchange;

  template <class T>
  bool failed(const Result<T>& result) const {
    if (result) return false;
    respond_error(*exchange, result.error());
    return true;
  }
  template <class T>
  void operator()(std::unique_ptr<T>& outside) const {
    (*this)(*outside);
  }
  void operator()(std::monostate) const { respond_error(*exchange, {Code::kInternal, "internal error"}); }
  void operator()(Result<std::vector<Result<TaskSnapshot>>>& tasks) const {
    if (failed(tasks)) return;
    if (exchange->route->id == RouteId::kCreateBatch) return api.answer_batch_create(*exchange, *tasks);
    auto& task = tasks->front();
    if (failed(task)) return;
    std::string body;
    body.reserve(task->payload->size() + 512);
    append_task(body, *task, api.zone_, false);
    respond_json(*exchange, 202, std::move(body));
  }
  void operator()(Result<std::vector<TaskSnapshot>>& tasks) const { api.answer_claim(*exchange, tasks); }
  void operator()(Result<>& done) const {
    if (failed(done)) return;
    if (exchange->route->method == Method::kDelete) return respond_nothing(*exchange, 204);
    respond_json(*exchange, 200,
                 exchange->route->id == RouteId::kHeartbeat ? R"({"ok":true})" : R"({"status":"requeued"})");
  }
  void operator()(Result<services::NackOutcome>& outcome) const {
    if (failed(outcome)) return;
    std::string body = R"({"delaySeconds":)";
    append_number(body, outcome->dead ? 0 : outcome->delay_seconds);
    body += outcome->dead ? R"(,"status":"dlq"})" : R"(,"status":"requeued"})";
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<std::vector<Result<services::ResultSnapshot>>>& results) const {
    if (failed(results)) return;
    if (exchange->route->id == RouteId::kSubmitBatch) return api.answer_batch_submit(*exchange, *results);
    auto& result = results->front();
    if (failed(result)) return;
    std::string body;
    body.reserve(result->result->result_json.size() + 256);
    append_result(body, *result, api.zone_);
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<TaskSnapshot>& task) const {
    if (exchange->submission) return api.took(exchange, task);
    if (!task && task.error().code == Code::kNotFound && exchange->route->id != RouteId::kCancel)
      return respond_error(*exchange, {Code::kNotFound, "not found"});
    if (failed(task)) return;
    std::string body;
    append_task(body, *task, api.zone_, false);
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<services::TaskAndResult>& both) const {
    // A poll that the end of the broker cut short has simply not seen a result.
    if (!both && both.error().code == Code::kUnavailable && exchange->poll) {
      return respond_error(*exchange, {Code::kResultNotFound, "result not found"});
    }
    if (failed(both)) return;
    std::string body = R"({"result":)";
    append_result(body, both->result, api.zone_);
    body += R"(,"task":)";
    append_task(body, both->task, api.zone_, false);
    body += '}';
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<services::TimelineSnapshot>& timeline) const {
    if (!timeline && timeline.error().code == Code::kNotFound)
      return respond_error(*exchange, {Code::kNotFound, "not found"});
    if (failed(timeline)) return;
    std::string body;
    switch (exchange->rare ? exchange->rare->trace_format : TraceFormat::kJson) {
      case TraceFormat::kJson: append_timeline(body, *timeline, api.zone_); break;
      case TraceFormat::kOtlp: append_otlp(body, *timeline); break;
      case TraceFormat::kPerfetto: append_perfetto(body, *timeline); break;
    }
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<std::vector<services::DeliverySnapshot>>& deliveries) const {
    if (failed(deliveries)) return;
    respond_json(*exchange, 200, api.delivery_page(*deliveries));
  }
  void operator()(Result<services::DeliverySnapshot>& delivery) const {
    if (failed(delivery)) return;
    std::string body;
    append_delivery(body, *delivery, api.zone_);
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<observe::MetricsPage>& page) const {
    if (failed(page)) return;
    const bool open = exchange->rare->metrics_format == observe::MetricsFormat::kOpenMetrics;
    respond_text(*exchange, 200, (*page)(exchange->rare->metrics_format),
                 open ? ContentKind::kOpenMetrics : ContentKind::kMetrics);
  }
  void operator()(Result<std::size_t>& deleted) const {
    if (failed(deleted)) return;
    const auto& asked = exchange->rarely().cleanup;
    std::string body = R"({"before":")" + asked.before + R"(","deleted":)";
    append_number(body, static_cast<std::int64_t>(*deleted));
    body += R"(,"limit":)";
    append_number(body, asked.limit);
    body += '}';
    respond_json(*exchange, 200, std::move(body));
  }
  void operator()(Result<services::Principal>& who) const { api.took(exchange, who); }
  template <class T>
    requires requires(Api& a, Exchange& e, const T& t) { a.answer_admin(e, t); }
  void operator()(Result<T>& outcome) const {
    if (!failed(outcome)) api.answer_admin(*exchange, *outcome);
  }
  void operator()(ArtifactsWritten& written) const { api.took(exchange, written); }
  void operator()(Result<services::TopicPut>& put) const {
    if (!failed(put)) answer_topic(*exchange, put->topic, put->created);
  }
  void operator()(Result<core::Topic>& topic) const {
    if (!failed(topic)) answer_topic(*exchange, *topic, false);
  }
  void operator()(Result<core::Subscription>& subscription) const {
    if (!failed(subscription)) api.answer_subscription(*exchange, *subscription);
  }
  void operator()(Result<std::vector<core::Subscription>>& subscriptions) const {
    if (!failed(subscriptions)) api.answer_subscriptions(*exchange, *subscriptions);
  }
};

void Api::finish(const Shared& exchange) {
  exchange->waiting_for_broker = false;
  // Taken out first: a step may ask the broker again, whose answer goes into the same place.
  auto answer = std::exchange(exchange->answer, Answer{});
  std::visit(Visitor{*this, exchange}, answer);
  if (!exchange->ready) return;
  if (std::exchange(exchange->poll, false)) parked_.fetch_sub(1);
  close_span(*exchange);
  count_ended(*exchange, exchange->response.status);
}

void Api::answer_claim(Exchange& exchange, Result<std::vector<TaskSnapshot>>& tasks) const {
  if (!tasks && !(tasks.error().code == Code::kUnavailable && exchange.poll))
    return respond_error(exchange, tasks.error());
  if (!tasks || tasks->empty()) return respond_nothing(exchange, 204);
  std::string body;
  if (exchange.route->id == RouteId::kClaim) {
    body.reserve(tasks->front().payload->size() + 640);
    append_task(body, tasks->front(), zone_, true);
  } else {
    exchange.batch_count = static_cast<std::int64_t>(tasks->size());
    body = R"({"tasks":[)";
    for (const auto& task : *tasks) {
      if (body.back() != '[') body += ',';
      append_task(body, task, zone_, true);
    }
    body += "]}";
  }
  respond_json(exchange, 200, std::move(body));
  exchange.claimed = *std::move(tasks);
}

void Api::answer_batch_create(Exchange& exchange, std::vector<Result<TaskSnapshot>>& tasks) const {
  std::string body = R"({"results":[)";
  auto next = tasks.begin();
  for (const auto& refused : exchange.rarely().refused) {
    if (body.back() != '[') body += ',';
    body += '{';
    if (refused) {
      append_item_error(body, *refused);
    } else if (auto& task = *next++; !task) {
      append_item_error(body, task.error());
    } else {
      body += R"("task":)";
      append_task(body, *task, zone_, false);
    }
    body += '}';
  }
  body += "]}";
  respond_json(exchange, 200, std::move(body));
}

void Api::answer_batch_submit(Exchange& exchange, std::vector<Result<services::ResultSnapshot>>& results) const {
  const auto& submission = *exchange.submission;
  std::string body = R"({"results":[)";
  auto next = results.begin();
  for (std::size_t i = 0; i < submission.items.size(); ++i) {
    body += i == 0 ? R"({"taskId":)" : R"(,{"taskId":)";
    core::append_json_string(body, submission.items[i].submit.task_id);
    body += ',';
    if (submission.refused[i]) {
      append_item_error(body, *submission.refused[i]);
    } else if (auto& result = *next++; !result) {
      append_item_error(body, result.error());
    } else {
      body += R"("result":)";
      append_result(body, *result, zone_);
    }
    body += '}';
  }
  body += "]}";
  respond_json(exchange, 200, std::move(body));
}

std::string Api::delivery_page(const std::vector<services::DeliverySnapshot>& deliveries) const {
  std::string body = R"({"deliveries":[)";
  for (const auto& delivery : deliveries) {
    if (body.back() != '[') body += ',';
    append_delivery(body, delivery, zone_);
  }
  body += ']';
  if (!deliveries.empty()) body += R"(,"next":")" + std::to_string(deliveries.back().id) + '"';
  body += '}';
  return body;
}

}  // namespace codeq::transport::http
