#include "services/partition.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "log/memory/memory_log.h"
#include "observe/memory/memory_tracer.h"
#include "storage/memory/memory_store.h"

namespace codeq::services {
namespace {

using observe::OwnedSpan;

const std::vector<TaskSnapshot> kNothing;

// Keeps the jobs; the test decides what came of them.
class HeldSender final : public WebhookSender {
 public:
  struct Held {
    WebhookJob job;
    std::move_only_function<void(WebhookOutcome)> finished;
  };
  void send(WebhookJob job, std::move_only_function<void(WebhookOutcome)> finished) override {
    const std::scoped_lock lock(mutex_);
    held_.push_back({std::move(job), std::move(finished)});
    arrived_.notify_all();
  }
  Held next() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return !held_.empty(); });
    auto held = std::move(held_.front());
    held_.erase(held_.begin());
    return held;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Held> held_;
};

// What outlives a process.
struct Machine {
  std::shared_ptr<log::MemoryDisk> log = std::make_shared<log::MemoryDisk>();
  std::shared_ptr<storage::MemoryStore> store = std::make_shared<storage::MemoryStore>();
  bool forgetful = false;  // nothing stays in memory that need not
};

// One broker process on a machine.
struct Process {
  explicit Process(const Machine& on, ManualClock& with, bool traced = true, std::int64_t retention_seconds = 86'400)
      : log(on.log), clock(with), store(on.store) {
    observe::Tracer& used = traced ? static_cast<observe::Tracer&>(tracer) : off;
    PartitionOptions options;
    options.retention_seconds = retention_seconds;
    options.retry = {.kind = core::RetryKind::kFixed, .base_seconds = 5, .max_seconds = 900};
    if (on.forgetful) {
      options.cut_after_ns = 0;
      options.ready_bytes_max = 0;
      options.log_bytes_max = 4096;
    }
    partition = std::make_unique<Partition>(
        options, Partition::Deps{.log = log,
                                 .store = *store,
                                 .clock = clock,
                                 .rng = rng,
                                 .tracer = used,
                                 .metrics = metrics,
                                 .webhooks = sender,
                                 .disk_low = [this] { return disk_low.load(); },
                                 .on_failure =
                                     [this](const Error& e) {  // the image may fail after the log, on a thread of its own
                                       if (!failed.exchange(true)) failure.set_value(e.code);
                                     }});
    const auto report = partition->start();
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  }

  template <class T, class F>
  T wait_for(F&& call) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    call([promise](Result<T> result) { promise->set_value(std::move(result)); });
    auto result = future.get();
    if constexpr (std::is_void_v<T>) {
      EXPECT_TRUE(result.has_value());
      return;
    } else {
      EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
      return result ? std::move(*result) : T{};
    }
  }
  template <class T, class F>
  Result<T> result_of(F&& call) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    call([promise](Result<T> result) { promise->set_value(std::move(result)); });
    return future.get();
  }

  Caller caller(std::string subject) {
    return {
        .tenant = "acme", .subject = std::move(subject), .request = request, .received_steady_ns = clock.steady_ns()};
  }
  TaskSnapshot create(CreateTask ask) {
    if (ask.command.empty()) ask.command = "RENDER";
    if (ask.payload.empty()) ask.payload = "{}";
    std::vector<CreateTask> asks;
    asks.push_back(std::move(ask));
    auto made = wait_for<std::vector<Result<TaskSnapshot>>>(
        [&](auto done) { partition->create(caller("producer"), std::move(asks), std::move(done)); });
    EXPECT_TRUE(made.at(0).has_value()) << (made.at(0) ? "" : made.at(0).error().message);
    return made.at(0).value_or(TaskSnapshot{});
  }
  std::vector<TaskSnapshot> claim(std::string worker, std::uint32_t count = 1, std::int64_t wait_ms = 0) {
    return wait_for<std::vector<TaskSnapshot>>([&](auto done) {
      partition->claim(caller(std::move(worker)),
                       {.commands = {"render"}, .count = count, .lease_seconds = 30, .wait_ms = wait_ms},
                       std::move(done));
    });
  }
  Result<ResultSnapshot> submit(std::string worker, const TaskSnapshot& task) {
    std::vector<SubmitResult> items;
    items.push_back({.task_id = task.info->id_text,
                     .lease_token = std::nullopt,
                     .status = "COMPLETED",
                     .result_json = "{}",
                     .error = {},
                     .artifacts = {}});
    return wait_for<std::vector<Result<ResultSnapshot>>>(
               [&](auto done) { partition->submit(caller(std::move(worker)), std::move(items), std::move(done)); })
        .at(0);
  }
  // A read passes through the partition, so whatever the clock made due has happened when it answers.
  TaskSnapshot get(const TaskSnapshot& task) {
    return wait_for<TaskSnapshot>(
        [&](auto done) { partition->get_task(caller("reader"), task.info->id_text, std::move(done)); });
  }
  TimelineSnapshot timeline(const TaskSnapshot& task) {
    return wait_for<TimelineSnapshot>(
        [&](auto done) { partition->get_timeline(caller("reader"), task.info->id_text, std::move(done)); });
  }

  log::MemoryLog log;
  ManualClock& clock;
  std::shared_ptr<storage::MemoryStore> store;
  SystemRng rng;
  observe::MemoryTracer tracer;
  struct Off final : observe::Tracer {
    [[nodiscard]] bool enabled() const override { return false; }
    [[nodiscard]] core::SpanContext start(const core::SpanContext&, Rng&) const override { return {}; }
    void record(const observe::Span&) noexcept override { ADD_FAILURE() << "tracing is off"; }
    [[nodiscard]] observe::TracerStats stats() const override { return {}; }
  } off;
  observe::Metrics metrics;
  HeldSender sender;
  std::atomic<bool> disk_low = false;
  std::promise<Code> failure;  // the first one
  std::atomic<bool> failed{false};
  core::SpanContext request;
  std::unique_ptr<Partition> partition;
};

