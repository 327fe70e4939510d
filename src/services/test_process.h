// For tests: one broker on memory twins that does nothing by itself; `settle` lets everything happen that can.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/memory/memory_log.h"
#include "observe/memory/memory_tracer.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"

namespace codeq::services {

// Keeps the jobs; the test decides what came of them.
struct KeptJobs final : WebhookSender {
  struct Kept {
    WebhookJob job;
    std::move_only_function<void(WebhookOutcome)> finished;
  };
  void send(WebhookJob job, std::move_only_function<void(WebhookOutcome)> finished) override {
    jobs.push_back({std::move(job), std::move(finished)});
  }
  std::deque<Kept> jobs;
};

struct StepProcess {
  std::shared_ptr<log::MemoryDisk> disk = std::make_shared<log::MemoryDisk>();
  storage::MemoryStore store;
  ManualClock clock;
  SystemRng rng;
  observe::MemoryTracer tracer;
  observe::Metrics metrics;
  KeptJobs sender;
  std::function<bool(std::string_view)> may_notify;
  PartitionOptions options = [] {
    PartitionOptions o;
    o.threaded = false;
    o.cut_after_ns = 0;
    o.ready_bytes_max = 0;  // nothing stays in memory that need not
    o.retry = {.kind = core::RetryKind::kFixed, .base_seconds = 5, .max_seconds = 900};
    return o;
  }();
  std::unique_ptr<log::MemoryLog> log;
  std::unique_ptr<Partition> partition;

  StepProcess() = default;
  ~StepProcess() { partition.reset(); }
  StepProcess(const StepProcess&) = delete;
  StepProcess& operator=(const StepProcess&) = delete;

  void start() {
    log = std::make_unique<log::MemoryLog>(disk);
    partition = std::make_unique<Partition>(
        options, Partition::Deps{.log = *log,
                                 .store = store,
                                 .clock = clock,
                                 .rng = rng,
                                 .tracer = tracer,
                                 .metrics = metrics,
                                 .webhooks = sender,
                                 .disk_low = {},
                                 .on_failure = [](const Error& error) { ADD_FAILURE() << error.message; },
                                 .may_notify = may_notify});
    const auto report = partition->start();
    ASSERT_TRUE(report.has_value()) << report.error().message;
    settle();
  }
  // As a kill: what was acknowledged is in the log, the store may be anywhere behind.
  void crash_and_start() {
    partition->vanish();
    partition.reset();
    store.crash();
    start();
  }
  void settle() {
    while (partition->step() || partition->step_committer() || partition->step_reader() || partition->step_image()) {}
  }
  void pass(std::int64_t seconds) {
    clock.advance_ns(seconds * kNanosPerSecond);
    settle();
  }

  template <class T, class F>
  Result<T> ask(F&& call) {
    std::optional<Result<T>> answer;
    call([&](Result<T> result) { answer = std::move(result); });
    settle();
    EXPECT_TRUE(answer.has_value()) << "not answered";
    return answer ? std::move(*answer) : Result<T>(fail(Code::kInternal, "not answered"));
  }
  Caller caller(std::string tenant = "acme", std::string subject = "alice") {
    return {.tenant = std::move(tenant),
            .subject = std::move(subject),
            .request = {},
            .received_steady_ns = clock.steady_ns()};
  }
  TaskSnapshot create(CreateTask like = {}, std::string tenant = "acme") {
    if (like.command.empty()) like.command = "Render";
    if (like.payload.empty()) like.payload = R"({"n":1})";
    std::vector<CreateTask> asks;
    asks.push_back(std::move(like));
    auto made = ask<std::vector<Result<TaskSnapshot>>>(
        [&](auto done) { partition->create(caller(std::move(tenant)), std::move(asks), std::move(done)); });
    EXPECT_TRUE(made.has_value() && made->at(0).has_value());
    return made && made->at(0) ? *made->at(0) : TaskSnapshot{};
  }
  std::vector<TaskSnapshot> claim(std::string subject = "alice", std::string command = "render") {
    std::vector<std::string> commands;
    if (!command.empty()) commands.push_back(std::move(command));
    auto claimed = ask<std::vector<TaskSnapshot>>([&](auto done) {
      partition->claim(caller("acme", std::move(subject)),
                       {.commands = std::move(commands), .count = 1, .lease_seconds = 30, .wait_ms = 0},
                       std::move(done));
    });
    return claimed ? *std::move(claimed) : std::vector<TaskSnapshot>{};
  }
  Result<NackOutcome> nack(const TaskSnapshot& task, std::string subject = "alice", std::int64_t delay_seconds = 1) {
    return ask<NackOutcome>([&](auto done) {
      partition->nack(caller("acme", std::move(subject)), {.task_id = task.info->id_text, .lease_token = std::nullopt},
                      delay_seconds, "no", std::move(done));
    });
  }
  Result<void> abandon(const TaskSnapshot& task, std::string subject = "alice") {
    return ask<void>([&](auto done) {
      partition->abandon(caller("acme", std::move(subject)),
                         {.task_id = task.info->id_text, .lease_token = std::nullopt}, std::move(done));
    });
  }
  Result<TopicPut> put_topic(std::string name, core::TopicPolicy policy, std::string tenant = "acme") {
    return ask<TopicPut>([&](auto done) {
      partition->put_topic(caller(std::move(tenant)), std::move(name), std::move(policy), std::move(done));
    });
  }
  Result<core::Subscription> subscribe(Subscribe like, std::string tenant = "acme", std::string subject = "alice") {
    if (like.callback_url.empty()) like.callback_url = "http://hooks.example:8080/cb";
    if (like.event_types.empty()) like.event_types = {"render"};
    return ask<core::Subscription>([&](auto done) {
      partition->subscribe(caller(std::move(tenant), std::move(subject)), std::move(like), std::move(done));
    });
  }
  // What was sent since the last look; all of it succeeds.
  std::vector<WebhookJob> sent() {
    std::vector<WebhookJob> jobs;
    for (auto& kept : std::exchange(sender.jobs, {})) {
      kept.finished({.http_status = 200, .error = ""});
      jobs.push_back(std::move(kept.job));
    }
    settle();
    return jobs;
  }
};

}  // namespace codeq::services
