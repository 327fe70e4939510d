#include "app/bench/requests.h"

#include <fmt/format.h>

#include <ctime>

namespace codeq::app {
namespace {

constexpr int kIdleWaitSeconds = 30;

std::string bearer(const std::string& token) { return token.empty() ? "" : "Authorization: Bearer " + token + "\r\n"; }

}  // namespace

std::string rfc3339_ms(std::int64_t wall_ns) {
  const std::time_t seconds = wall_ns / 1'000'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, wall_ns / 1'000'000 % 1000);
}

BenchRequests::BenchRequests(const BenchOptions& options, std::string run)
    : options_(options),
      payloads_(std::move(run), options.payload_bytes),
      host_("Host: " + (options.host.find(':') == std::string::npos ? options.host : "[" + options.host + "]") + ':' +
            std::to_string(options.port) + "\r\n"),
      claim_bodies_(options.workers) {
  for (std::uint32_t tenant = 0; tenant < tenant_count(options); ++tenant) {
    producers_.push_back(bearer(producer_token_of(options, tenant)));
    workers_.push_back(bearer(worker_token_of(options, tenant)));
  }
  for (std::uint32_t queue = 0; queue < options.queues; ++queue) commands_.push_back(command_of(options, queue));
}

void BenchRequests::add_task(std::int64_t counts_from_ns, std::int64_t wall_ns) {
  body_.append(R"({"command":")").append(commands_[next_queue_]).append(R"(","payload":)");
  next_queue_ = (next_queue_ + 1) % options_.queues;
  payloads_.append(body_, counts_from_ns);
  if (options_.priorities > 1) {
    body_.append(R"(,"priority":)").append(std::to_string(next_priority_));
    next_priority_ = (next_priority_ + 1) % options_.priorities;
  }
  if (options_.delay_ms > 0) body_.append(R"(,"runAt":")").append(rfc3339_ms(wall_ns)).append("\"");
  body_.push_back('}');
}

std::string_view BenchRequests::finish(std::string_view path, const std::string& token) {
  request_.assign("POST ").append(path).append(" HTTP/1.1\r\n").append(host_).append(token);
  request_.append("Content-Type: application/json\r\nContent-Length: ")
      .append(std::to_string(body_.size()))
      .append("\r\n\r\n")
      .append(body_);
  return request_;
}

std::string_view BenchRequests::create(std::int64_t counts_from_ns, std::int64_t wall_ns) {
  const auto& token = producers_[next_tenant_];
  next_tenant_ = (next_tenant_ + 1) % static_cast<std::uint32_t>(producers_.size());
  body_.clear();
  if (options_.batch == 1) {
    add_task(counts_from_ns, wall_ns);
    return finish("/v1/codeq/tasks", token);
  }
  body_.append(R"({"tasks":[)");
  for (std::uint32_t i = 0; i < options_.batch; ++i) {
    if (i > 0) body_.push_back(',');
    add_task(counts_from_ns, wall_ns);
  }
  body_.append("]}");
  return finish("/v1/codeq/tasks/batch", token);
}

const std::string& BenchRequests::claim_body(std::uint32_t worker) {
  auto& body = claim_bodies_[worker];
  if (!body.empty()) return body;
  body = R"({"commands":[)";
  for (const auto& command : commands_of_worker(options_, worker)) {
    if (body.back() != '[') body += ',';
    body += '"' + command + '"';
  }
  body += R"(],"leaseSeconds":60,)";
  return body += options_.batch > 1 ? "\"count\":" + std::to_string(options_.batch) + '}' : R"("waitSeconds":10})";
}

std::string_view BenchRequests::claim(std::uint32_t worker) {
  body_ = claim_body(worker);
  return finish(options_.batch == 1 ? "/v1/codeq/tasks/claim" : "/v1/codeq/tasks/claim/batch",
                workers_[worker % workers_.size()]);
}

std::string_view BenchRequests::idle_claim() {
  body_ = fmt::format(R"({{"commands":["{}-IDLE"],"leaseSeconds":60,"waitSeconds":{}}})", options_.command,
                      kIdleWaitSeconds);
  return finish("/v1/codeq/tasks/claim", workers_.front());
}

std::string_view BenchRequests::result(std::uint32_t worker, const std::vector<HeldTask>& tasks) {
  constexpr std::string_view kOutcome = R"("status":"COMPLETED","result":{"ok":true}})";
  const auto& token = workers_[worker % workers_.size()];
  if (options_.batch == 1 && tasks.size() == 1) {
    body_.assign("{").append(kOutcome);
    return finish("/v1/codeq/tasks/" + tasks.front().id + "/result", token);
  }
  body_.assign(R"({"results":[)");
  for (const auto& task : tasks) {
    if (body_.back() != '[') body_.push_back(',');
    body_.append(R"({"taskId":")").append(task.id).append("\",").append(kOutcome);
  }
  body_.append("]}");
  return finish("/v1/codeq/tasks/batch/results", token);
}

}  // namespace codeq::app