// Everything holds with tasks in memory and with tasks that must be read from the store each time.
struct PartitionTest : testing::TestWithParam<bool> {
  PartitionTest() { disk.forgetful = GetParam(); }
  Machine disk;
  ManualClock clock;
};
INSTANTIATE_TEST_SUITE_P(Memory, PartitionTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Forgetful" : "Usual"; });

TEST_P(PartitionTest, ATaskGoesFromCreateToResultAndEverySpanIsInOneTrace) {
  Process p(disk, clock);
  const auto created = p.create({.webhook = "http://hooks.example/x"});
  clock.advance_ns(kNanosPerSecond);
  const auto claimed = p.claim("alice");
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].attempts, 1U);
  EXPECT_EQ(claimed[0].context.trace_id, created.context.trace_id);
  EXPECT_NE(claimed[0].context.span_id, created.context.span_id);
  clock.advance_ns(kNanosPerSecond);
  ASSERT_TRUE(p.submit("alice", claimed[0]).has_value());
  auto held = p.sender.next();
  EXPECT_NE(held.job.body.find(R"("status":"COMPLETED","result":{},"error":"","artifacts":null)"), std::string::npos)
      << held.job.body;
  held.finished({.http_status = 200, .error = ""});
  const auto timeline = p.timeline(created);
  p.partition->stop();

  std::map<std::string, OwnedSpan> spans;
  for (auto& span : p.tracer.spans()) spans[span.name] = span;
  ASSERT_EQ(spans.size(), 6U);
  for (const auto& [name, span] : spans) EXPECT_EQ(span.context.trace_id, created.context.trace_id) << name;
  EXPECT_EQ(spans["codeq.task.queued"].parent, created.context.span_id);
  EXPECT_EQ(spans["codeq.task.claim"].parent, created.context.span_id);
  EXPECT_EQ(spans["codeq.task.run"].parent, claimed[0].context.span_id);
  EXPECT_EQ(spans["codeq.task.submit_result"].parent, claimed[0].context.span_id);
  EXPECT_EQ(spans["codeq.webhook.task_result"].parent, spans["codeq.task.submit_result"].context.span_id);
  EXPECT_EQ(held.job.traceparent, core::format_traceparent(spans["codeq.webhook.task_result"].context));
  EXPECT_EQ(spans["codeq.task.queued"].attribute("codeq.wait.cause"), "ready");
  EXPECT_EQ(spans["codeq.task.run"].end_ns - spans["codeq.task.run"].start_ns, kNanosPerSecond);
  EXPECT_EQ(timeline.events.size(), 6U);
  for (const auto& event : timeline.events) EXPECT_NE(event.end_ns, 0);
}

