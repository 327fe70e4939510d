// What a partition keeps in memory, and that nobody notices: deep backlogs, retention, a store that stands still.
#include <gtest/gtest.h>

#include <future>

#include "log/memory/memory_log.h"
#include "observe/null_tracer.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"

namespace codeq::services {
namespace {

struct NoWebhooks final : WebhookSender {
  void send(WebhookJob, std::move_only_function<void(WebhookOutcome)>) override { ADD_FAILURE() << "nothing to send"; }
};

// A store whose writes wait for a word of the test.
class HeldStore final : public storage::Store {
 public:
  explicit HeldStore(storage::Store& inner) : inner_(inner) {}
  Result<void> write(const storage::Position& position, const std::vector<core::Row>& rows) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_; });
    return inner_.write(position, rows);
  }
  void hold(bool held) {
    {
      const std::scoped_lock lock(mutex_);
      held_ = held;
    }
    changed_.notify_all();
  }
  Result<void> flush() override { return inner_.flush(); }
  Result<std::optional<std::string>> get(core::Table table, std::string_view key) const override {
    return inner_.get(table, key);
  }
  Result<void> scan(core::Table table, std::string_view from, std::string_view until,
                    const Visit& visit) const override {
    return inner_.scan(table, from, until, visit);
  }
  [[nodiscard]] storage::Position position() const override { return inner_.position(); }
  [[nodiscard]] storage::Position durable() const override { return inner_.durable(); }
  [[nodiscard]] storage::StoreStats stats() const override { return inner_.stats(); }

 private:
  storage::Store& inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
};

struct Machine {
  std::shared_ptr<log::MemoryDisk> disk = std::make_shared<log::MemoryDisk>();
  storage::MemoryStore rows;
  HeldStore store{rows};
  ManualClock clock;
  SystemRng rng;
  observe::NullTracer tracer;
  observe::Metrics metrics;
  NoWebhooks webhooks;
  std::unique_ptr<log::MemoryLog> log;
  std::unique_ptr<Partition> partition;

  PartitionOptions options = [] {
    PartitionOptions o;
    o.cut_after_ns = 0;
    o.retention_seconds = 3600;
    return o;
  }();

