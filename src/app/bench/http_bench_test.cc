#include "app/bench/http_bench.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <sstream>
#include <string>

#include "transport/webhook/loopback_server.h"

namespace codeq::app {
namespace {

using transport::testing_support::LoopbackServer;
using transport::testing_support::Peer;
using transport::testing_support::ReceivedRequest;

// The smallest thing that a bench can take for a broker.
class TinyBroker {
 public:
  TinyBroker()
      : server_([this](Peer& peer) {
          while (auto request = peer.read_request()) {
            if (!peer.write(answer(*request))) return;
            const std::scoped_lock lock(mutex_);
            if (hang_up_ != 0 && ++answers_ % hang_up_ == 0) return;
          }
        }) {}

  BenchOptions options() const {
    BenchOptions options;
    options.port = static_cast<std::uint16_t>(server_.port());
    options.producer_token = "canary-producer";
    options.worker_token = "canary-worker";
    options.producers = 2;
    options.workers = 3;
    options.seconds = 60;
    options.tasks = 200;
    options.outstanding = 8;
    options.server_pid = getpid();
    return options;
  }

  bool refuse_creates = false;
  int hang_up_ = 0;                 // close the connection after every so many answers
  std::size_t most_waiting() const { return most_waiting_; }
  std::size_t waiting_at_first_claim() const { return waiting_at_first_claim_; }
  std::size_t payload_bytes() const { return payload_bytes_; }
  std::size_t left() const { return queue_.size() + leased_; }
  std::size_t unauthorized() const { return unauthorized_; }

 private:
  static std::string reply(const char* status, const std::string& body) {
    return std::string("HTTP/1.1 ") + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  std::string create(const std::string& task) {
    const auto from = task.find("{\"t\"");
    const auto payload = task.substr(from, task.find('}', from) + 1 - from);
    payload_bytes_ = payload.size();
    std::string escaped;
    for (const char c : payload) {
      if (c == '"') escaped += '\\';
      escaped += c;
    }
    queue_.push_back(R"({"id":"task-)" + std::to_string(++made_) + R"(","command":"BENCH","payload":")" + escaped +
                     R"("})");
    most_waiting_ = std::max(most_waiting_, queue_.size() + leased_);
    return queue_.back();
  }
  std::string answer(const ReceivedRequest& request) {
    const std::scoped_lock lock(mutex_);
    const auto& line = request.start_line;
    if (line.starts_with("GET /metrics "))
      return reply("200 OK", "codeq_durability_info{mode=\"none\"} 1\ncodeq_tracing_info{sampling=\"0.25\"} 1\n");
    const auto wanted =
        line.starts_with("POST /v1/codeq/tasks HTTP") || line.starts_with("POST /v1/codeq/tasks/batch HTTP")
            ? "canary-producer"
            : "canary-worker";
    if (request.headers.at("authorization") != std::string("Bearer ") + wanted) ++unauthorized_;
    if (line.starts_with("POST /v1/codeq/tasks HTTP")) {
      if (refuse_creates) return reply("503 Busy", R"({"error":"busy"})");
      return reply("202 Accepted", create(request.body));
    }
    if (line.starts_with("POST /v1/codeq/tasks/batch HTTP")) {
      std::string out;
      for (auto at = request.body.find("{\"command\""); at != std::string::npos;
           at = request.body.find("{\"command\"", at + 1)) {
        out += (out.empty() ? "" : ",") + (R"({"task":)" + create(request.body.substr(at)) + '}');
      }
      return reply("200 OK", R"({"results":[)" + out + "]}");
    }
    if (line.starts_with("POST /v1/codeq/tasks/claim")) {
      if (!claimed_) waiting_at_first_claim_ = queue_.size();
      claimed_ = true;
      if (queue_.empty()) return "HTTP/1.1 204 No Content\r\n\r\n";
      const bool batch = line.starts_with("POST /v1/codeq/tasks/claim/batch");
      std::string out;
      do {
        out += (out.empty() ? "" : ",") + queue_.front();
        queue_.pop_front();
        ++leased_;
      } while (batch && !queue_.empty());
      return reply("200 OK", batch ? R"({"tasks":[)" + out + "]}" : out);
    }
    const std::string record =
        R"({"taskId":"x","status":"COMPLETED","result":{"ok":true},"completedAt":"2026-01-01T00:00:00Z"})";
    if (line.starts_with("POST /v1/codeq/tasks/batch/results")) {
      std::string out;
      for (auto at = request.body.find("\"taskId\""); at != std::string::npos;
           at = request.body.find("\"taskId\"", at + 1)) {
        out += (out.empty() ? "" : ",") + (R"({"taskId":"x","result":)" + record + '}');
        --leased_;
      }
      return reply("200 OK", R"({"results":[)" + out + "]}");
    }
    if (line.starts_with("POST /v1/codeq/tasks/task-") && line.find("/result HTTP") != std::string::npos) {
      --leased_;
      return reply("200 OK", record);
    }
    return reply("404 Not Found", "");
  }