TEST_P(PartitionTest, ARestartKeepsTheTaskItsLeaseAndItsTrace) {
  std::optional<TaskSnapshot> claimed;
  {
    Process before(disk, clock);
    before.create({});
    claimed = before.claim("alice").at(0);
  }  // no clean-up of ours is needed for what was acknowledged
  Process after(disk, clock);
  const auto found = after.get(*claimed);
  EXPECT_EQ(found.status, core::Status::kInProgress);
  EXPECT_EQ(found.lease_token, claimed->lease_token);
  EXPECT_EQ(found.context, claimed->context);
  EXPECT_EQ(*found.payload, "{}");
  EXPECT_TRUE(after.submit("alice", *claimed).has_value());
}

TEST_P(PartitionTest, AStepOfTheWallClockNeitherExpiresNorFreezesALease) {
  for (const auto step : {3600 * kNanosPerSecond, -3600 * kNanosPerSecond}) {
    Machine fresh;
    fresh.forgetful = GetParam();
    std::optional<TaskSnapshot> claimed;
    {
      Process p(fresh, clock);
      p.create({});
      claimed = p.claim("alice").at(0);
      clock.step_wall_ns(step);
      clock.advance_ns(10 * kNanosPerSecond);
      EXPECT_EQ(p.get(*claimed).status, core::Status::kInProgress);
    }
    clock.step_wall_ns(step);
    Process p(fresh, clock);
    clock.advance_ns(10 * kNanosPerSecond);
    EXPECT_EQ(p.get(*claimed).status, core::Status::kInProgress);
    clock.advance_ns(11 * kNanosPerSecond);
    EXPECT_EQ(p.get(*claimed).status, core::Status::kPending);
  }
}