  void start() {
    log = std::make_unique<log::MemoryLog>(disk);
    partition = std::make_unique<Partition>(options, Partition::Deps{.log = *log,
                                                                     .store = store,
                                                                     .clock = clock,
                                                                     .rng = rng,
                                                                     .tracer = tracer,
                                                                     .metrics = metrics,
                                                                     .webhooks = webhooks,
                                                                     .disk_low = {},
                                                                     .on_failure = [](const Error& error) {
                                                                       ADD_FAILURE() << error.message;
                                                                     }});
    const auto report = partition->start();
    ASSERT_TRUE(report.has_value()) << report.error().message;
  }
  void restart() {
    partition.reset();
    start();
  }
  template <class T, class F>
  Result<T> ask(F&& call) {
    std::promise<Result<T>> promise;
    auto future = promise.get_future();
    call([&](Result<T> result) { promise.set_value(std::move(result)); });
    if (!options.threaded) settle();
    return future.get();
  }
  void settle(bool with_image = true) {
    while (partition->step() || partition->step_committer() || partition->step_reader() ||
           (with_image && partition->step_image())) {
    }
  }
  void crash() {
    partition->vanish();
    partition.reset();
    rows.crash();
  }
  Caller caller(std::string tenant = "acme") {
    return {.tenant = std::move(tenant), .subject = "alice", .request = {}, .received_steady_ns = clock.steady_ns()};
  }
  Result<std::vector<Result<TaskSnapshot>>> create(int count, CreateTask like = {}, std::string tenant = "acme") {
    std::vector<CreateTask> asks;
    for (int i = 0; i < count; ++i) {
      auto& one = asks.emplace_back(like);
      if (one.command.empty()) one.command = "render";
      if (one.payload.empty()) one.payload = std::to_string(created++);
    }
    return ask<std::vector<Result<TaskSnapshot>>>(
        [&](auto done) { partition->create(caller(std::move(tenant)), std::move(asks), std::move(done)); });
  }
  std::vector<TaskSnapshot> claim(std::uint32_t count) {
    return *ask<std::vector<TaskSnapshot>>([&](auto done) {
      partition->claim(caller(), {.commands = {"render"}, .count = count, .lease_seconds = 30}, std::move(done));
    });
  }
  void complete(const std::vector<TaskSnapshot>& tasks) {
    std::vector<SubmitResult> items;
    for (const auto& task : tasks)
      items.push_back({.task_id = task.info->id_text,
                       .lease_token = std::nullopt,
                       .status = "COMPLETED",
                       .result_json = "{}",
                       .error = {},
                       .artifacts = {}});
    const auto done = ask<std::vector<Result<ResultSnapshot>>>(
        [&](auto reply) { partition->submit(caller(), std::move(items), std::move(reply)); });
    for (const auto& one : *done) ASSERT_TRUE(one.has_value());
  }
  std::size_t cleanup(std::int64_t before_ns, std::string tenant = "acme") {
    return *ask<std::size_t>(
        [&](auto done) { partition->cleanup(caller(std::move(tenant)), before_ns, 10'000, std::move(done)); });
  }
  std::size_t rows_in(core::Table table) {
    std::size_t count = 0;
    EXPECT_TRUE(rows.scan(table, {}, {}, [&](auto, auto) { return ++count > 0; }).has_value());
    return count;
  }
  int created = 0;
};

TEST(PartitionMemory, ADeepBacklogIsHandedOutInOrderThoughAlmostNothingOfItIsInMemory) {
  Machine m;
  m.options.ready_bytes_max = 64'000;  // a few dozen tasks
  m.start();
  constexpr int kTasks = 5000;
  for (int i = 0; i < kTasks; i += 500) ASSERT_TRUE(m.create(500).has_value());
  m.restart();
  EXPECT_EQ(m.partition->memory().tasks, 0U);
  int next = 0;
  while (true) {
    const auto tasks = m.claim(100);
    if (tasks.empty()) break;
    for (const auto& task : tasks) ASSERT_EQ(*task.payload, std::to_string(next++));
    m.complete(tasks);
    EXPECT_LT(m.partition->memory().tasks, 3000U);
  }
  EXPECT_EQ(next, kTasks);
}

TEST(PartitionMemory, OfADeepBacklogTheHeadStaysInMemoryAndNotTheTail) {
  Machine m;
  m.options.threaded = false;
  m.options.ready_bytes_max = 200'000;  // some two hundred tasks
  m.start();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(m.create(500).has_value());
    m.clock.advance_ns(kNanosPerSecond);  // a cut
    m.settle();
  }
  const auto& state = m.partition->state();
  EXPECT_NE(state.peek(state.head("acme", "render")), nullptr);
  EXPECT_EQ(state.peek(state.last_sequence()), nullptr);
  EXPECT_GT(state.tasks_in_memory(), 50U);
  EXPECT_LT(state.tasks_in_memory(), 500U);
}

TEST(PartitionMemory, DelayedTasksComeBackFromTheStoreInTheOrderOfTheirTimes) {
  Machine m;
  m.options.ready_bytes_max = 0;
  m.start();
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(m.create(1, {.payload = std::to_string(299 - i), .delay_ms = 10'000 - i}).has_value());
  m.restart();
  m.clock.advance_ns(20 * kNanosPerSecond);
  int next = 0;
  while (next < 300)
    for (const auto& task : m.claim(50)) EXPECT_EQ(*task.payload, std::to_string(next++));
}

TEST(PartitionMemory, ReturnedTasksAreStillAtTheTailAfterARestart) {
  Machine m;
  m.options.ready_bytes_max = 0;
  m.start();
  ASSERT_TRUE(m.create(3).has_value());
  const auto first = m.claim(1);
  ASSERT_TRUE(m.ask<void>([&](auto done) {
                 m.partition->abandon(m.caller(), {.task_id = first[0].info->id_text, .lease_token = {}},
                                      std::move(done));
               }).has_value());
  m.restart();
  std::string order;
  for (const auto& task : m.claim(10)) order += *task.payload;
  EXPECT_EQ(order, "120");
}

TEST(PartitionMemory, GivenBackTasksKeepTheirTurnsAcrossARestartInBetween) {
  Machine m;
  m.start();
  ASSERT_TRUE(m.create(5).has_value());
  const auto taken = m.claim(4);
  m.partition->undelivered({taken[0], taken[2]});
  m.restart();
  m.partition->undelivered({taken[1], taken[3]});
  std::string order;
  for (const auto& task : m.claim(10)) order += *task.payload;
  EXPECT_EQ(order, "01234");
}

TEST(PartitionMemory, AfterItsRetentionNothingOfATaskIsLeftInTheStore) {
  Machine m;
  m.options.threaded = false;
  m.start();
  ASSERT_TRUE(m.create(50, {.idempotency_key = ""}).has_value());
  ASSERT_TRUE(m.create(1, {.idempotency_key = "k"}).has_value());
  m.complete(m.claim(100));
  m.restart();
  EXPECT_EQ(m.rows_in(core::Table::kDone), 51U);
  m.clock.advance_ns(25 * 3600 * kNanosPerSecond);  // past the key's day too
  m.settle();
  for (const auto table : {core::Table::kQueue, core::Table::kLive, core::Table::kBody, core::Table::kDone,
                           core::Table::kKey, core::Table::kRetire, core::Table::kOutbox})
    EXPECT_EQ(m.rows_in(table), 0U) << "table " << static_cast<int>(table);
}

TEST(PartitionMemory, WhatTheLogHasRetiredIsNotRetiredAgainFromAStoreThatHasNotHeardOfIt) {
  Machine m;
  m.options.threaded = false;
  m.start();
  ASSERT_TRUE(m.create(3).has_value());
  m.complete(m.claim(3));
  ASSERT_TRUE(m.create(1).has_value());
  m.settle();
  ASSERT_TRUE(m.rows.flush().has_value());
  m.clock.advance_ns(3601 * kNanosPerSecond);
  for (int i = 0; i < 10; ++i) m.settle(false);  // they retire in the log alone
  m.crash();
  m.start();
  EXPECT_EQ(m.claim(10).size(), 1U);
  m.settle();
  EXPECT_EQ(m.rows_in(core::Table::kDone), 0U);
}

TEST(PartitionMemory, AKeyIsKnownThoughItsTaskIsNotInMemory) {
  Machine m;
  m.options.ready_bytes_max = 0;
  m.start();
  const auto first = m.create(1, {.payload = "1", .idempotency_key = "k"});
  m.restart();
  const auto again = m.create(1, {.payload = "1", .idempotency_key = "k"});
  EXPECT_EQ(again->at(0)->info->id, first->at(0)->info->id);
  EXPECT_EQ(m.create(1, {.payload = "2", .idempotency_key = "k"})->at(0).error().code, Code::kIdempotencyMismatch);
  EXPECT_TRUE(m.create(1, {.payload = "2", .idempotency_key = "other"})->at(0).has_value());
  EXPECT_NE(m.create(1, {.payload = "1", .idempotency_key = "k"}, "other")->at(0)->info->id,
            first->at(0)->info->id);
}

TEST(PartitionMemory, CleanupTakesFinishedTasksOfItsTenantAlone_Q7_G47) {
  Machine m;
  m.start();
  ASSERT_TRUE(m.create(4).has_value());
  ASSERT_TRUE(m.create(2, {}, "other").has_value());
  m.complete(m.claim(3));
  const auto far = m.clock.wall_ns() + 365LL * 24 * 3600 * kNanosPerSecond;
  EXPECT_EQ(m.cleanup(far, "other"), 0U);
  EXPECT_EQ(m.cleanup(m.clock.wall_ns()), 0U);  // their retention is not over by then
  EXPECT_EQ(m.cleanup(far), 3U);
  EXPECT_EQ(m.cleanup(far), 0U);
  EXPECT_EQ(m.claim(10).size(), 1U);  // what is waiting was not touched
}

TEST(PartitionMemory, AStoreThatStandsStillStopsCreatesAndNeverALeasesOwner) {
  Machine m;
  m.options.unsaved_bytes_max = 200'000;
  m.start();
  ASSERT_TRUE(m.create(2).has_value());
  const auto mine = m.claim(1);
  m.store.hold(true);
  Result<std::vector<Result<TaskSnapshot>>> last;
  for (int i = 0; i < 100'000 && last; ++i) last = m.create(1, {.payload = '"' + std::string(2000, 'x') + '"'});
  ASSERT_FALSE(last.has_value());
  EXPECT_EQ(last.error().code, Code::kOverloaded);
  EXPECT_LT(m.partition->memory().unsaved_bytes, 400'000U);
  EXPECT_TRUE(m.ask<void>([&](auto done) {
                 m.partition->heartbeat(m.caller(), {.task_id = mine[0].info->id_text, .lease_token = {}}, 60,
                                        std::move(done));
               }).has_value());
  m.complete(mine);
  m.store.hold(false);
  while (!m.create(1)) {
  }
}

}  // namespace
}  // namespace codeq::services