  std::mutex mutex_;
  std::deque<std::string> queue_;
  std::size_t leased_ = 0, most_waiting_ = 0, payload_bytes_ = 0, unauthorized_ = 0;
  bool claimed_ = false;
  std::size_t waiting_at_first_claim_ = 0;
  std::uint64_t made_ = 0;
  int answers_ = 0;
  LoopbackServer server_;           // last: its threads end before what they use
};

TEST(HttpBench, CountsAcknowledgedResultsAndLeavesNothingBehind) {
  TinyBroker broker;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(broker.options(), out), 0) << out.str();
  for (const auto* part :
       {" tasks completed/s (2", "durability none, trace sampling 0.25", "server CPU ", "no errors"}) {
    EXPECT_NE(out.str().find(part), std::string::npos) << part << "\n" << out.str();
  }
  EXPECT_EQ(out.str().find("canary"), std::string::npos);
  EXPECT_EQ(broker.unauthorized(), 0U);
  EXPECT_EQ(broker.payload_bytes(), 300U);
  EXPECT_LE(broker.most_waiting(), 8U) << "what is open is bounded";
  EXPECT_EQ(broker.left(), 0U);
}

TEST(HttpBench, SpeaksTheBatchRoutes) {
  TinyBroker broker;
  auto options = broker.options();
  options.batch = 5;
  options.outstanding = 3;              // less than a batch: one batch at a time
  options.json = true;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 0) << out.str();
  EXPECT_NE(out.str().find("\"errors\":{}}\n"), std::string::npos) << out.str();
  EXPECT_LE(broker.most_waiting(), 5U);
  EXPECT_EQ(broker.left(), 0U);
}

TEST(HttpBench, ARunByTimeEndsByItself) {
  TinyBroker broker;
  auto options = broker.options();
  options.tasks = 0;
  options.warmup_seconds = 0.02;
  options.seconds = 0.1;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 0) << out.str();
  EXPECT_EQ(broker.left(), 0U);
}

TEST(HttpBench, FillsTheBacklogBeforeTheFirstClaim) {
  TinyBroker broker;
  auto options = broker.options();
  options.backlog = 100;
  options.batch = 3;
  options.json = true;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 0) << out.str();
  EXPECT_NE(out.str().find("\"fill_per_second\":"), std::string::npos) << out.str();
  EXPECT_GE(broker.waiting_at_first_claim(), 100U);
  EXPECT_LE(broker.most_waiting(), 108U);
  EXPECT_EQ(broker.left(), 0U);
}

TEST(HttpBench, AnOpenLoopCreatesAtItsRateHoweverMuchWaits) {
  TinyBroker broker;
  auto options = broker.options();
  options.tasks = 0;
  options.warmup_seconds = 0;
  options.seconds = 0.2;
  options.rate = 1000;
  options.outstanding = 1;
  options.json = true;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 0) << out.str();
  EXPECT_NE(out.str().find("\"loop\":\"open\""), std::string::npos);
  const auto text = out.str();
  const auto number_after = [&](const std::string& name) {
    const auto at = text.find(name);
    EXPECT_NE(at, std::string::npos) << text;
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
  };
  // The measured part is as long as it says: a machine that is busy ends it late.
  const auto instants = number_after("\"seconds\":") * options.rate;
  EXPECT_GE(instants, 200);
  EXPECT_NEAR(number_after("\"completed\":{\"count\":"), instants, 2) << "one for each instant: " << text;
}

TEST(HttpBench, GoesOnOverLostConnectionsAndReportsThem) {
  TinyBroker broker;
  broker.hang_up_ = 20;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(broker.options(), out), 1) << out.str();
  EXPECT_NE(out.str().find(" connection: "), std::string::npos) << out.str();
}

TEST(HttpBench, CountsRefusalsByStatus) {
  TinyBroker broker;
  broker.refuse_creates = true;
  auto options = broker.options();
  options.tasks = 0;
  options.warmup_seconds = 0;
  options.seconds = 0.05;
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 1);
  EXPECT_NE(out.str().find("errors: create 503: "), std::string::npos) << out.str();
}

TEST(HttpBench, SaysWhenThereIsNobody) {
  BenchOptions options;
  {
    LoopbackServer gone([](Peer&) {});
    options.port = static_cast<std::uint16_t>(gone.port());
  }
  std::ostringstream out;
  EXPECT_EQ(run_http_bench(options, out), 2);
  EXPECT_NE(out.str().find("cannot connect"), std::string::npos);
}

TEST(HttpBench, RefusesOptionsThatDoNotWork) {
  for (auto break_it :
       {+[](BenchOptions& o) { o.batch = 0; }, +[](BenchOptions& o) { o.batch = 101; },
        +[](BenchOptions& o) { o.workers = 0; }, +[](BenchOptions& o) { o.seconds = -1; },
        +[](BenchOptions& o) { o.command = "a\"b"; }, +[](BenchOptions& o) { o.producer_token = "a\r\nb"; }}) {
    BenchOptions options;
    break_it(options);
    std::ostringstream out;
    EXPECT_EQ(run_http_bench(options, out), 2);
    EXPECT_FALSE(out.str().empty());
  }
}

}  // namespace
}  // namespace codeq::app