TEST_P(PartitionTest, AParkedClaimIsServedByTheTaskItWaitsFor) {
  Process p(disk, clock);
  std::promise<Result<std::vector<TaskSnapshot>>> promise;
  auto served = promise.get_future();
  p.partition->claim(p.caller("alice"), {.commands = {"RENDER"}, .count = 1, .lease_seconds = 30, .wait_ms = 30'000},
                     [&](auto result) { promise.set_value(std::move(result)); });
  const auto created = p.create({});
  const auto claimed = served.get();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_EQ(claimed->at(0).info->id, created.info->id);
}

TEST_P(PartitionTest, AnAbandonedCallTakesNoTask) {
  Process p(disk, clock);
  std::promise<std::size_t> answered;
  const auto id = p.partition->claim(p.caller("alice"),
                                     {.commands = {"RENDER"}, .count = 1, .lease_seconds = 30, .wait_ms = 30'000},
                                     [&](auto result) { answered.set_value(result->size()); });
  p.partition->abandon_call(id);
  EXPECT_EQ(answered.get_future().get(), 0U);  // answered to nobody, so that whoever counts parked calls counts it out
  const auto created = p.create({});
  EXPECT_EQ(p.get(created).status, core::Status::kPending);
}

TEST_P(PartitionTest, AnUndeliveredAnswerGivesItsTasksBackInOrder) {
  Process p(disk, clock);
  const auto first = p.create({});
  p.create({});
  p.partition->undelivered(p.claim("alice", 2));
  auto again = p.claim("bob", 2, 1000);  // those that have to be read first may come one by one
  if (again.size() == 1) again.push_back(p.claim("bob", 1, 1000).at(0));
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(again[0].info->id, first.info->id);
  EXPECT_EQ(again[0].attempts, 1U);
}

TEST_P(PartitionTest, AnExpiredLeaseComesBackThroughTheTimerWithItsCause) {
  Process p(disk, clock);
  const auto created = p.create({});
  p.claim("alice");
  clock.advance_ns(30 * kNanosPerSecond);
  EXPECT_EQ(p.get(created).place, core::Place::kDelayed);
  clock.advance_ns(5 * kNanosPerSecond);
  const auto again = p.claim("bob", 1, 1000);  // the task may have to be read first
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempts, 2U);
  p.partition->stop();
  std::vector<std::string> names;
  for (const auto& span : p.tracer.spans()) {
    names.push_back(span.name);
    if (span.name == "codeq.task.lease_expired") { EXPECT_TRUE(span.error); }
    if (span.attribute("codeq.attempt") != "2") continue;
    if (span.name == "codeq.task.queued") { EXPECT_EQ(span.attribute("codeq.wait.cause"), "lease_expired"); }
    if (span.name == "codeq.task.claim") {
      EXPECT_EQ(span.links.size(), 1U);
    }  // the claim before; no request span here
  }
  EXPECT_EQ(names, (std::vector<std::string>{"codeq.task.create", "codeq.task.queued", "codeq.task.claim",
                                             "codeq.task.lease_expired", "codeq.task.delayed", "codeq.task.queued",
                                             "codeq.task.claim"}));
}

TEST_P(PartitionTest, AWebhookIsRetriedAcrossARestartUnderTheSameParent) {
  std::string first_parent;
  {
    Process p(disk, clock);
    p.create({.webhook = "http://hooks.example/x"});
    EXPECT_TRUE(p.submit("alice", p.claim("alice").at(0)).has_value());
    auto held = p.sender.next();
    held.finished({.http_status = 503, .error = ""});
    p.partition->stop();
    for (const auto& span : p.tracer.spans())
      if (span.name == "codeq.webhook.task_result") first_parent = core::to_hex(span.parent);
  }
  ASSERT_FALSE(first_parent.empty());
  clock.advance_ns(2 * kNanosPerSecond);
  Process p(disk, clock);
  auto held = p.sender.next();
  held.finished({.http_status = 200, .error = ""});
  p.partition->list_deliveries(p.caller("x"), 0, 10, [](auto) {});
  p.partition->stop();
  const auto spans = p.tracer.spans();
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(core::to_hex(spans[0].parent), first_parent);
  EXPECT_EQ(spans[0].attribute("codeq.webhook.attempt"), "2");
}

TEST_P(PartitionTest, ALogWrittenUnderAnotherRetentionReplays) {
  {
    Process brief(disk, clock, true, 1);
    brief.create({});
    EXPECT_TRUE(brief.submit("alice", brief.claim("alice").at(0)).has_value());
    clock.advance_ns(2 * kNanosPerSecond);
    EXPECT_TRUE(brief.claim("alice").empty());  // a round, in which the task goes
  }
  Process patient(disk, clock, true, 3600);
  EXPECT_TRUE(patient.claim("alice").empty());
}

TEST_P(PartitionTest, ManyLargeCreatesAtOnceAreSplitIntoGroupsThatTheLogTakes) {
  Process p(disk, clock);
  const std::string payload = '"' + std::string(1 << 20, 'x') + '"';
  std::atomic<int> kept = 0;
  for (int i = 0; i < 100; ++i) {
    std::vector<CreateTask> asks(1);
    asks[0].command = "BIG";
    asks[0].payload = payload;
    p.partition->create(p.caller("producer"), std::move(asks),
                        [&](auto result) { kept += result && result->at(0) ? 1 : 0; });
  }
  p.partition->stop();
  EXPECT_EQ(kept, 100);
}

TEST_P(PartitionTest, ABatchOfLargeTasksIsHandedOutInSeveralAnswers) {
  Process p(disk, clock);
  for (int i = 0; i < 10; ++i) p.create({.payload = '"' + std::string(600'000, 'x') + '"'});
  EXPECT_EQ(p.claim("alice", 100).size(), 3U);  // a fourth would pass 2 MiB
}

TEST_P(PartitionTest, AClaimNamesAtMostAThousandCommands) {
  Process p(disk, clock);
  const auto refused = p.result_of<std::vector<TaskSnapshot>>([&](auto done) {
    p.partition->claim(p.caller("alice"),
                       {.commands = std::vector<std::string>(1001, "c"), .count = 1, .lease_seconds = 30},
                       std::move(done));
  });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
}

TEST_P(PartitionTest, TracingSwitchedOffMidLifeHandsOutTheOriginAndNoSpanThatIsNeverMade) {
  std::optional<TaskSnapshot> created;
  {
    Process traced(disk, clock);
    created = traced.create({});
  }
  Process off(disk, clock, false);
  EXPECT_EQ(off.claim("alice").at(0).context, created->context);
}

TEST_P(PartitionTest, NothingIsAnsweredAfterTheLogHasFailed) {
  disk.log->fail_append = 2;
  Process p(disk, clock);
  p.create({});
  std::vector<CreateTask> asks(1);
  asks[0].command = "RENDER";
  asks[0].payload = "{}";
  p.partition->create(p.caller("producer"), std::move(asks),
                      [](auto) { ADD_FAILURE() << "an answer after a failed append"; });
  EXPECT_EQ(p.failure.get_future().get(), Code::kIo);
}

TEST_P(PartitionTest, TracingOffLetsTheReceivedContextThroughUntouched) {
  Process p(disk, clock, false);
  core::TraceContext incoming;
  incoming.span = *core::parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  incoming.tracestate = "a=1";
  p.create({.webhook = "http://hooks.example/x", .incoming = incoming});
  const auto claimed = p.claim("alice").at(0);
  EXPECT_EQ(claimed.context, incoming.span);
  EXPECT_EQ(claimed.info->trace.tracestate, "a=1");
  EXPECT_TRUE(p.submit("alice", claimed).has_value());
  EXPECT_EQ(p.sender.next().job.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(p.timeline(claimed).events.size(), 5U);
}

TEST_P(PartitionTest, ADiskThatIsNearlyFullStopsCreatesAlone) {
  Process p(disk, clock);
  p.create({});
  p.disk_low = true;
  clock.advance_ns(2 * kNanosPerSecond);
  const auto claimed = p.claim("alice").at(0);
  const auto refused = p.result_of<std::vector<Result<TaskSnapshot>>>(
      [&](auto done) { p.partition->create(p.caller("x"), std::vector<CreateTask>(1), std::move(done)); });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kDiskFull);
  EXPECT_TRUE(p.submit("alice", claimed).has_value());
}

TEST_P(PartitionTest, DrainingAnswersParkedPollsAtOnce) {
  Process p(disk, clock);
  std::promise<std::size_t> served;
  p.partition->claim(p.caller("alice"), {.commands = {}, .count = 1, .lease_seconds = 30, .wait_ms = 30'000},
                     [&](auto result) { served.set_value(result->size()); });
  p.partition->begin_drain();
  EXPECT_EQ(served.get_future().get(), 0U);
  EXPECT_TRUE(p.claim("bob").empty());
}

TEST_P(PartitionTest, AnIdempotentReplayHasItsSpanInTheCallersTraceAndLinksToTheTask) {
  Process p(disk, clock);
  const auto first = p.create({.idempotency_key = "k"});
  p.request = *core::parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  const auto again = p.create({.idempotency_key = "k"});
  EXPECT_EQ(again.info->id, first.info->id);
  p.partition->stop();
  const auto spans = p.tracer.spans();
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[1].context.trace_id, p.request.trace_id);
  ASSERT_EQ(spans[1].links.size(), 1U);
  EXPECT_EQ(spans[1].links[0].span_id, first.context.span_id);
}

}  // namespace
}  // namespace codeq::services
