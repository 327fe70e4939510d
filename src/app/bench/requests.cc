#include "app/bench/requests.h"

#include <algorithm>

namespace codeq::app {
namespace {

std::string bearer(const std::string& token) { return token.empty() ? "" : "Authorization: Bearer " + token + "\r\n"; }

}  // namespace

BenchRequests::BenchRequests(const BenchOptions& options, std::string run)
    : host_("Host: " + (options.host.find(':') == std::string::npos ? options.host : "[" + options.host + "]") + ':' +
            std::to_string(options.port) + "\r\n"),
      producer_(bearer(options.producer_token)),
      worker_(bearer(options.worker_token)),
      command_(options.command),
      run_(std::move(run)),
      batch_(options.batch) {
  claim_body_ = R"({"commands":[")" + command_ + R"("],"leaseSeconds":60,)" +
                (batch_ > 1 ? "\"count\":" + std::to_string(batch_) : std::string("\"waitSeconds\":10")) + '}';
  add_task(0);
  const auto empty = body_.size() - body_.find("{\"t\"") - 1;
  if (options.payload_bytes > empty) fill_.assign(options.payload_bytes - empty, 'x');
}

void BenchRequests::add_task(std::int64_t now_ns) {
  const auto digits = std::to_string(now_ns);
  body_.append(R"({"command":")").append(command_).append(R"(","payload":{"t":")");
  body_.append(19 - std::min<std::size_t>(19, digits.size()), '0').append(digits);  // every payload has the same size
  body_.append(R"(","run":")").append(run_).append(R"(","fill":")").append(fill_).append("\"}}");
}

std::string_view BenchRequests::finish(std::string_view path, const std::string& token) {
  request_.assign("POST ").append(path).append(" HTTP/1.1\r\n").append(host_).append(token);
  request_.append("Content-Type: application/json\r\nContent-Length: ")
      .append(std::to_string(body_.size()))
      .append("\r\n\r\n")
      .append(body_);
  return request_;
}

std::string_view BenchRequests::create(std::int64_t now_ns) {
  body_.clear();
  if (batch_ == 1) {
    add_task(now_ns);
    return finish("/v1/codeq/tasks", producer_);
  }
  body_.append(R"({"tasks":[)");
  for (std::uint32_t i = 0; i < batch_; ++i) {
    if (i > 0) body_.push_back(',');
    add_task(now_ns);
  }
  body_.append("]}");
  return finish("/v1/codeq/tasks/batch", producer_);
}

std::string_view BenchRequests::claim() {
  body_ = claim_body_;
  return finish(batch_ == 1 ? "/v1/codeq/tasks/claim" : "/v1/codeq/tasks/claim/batch", worker_);
}

std::string_view BenchRequests::result(const std::vector<HeldTask>& tasks) {
  constexpr std::string_view kOutcome = R"("status":"COMPLETED","result":{"ok":true}})";
  if (batch_ == 1 && tasks.size() == 1) {
    body_.assign("{").append(kOutcome);
    return finish("/v1/codeq/tasks/" + tasks.front().id + "/result", worker_);
  }
  body_.assign(R"({"results":[)");
  for (const auto& task : tasks) {
    if (body_.back() != '[') body_.push_back(',');
    body_.append(R"({"taskId":")").append(task.id).append("\",").append(kOutcome);
  }
  body_.append("]}");
  return finish("/v1/codeq/tasks/batch/results", worker_);
}

std::string_view BenchRequests::metrics() {
  request_ = "GET /metrics HTTP/1.1\r\n" + host_ + "\r\n";
  return request_;
}

}  // namespace codeq::app
