// Cancel, pause, lists and dead letters of one partition: what is answered, also across restarts and beside retention.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <optional>
#include <set>

#include "log/memory/memory_log.h"
#include "observe/memory/memory_tracer.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"

namespace codeq::services {
namespace {

struct Hooks final : WebhookSender {
  std::vector<WebhookJob> jobs;
  std::vector<std::move_only_function<void(WebhookOutcome)>> finish;
  void send(WebhookJob job, std::move_only_function<void(WebhookOutcome)> finished) override {
    jobs.push_back(std::move(job));
    finish.push_back(std::move(finished));
  }
};

// A broker without threads on a machine that can lose its power.
struct Machine {
  std::shared_ptr<log::MemoryDisk> disk = std::make_shared<log::MemoryDisk>();
  storage::MemoryStore store;
  ManualClock clock;
  SeededRng rng{7};
  observe::MemoryTracer tracer;
  observe::Metrics metrics;
  Hooks hooks;
  std::unique_ptr<log::MemoryLog> log;
  std::unique_ptr<Partition> partition;
  PartitionOptions options = [] {
    PartitionOptions o;
    o.retention_seconds = 3600;
    o.threaded = false;
    o.webhook_attempts_max = 1;
    o.retry = {.kind = core::RetryKind::kFixed, .base_seconds = 1, .max_seconds = 900};
    return o;
  }();

  // `forgetful`: nothing stays in memory that need not.
  explicit Machine(bool forgetful) {
    if (forgetful) {
      options.cut_after_ns = 0;
      options.ready_bytes_max = 0;
      options.log_bytes_max = 4096;
    }
    start();
  }
  void start() {
    log = std::make_unique<log::MemoryLog>(disk);
    partition = std::make_unique<Partition>(
        options, Partition::Deps{.log = *log,
                                 .store = store,
                                 .clock = clock,
                                 .rng = rng,
                                 .tracer = tracer,
                                 .metrics = metrics,
                                 .webhooks = hooks,
                                 .disk_low = {},
                                 .on_failure = [](const Error& error) { ADD_FAILURE() << error.message; }});
    const auto report = partition->start();
    ASSERT_TRUE(report.has_value()) << report.error().message;
    settle();
  }
  void power_cut() {
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
    call(Done<T>([&](Result<T> result) { answer = std::move(result); }));
    settle();
    for (int i = 0; i < 3 && !answer; ++i) {  // it waits for changes to collect
      clock.advance_ns(250 * kNanosPerMilli);
      settle();
    }
    EXPECT_TRUE(answer.has_value()) << "no answer";
    return answer ? std::move(*answer) : Result<T>(fail(Code::kInternal, "no answer"));
  }
  Caller caller(std::string subject = "alice", std::string tenant = "acme") {
    return {.tenant = std::move(tenant),
            .subject = std::move(subject),
            .request = {},
            .received_steady_ns = clock.steady_ns()};
  }
  TaskSnapshot create(CreateTask like = {}, const std::string& tenant = "acme") {
    if (like.command.empty()) like.command = "RENDER";
    if (like.payload.empty()) like.payload = "{}";
    std::vector<CreateTask> asks;
    asks.push_back(std::move(like));
    auto made = ask<std::vector<Result<TaskSnapshot>>>(
        [&](auto done) { partition->create(caller("producer", tenant), std::move(asks), std::move(done)); });
    return *made->front();
  }
  std::vector<TaskSnapshot> claim(std::uint32_t count = 1, const std::string& command = "RENDER",
                                  const std::string& tenant = "acme") {
    return *ask<std::vector<TaskSnapshot>>([&](auto done) {
      partition->claim(caller("alice", tenant), {.commands = {command}, .count = count}, std::move(done));
    });
  }
  void nack(const TaskSnapshot& task, const std::string& reason = "broken", const std::string& tenant = "acme") {
    const auto outcome = ask<NackOutcome>([&](auto done) {
      partition->nack(caller("alice", tenant), {.task_id = task.info->id_text, .lease_token = {}}, 0, reason,
                      std::move(done));
    });
    EXPECT_TRUE(outcome && outcome->dead);
  }
  // So many dead tasks, in the order of their deaths.
  std::vector<std::string> kill(int count, const std::string& command = "RENDER", const std::string& reason = "broken",
                                const std::string& tenant = "acme", const std::string& webhook = "") {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      create({.command = command, .webhook = webhook, .max_attempts = 1}, tenant);
      const auto task = claim(1, command, tenant).at(0);
      nack(task, reason, tenant);
      ids.push_back(task.info->id_text);
      pass(1);
    }
    return ids;
  }
  Result<TaskSnapshot> cancel(const std::string& id, const std::string& reason = "",
                              const std::string& tenant = "acme") {
    return ask<TaskSnapshot>(
        [&](auto done) { partition->cancel(caller("producer", tenant), id, reason, std::move(done)); });
  }
  Result<TaskSnapshot> get(const std::string& id, const std::string& tenant = "acme") {
    return ask<TaskSnapshot>([&](auto done) { partition->get_task(caller("x", tenant), id, std::move(done)); });
  }
  TaskPage list(TaskFilter filter = {}, const std::string& tenant = "acme") {
    auto page = ask<TaskPage>([&](auto done) { partition->list_tasks(caller("x", tenant), filter, std::move(done)); });
    EXPECT_TRUE(page.has_value());
    return page ? *page : TaskPage{};
  }
  // All pages of it, as sequences.
  std::vector<std::uint64_t> list_all(TaskFilter filter = {}, const std::string& tenant = "acme") {
    std::vector<std::uint64_t> found;
    do {
      const auto page = list(filter, tenant);
      EXPECT_LE(page.tasks.size(), filter.limit);
      for (const auto& task : page.tasks) found.push_back(task.info->id.sequence);
      filter.below = page.next;
    } while (filter.below != 0);
    return found;
  }
  std::vector<std::string> dead(DeadLetterFilter filter = {}, const std::string& tenant = "acme") {
    std::vector<std::string> found;
    std::string from;
    do {
      const auto page = ask<DeadLetterPage>(
          [&](auto done) { partition->list_dead_letters(caller("x", tenant), filter, from, std::move(done)); });
      EXPECT_TRUE(page.has_value());
      for (const auto& letter : page->letters) found.push_back(letter.task.info->id_text);
      from = page->next;
    } while (!from.empty());
    return found;
  }
  DeadLetterOutcome redrive(DeadLetterFilter filter = {}, bool dry_run = false, std::int64_t rate = 0,
                            const std::string& tenant = "acme") {
    return *ask<DeadLetterOutcome>(
        [&](auto done) { partition->redrive(caller("x", tenant), filter, dry_run, rate, std::move(done)); });
  }
  // The same, not waited for.
  void start_redrive(std::int64_t rate, std::optional<DeadLetterOutcome>& outcome) {
    partition->redrive(caller("x"), {.limit = 10'000}, false, rate,
                       [&outcome](Result<DeadLetterOutcome> result) { outcome = *result; });
  }
  // So many that are dead, as quickly as a test can make them.
  void kill_at_once(int count) {
    for (int i = 0; i < count; ++i) create({.max_attempts = 1});
    for (auto tasks = claim(100); !tasks.empty(); tasks = claim(100))
      for (const auto& task : tasks) nack(task);
  }
  DeadLetterOutcome purge(DeadLetterFilter filter = {}, bool dry_run = false) {
    return *ask<DeadLetterOutcome>([&](auto done) { partition->purge(caller(), filter, dry_run, std::move(done)); });
  }
  QueueStats pause(const std::string& command, bool paused) {
    return *ask<QueueStats>([&](auto done) { partition->pause(caller(), command, paused, std::move(done)); });
  }
  QueueStats stats(const std::string& command, const std::string& tenant = "acme") {
    return *ask<QueueStats>([&](auto done) { partition->queue_stats(caller("x", tenant), command, std::move(done)); });
  }
};

class PartitionAdmin : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Memory, PartitionAdmin, testing::Bool(),
                         [](const auto& run) { return std::string(run.param ? "Forgetful" : "Usual"); });

TEST_P(PartitionAdmin, ACancelledTaskIsFailedAndItsWebhookSaysSo) {
  Machine m(GetParam());
  const auto task = m.create({.webhook = "http://example.com/x"});
  const auto outcome = m.cancel(task.info->id_text, "not needed");
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->status, core::Status::kFailed);
  EXPECT_EQ(outcome->error, "CANCELLED: not needed");
  ASSERT_EQ(m.hooks.jobs.size(), 1U);
  EXPECT_NE(m.hooks.jobs[0].body.find(R"("status":"FAILED")"), std::string::npos);
  EXPECT_TRUE(m.claim().empty());
  EXPECT_EQ(m.cancel(task.info->id_text).error().code, Code::kNotInProgress);
  EXPECT_EQ(m.cancel(m.create().info->id_text, "", "other").error().code, Code::kNotFound);
  EXPECT_EQ(m.cancel("no id").error().code, Code::kNotFound);
}

TEST_P(PartitionAdmin, ACancelAnswersWhoWaitsForTheResult) {
  Machine m(GetParam());
  const auto task = m.create();
  std::optional<Result<TaskAndResult>> waited;
  m.partition->get_result(m.caller(), task.info->id_text, 60'000, [&](auto result) { waited = std::move(result); });
  m.settle();
  ASSERT_FALSE(waited.has_value());
  ASSERT_TRUE(m.cancel(task.info->id_text).has_value());
  ASSERT_TRUE(waited.has_value());
  EXPECT_EQ((*waited)->result.result->error, "CANCELLED");
}

TEST_P(PartitionAdmin, ACancelledLeaseIsLostToItsHolderAlsoAfterAPowerCut) {
  Machine m(GetParam());
  m.create();
  m.create();
  const auto task = m.claim().at(0);
  ASSERT_TRUE(m.cancel(task.info->id_text).has_value());
  m.power_cut();
  const auto beat = m.ask<void>([&](auto done) {
    m.partition->heartbeat(m.caller(), {.task_id = task.info->id_text, .lease_token = {}}, 60, std::move(done));
  });
  ASSERT_FALSE(beat.has_value());
  EXPECT_EQ(beat.error().code, Code::kLeaseLost);
  m.pass(600);  // past the lease that there was
  EXPECT_EQ(m.get(task.info->id_text)->status, core::Status::kFailed);
  EXPECT_EQ(m.claim(5).size(), 1U) << "only the other one is left";
}

TEST_P(PartitionAdmin, ACancelledDelayedTaskStaysQuietAlsoAfterAPowerCut) {
  Machine m(GetParam());
  const auto task = m.create({.delay_ms = 60'000});
  m.create({.delay_ms = 61'000});
  ASSERT_TRUE(m.cancel(task.info->id_text).has_value());
  m.power_cut();
  m.pass(3600);
  EXPECT_EQ(m.claim(5).size(), 1U);
}

TEST_P(PartitionAdmin, ClaimsFindAPausedQueueEmptyAndAResumeServesWhoWaits) {
  Machine m(GetParam());
  m.create();
  EXPECT_TRUE(m.pause("render", true).paused);
  EXPECT_TRUE(m.claim().empty());
  m.power_cut();
  EXPECT_TRUE(m.claim().empty()) << "a pause survives";
  EXPECT_TRUE(m.stats("RENDER").paused);
  std::optional<Result<std::vector<TaskSnapshot>>> waited;
  m.partition->claim(m.caller(), {.commands = {"RENDER"}, .wait_ms = 60'000},
                     [&](auto tasks) { waited = std::move(tasks); });
  m.create();
  m.settle();
  ASSERT_FALSE(waited.has_value());
  EXPECT_FALSE(m.pause("Render", false).paused);
  ASSERT_TRUE(waited.has_value());
  EXPECT_EQ((*waited)->size(), 1U);
  EXPECT_EQ(m.claim(5).size(), 1U);
  m.power_cut();
  EXPECT_FALSE(m.stats("RENDER").paused);
}

TEST_P(PartitionAdmin, APauseIsOfOneTenant) {
  Machine m(GetParam());
  m.create({}, "other");
  m.pause("RENDER", true);
  EXPECT_FALSE(m.stats("RENDER", "other").paused);
  EXPECT_EQ(m.claim(1, "RENDER", "other").size(), 1U);
}

TEST_P(PartitionAdmin, QueuesAreThoseOfTheTenant_Q7_G47) {
  Machine m(GetParam());
  m.create({.priority = 3});
  m.create({.command = "Other", .delay_ms = 1000});
  m.create({}, "other");
  const auto queues =
      *m.ask<std::vector<TenantQueue>>([&](auto done) { m.partition->queues(m.caller(), std::move(done)); });
  ASSERT_EQ(queues.size(), 2U);
  for (const auto& queue : queues) {
    if (queue.command == "render") {
      EXPECT_EQ(queue.ready[3], 1U);
      EXPECT_EQ(queue.counts.ready, 1U);
    } else {
      EXPECT_EQ(queue.command, "other");
      EXPECT_EQ(queue.counts.delayed, 1U);
    }
  }
}

TEST_P(PartitionAdmin, AListIsNewestFirstInPagesAndOfTheTenant) {
  Machine m(GetParam());
  for (int i = 0; i < 7; ++i) {
    m.create();
    m.create({}, "other");
  }
  EXPECT_EQ(m.list_all({.limit = 3}), (std::vector<std::uint64_t>{13, 11, 9, 7, 5, 3, 1}));
  EXPECT_EQ(m.list_all({.limit = 200}, "other").size(), 7U);
  EXPECT_TRUE(m.list_all({}, "nobody").empty());
  EXPECT_EQ(m.list({.limit = 1}).tasks.front().payload, nullptr);
  m.power_cut();
  EXPECT_EQ(m.list_all().size(), 7U);
}

TEST_P(PartitionAdmin, AListShowsEveryChangeThatWasAnsweredBefore) {
  Machine m(GetParam());
  const auto task = m.create();
  EXPECT_EQ(m.list({.state = TaskState::kReady}).tasks.size(), 1U);
  m.claim();
  EXPECT_TRUE(m.list({.state = TaskState::kReady}).tasks.empty());
  EXPECT_EQ(m.list({.state = TaskState::kLeased, .worker = "alice"}).tasks.size(), 1U);
  EXPECT_TRUE(m.list({.worker = "bob"}).tasks.empty());
  EXPECT_TRUE(m.cancel(task.info->id_text).has_value());
  EXPECT_EQ(m.list({.state = TaskState::kFailed, .worker = "alice"}).tasks.size(), 1U) << "the last one who had it";
}

TEST_P(PartitionAdmin, EveryFilterOfAListHolds) {
  Machine m(GetParam());
  m.kill(1);
  m.create({.command = "Other", .delay_ms = 1'000'000});
  m.create({.command = "OTHER"});
  const auto sequences = [&](TaskFilter filter) { return m.list_all(std::move(filter)); };
  EXPECT_EQ(sequences({.command = "oTHER"}), (std::vector<std::uint64_t>{3, 2}));
  EXPECT_EQ(sequences({.state = TaskState::kDelayed}), (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(sequences({.state = TaskState::kDead}), (std::vector<std::uint64_t>{1}));
  EXPECT_TRUE(sequences({.state = TaskState::kFailed}).empty()) << "the dead are not the failed";
  EXPECT_TRUE(sequences({.state = TaskState::kCompleted}).empty());
  const auto all = m.list({.limit = 10}).tasks;
  EXPECT_EQ(sequences({.trace_id = all[1].info->timeline_trace_id}), (std::vector<std::uint64_t>{2}));
}

TEST_P(PartitionAdmin, TimesOfCreationBoundAListExactly) {
  Machine m(GetParam());
  std::vector<std::int64_t> created;
  for (int i = 0; i < 40; ++i) {
    created.push_back(m.create().info->created_ns);
    m.pass(1);
  }
  for (const std::size_t from : {0U, 1U, 20U, 39U}) {
    for (const std::size_t until : {0U, 1U, 21U, 39U}) {
      std::vector<std::uint64_t> expected;
      for (auto i = until; i-- > from;) expected.push_back(i + 1);
      EXPECT_EQ(m.list_all({.created_after_ns = created[from], .created_before_ns = created[until], .limit = 6}),
                expected)
          << from << " until " << until;
    }
  }
}

TEST_P(PartitionAdmin, AListPassesOverWhatIsLongGone) {
  Machine m(GetParam());
  const auto first = m.create().info->id.sequence;
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(m.cancel(m.create().info->id_text).has_value());
  m.pass(2 * 3600);
  m.pass(10);
  const auto last = m.create().info->id.sequence;
  EXPECT_EQ(m.list_all({.limit = 1}), (std::vector{last, first}));
}

TEST_P(PartitionAdmin, DeadLettersAreListedInTheOrderOfTheirDeaths) {
  Machine m(GetParam());
  const auto broken = m.kill(3);
  m.kill(1, "RENDER", "broken", "other");
  const auto late = m.kill(2, "Other", "timeout: 5 s");
  m.create();
  auto all = broken;
  all.insert(all.end(), late.begin(), late.end());
  EXPECT_EQ(m.dead({.limit = 2}), all);
  EXPECT_EQ(m.dead({.command = "OTHER"}), late);
  EXPECT_EQ(m.dead({.reason_prefix = "timeout"}), late);
  EXPECT_TRUE(m.dead({.reason_prefix = "imeout"}).empty());
  const auto page =
      m.ask<DeadLetterPage>([&](auto done) { m.partition->list_dead_letters(m.caller(), {}, "", std::move(done)); });
  const auto middle_ns = page->letters.at(2).died_ns;
  EXPECT_EQ(m.dead({.before_ns = middle_ns}), std::vector(all.begin(), all.begin() + 2));
  EXPECT_EQ(m.dead({.after_ns = middle_ns}), std::vector(all.begin() + 2, all.end()));
}

TEST_P(PartitionAdmin, ARedriveGivesTheDeadTheirAttemptsBack) {
  Machine m(GetParam());
  const auto ids = m.kill(3);
  const auto theirs = m.kill(1, "RENDER", "broken", "other");
  auto outcome = m.redrive({}, true);
  EXPECT_EQ(outcome.matched, 3U);
  EXPECT_EQ(outcome.changed, 0U);
  EXPECT_TRUE(m.claim().empty()) << "a dry run changes nothing";
  outcome = m.redrive({.limit = 2});
  EXPECT_EQ(outcome.changed, 2U);
  EXPECT_TRUE(outcome.more);
  m.power_cut();
  EXPECT_EQ(m.get(ids[0])->status, core::Status::kPending);
  EXPECT_EQ(m.get(ids[2])->status, core::Status::kFailed);
  EXPECT_EQ(m.get(theirs[0], "other")->status, core::Status::kFailed);
  const auto tasks = m.claim(5);
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].attempts, 1U);
  EXPECT_EQ(tasks[0].info->id_text, ids[0]);
  EXPECT_EQ(m.stats("RENDER").dead, 1U);
}

TEST_P(PartitionAdmin, ARedriveByIdTakesThoseOfTheTenantThatAreDead) {
  Machine m(GetParam());
  const auto ids = m.kill(3);
  const auto theirs = m.kill(1, "RENDER", "broken", "other");
  const auto waiting = m.create().info->id_text;
  auto guessed = ids[1];
  guessed.back() = guessed.back() == '0' ? '1' : '0';
  const auto outcome = m.redrive({.ids = {ids[2], theirs[0], waiting, guessed, "no id", ids[0], ids[2]}});
  EXPECT_EQ(outcome.matched, 2U);
  EXPECT_EQ(outcome.changed, 2U);
  EXPECT_EQ(m.dead(), (std::vector{ids[1]}));
}

// Both name the same rows: taken twice, a task would be counted out of its queue twice.
TEST_P(PartitionAdmin, AnIdAndGuessesAtItPurgeTheTaskOnce) {
  for (const int others : {0, 2}) {
    Machine m(GetParam());
    const auto ids = m.kill(1 + others);
    std::vector<std::string> asked;
    for (const char last : {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'}) {
      asked.push_back(ids[0]);
      asked.back().back() = last;
    }
    const auto outcome = m.purge({.ids = asked});
    EXPECT_EQ(outcome.matched, 1U);
    EXPECT_EQ(outcome.changed, 1U);
    EXPECT_EQ(m.stats("RENDER").dead, static_cast<std::uint64_t>(others));
    m.power_cut();
    EXPECT_EQ(m.stats("RENDER").dead, static_cast<std::uint64_t>(others));
    m.pass(2 * 24 * 3600);  // their retention
    std::size_t queues = 0;
    m.partition->state().each_queue([&](const core::Queue&) { ++queues; });
    EXPECT_EQ(queues, 0U);
  }
}

TEST_P(PartitionAdmin, ARedriveIsSpreadOverTimeByItsRate) {
  Machine m(GetParam());
  m.kill(10);
  EXPECT_EQ(m.redrive({}, false, 2).changed, 10U);
  EXPECT_EQ(m.stats("RENDER").ready, 1U);
  EXPECT_EQ(m.stats("RENDER").delayed, 9U);
  m.power_cut();
  std::size_t seen = m.claim(20).size();
  for (int second = 1; second <= 5; ++second) {
    m.pass(1);
    const auto now = m.claim(20).size();
    EXPECT_LE(now, 2U) << "second " << second;
    seen += now;
  }
  EXPECT_EQ(seen, 10U);
}

TEST_P(PartitionAdmin, TheOldRetentionDoesNotReachARedrivenTask) {
  Machine m(GetParam());
  const auto ids = m.kill(3);
  m.pass(3500);
  ASSERT_EQ(m.redrive({.ids = {ids[0], ids[1]}}).changed, 2U);
  m.pass(1800);  // past what was the end of all three
  EXPECT_FALSE(m.get(ids[2]).has_value());
  m.power_cut();
  const auto tasks = m.claim(5);
  ASSERT_EQ(tasks.size(), 2U);
  m.nack(tasks[0]);
  m.pass(3500);
  EXPECT_TRUE(m.get(ids[0]).has_value()) << "it died anew, and is kept anew";
  m.pass(200);
  EXPECT_FALSE(m.get(ids[0]).has_value());
}

TEST_P(PartitionAdmin, ARedriveForgetsTheWebhookOfTheDeath) {
  Machine m(GetParam());
  const auto ids = m.kill(1, "RENDER", "broken", "acme", "http://example.com/x");
  ASSERT_EQ(m.hooks.jobs.size(), 1U);  // and nobody has answered it yet
  ASSERT_EQ(m.redrive().changed, 1U);
  m.hooks.finish[0]({.http_status = 500, .error = ""});
  m.settle();
  const auto task = m.claim().at(0);
  m.nack(task);
  ASSERT_EQ(m.hooks.jobs.size(), 2U) << "the second death is told";
  m.hooks.finish[1]({.http_status = 200, .error = ""});
  m.settle();
  const auto left = m.ask<std::vector<DeliverySnapshot>>(
      [&](auto done) { m.partition->list_deliveries(m.caller(), 0, 10, std::move(done)); });
  EXPECT_TRUE(left->empty());
}

TEST_P(PartitionAdmin, APurgeTakesAllOfWhatItMeansAndNothingElse) {
  Machine m(GetParam());
  const auto ids = m.kill(3);
  const auto other = m.kill(1, "RENDER", "timeout");
  const auto theirs = m.kill(1, "RENDER", "broken", "other");
  EXPECT_EQ(m.purge({.reason_prefix = "broken"}, true).matched, 3U);
  EXPECT_EQ(m.dead().size(), 4U);
  EXPECT_EQ(m.purge({.reason_prefix = "broken"}).changed, 3U);
  EXPECT_EQ(m.dead(), other);
  m.power_cut();
  for (const auto& id : ids) EXPECT_FALSE(m.get(id).has_value());
  EXPECT_TRUE(m.get(theirs[0], "other").has_value());
  EXPECT_EQ(m.stats("RENDER").dead, 1U);
  m.pass(2 * 3600);  // retention finds nothing of them left to do
  EXPECT_EQ(m.stats("RENDER").dead, 0U);
}

TEST_P(PartitionAdmin, ManyDeadLettersAreRedrivenInOneCall) {
  Machine m(GetParam());
  for (int i = 0; i < 600; ++i) m.create({.max_attempts = 1});
  while (true) {
    const auto tasks = m.claim(100);
    if (tasks.empty()) break;
    for (const auto& task : tasks) m.nack(task);
  }
  const auto outcome = m.redrive({.reason_prefix = "bro", .limit = 1000});
  EXPECT_EQ(outcome.changed, 600U);
  EXPECT_FALSE(outcome.more);
  std::size_t claimed = 0;
  for (std::size_t got = 1; got > 0; claimed += got) got = m.claim(100).size();
  EXPECT_EQ(claimed, 600U);
}

// Counts what the reader is asked for until nothing moves any more; `seen` is called after every step.
template <class F>
std::size_t reads_until_quiet(Machine& m, F&& seen) {
  std::size_t reads = 0;
  const auto move = [&] {
    if (m.partition->step() || m.partition->step_committer()) return true;
    if (m.partition->step_reader()) return ++reads > 0;
    return m.partition->step_image();
  };
  for (int waits = 0; waits < 4; ++waits) {
    while (move()) seen();
    m.clock.advance_ns(250 * kNanosPerMilli);
  }
  return reads;
}

TEST_P(PartitionAdmin, LargeDeadLettersAreReadAndRedrivenAFewAtATime) {
  Machine m(GetParam());
  constexpr std::size_t kLarge = std::size_t{512} << 10, kTasks = 40;
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < kTasks; ++i) {
    const auto payload = i % 4 == 0 ? std::string("1") : '"' + std::string(kLarge, 'x') + '"';
    m.create({.command = "RENDER", .payload = payload, .max_attempts = 1});
    ids.push_back(m.claim().at(0).info->id_text);
    m.nack(m.get(ids.back()).value());
  }
  m.options.unsaved_bytes_max = 16 * kLarge;
  m.power_cut();
  const auto nothing = [] {};
  std::vector<std::string> listed;
  m.partition->list_dead_letters(m.caller(), {.limit = 100}, "", [&](auto page) {
    for (const auto& letter : page->letters) listed.push_back(letter.task.info->id_text);
  });
  EXPECT_GE(reads_until_quiet(m, nothing), 4U) << "others are served between";
  EXPECT_EQ(listed, ids);

  std::optional<DeadLetterOutcome> dry, all;
  m.partition->redrive(m.caller(), {.ids = ids, .limit = 100}, true, 0, [&](auto outcome) { dry = *outcome; });
  EXPECT_GE(reads_until_quiet(m, nothing), 4U);
  ASSERT_TRUE(dry.has_value());
  EXPECT_EQ(dry->matched, kTasks);

  std::size_t peak = 0;
  m.partition->redrive(m.caller(), {.reason_prefix = "bro", .limit = 100}, false, 0,
                       [&](auto outcome) { all = *outcome; });
  reads_until_quiet(m, [&] { peak = std::max(peak, m.partition->memory().unsaved_bytes); });
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->changed, kTasks);
  EXPECT_FALSE(all->more);
  EXPECT_LE(peak, m.options.unsaved_bytes_max) << "creates would be refused";
  std::size_t claimed = 0;
  for (std::size_t got = 1; got > 0; claimed += got) got = m.claim(100).size();
  EXPECT_EQ(claimed, kTasks);
}

TEST_P(PartitionAdmin, APurgeOfManyWhoseWebhookIsUnderWayNeedsAFewOfThemAtOnce) {
  Machine m(GetParam());
  m.kill(40, "RENDER", "broken", "acme", "http://example.com/x");
  std::optional<DeadLetterOutcome> purged;
  m.partition->purge(m.caller(), {.limit = 100}, false, [&](auto outcome) { purged = *outcome; });
  const auto reads = reads_until_quiet(m, [] {});
  ASSERT_TRUE(purged.has_value());
  EXPECT_EQ(purged->matched, 40U);
  EXPECT_EQ(purged->changed, 0U) << "their deliveries come first";
  if (GetParam()) EXPECT_GE(reads, 4U);
}

// Batches of one, two, four and so on: what all of them leave to be written is more than half of what may be unwritten.
struct SlowStore : testing::Test {
  static constexpr std::size_t kDead = 200;
  Machine m{true};
  std::optional<DeadLetterOutcome> outcome;
  bool written = true, read = true;  // whether the store's threads get on

  SlowStore() {
    m.kill_at_once(kDead);
    m.partition.reset();
    m.options.unsaved_bytes_max = 200'000;
    m.start();
  }
  void turns() {
    while (m.partition->step() || m.partition->step_committer() || (read && m.partition->step_reader()) ||
           (written && m.partition->step_image())) {}
  }
  // One turn of everything, until `happened`.
  template <class F>
  bool turn_until(F&& happened) {
    for (int i = 0; i < 100'000 && !happened(); ++i) {
      m.partition->step(), m.partition->step_committer();
      if (read && !happened()) m.partition->step_reader();
      if (written && !happened()) m.partition->step_image();
    }
    return happened();
  }
  [[nodiscard]] std::size_t dead() const {
    std::size_t count = 0;
    m.partition->state().each_queue([&](const core::Queue& queue) { count += queue.dead; });
    return count;
  }
};

TEST_F(SlowStore, ARedriveWaitsForTheStoreAndGoesOn) {
  m.start_redrive(0, outcome);
  ASSERT_TRUE(turn_until([&] { return dead() < kDead; }));
  written = false;
  turns();
  EXPECT_GT(dead(), kDead / 4) << "the store is behind";
  EXPECT_FALSE(outcome.has_value());
  written = true;
  turns();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->changed, kDead);
  EXPECT_EQ(dead(), 0U);
}

TEST_F(SlowStore, ARedriveComesToItsEndBesideWhoFillsTheRoomAsFastAsItIsMade) {
  m.start_redrive(0, outcome);
  ASSERT_TRUE(turn_until([&] { return dead() < kDead; }));
  for (int i = 0; i < 200 && !outcome; ++i) {
    std::vector<CreateTask> asks(1);
    asks[0].command = "other";
    asks[0].payload = '"' + std::string(150'000, 'x') + '"';
    m.partition->create(m.caller(), std::move(asks), [](const auto&) {});
    m.partition->step(), m.partition->step_committer(), m.partition->step_reader(), m.partition->step_image();
  }
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->changed, kDead);
}

TEST_F(SlowStore, WhatHasBeenReadForARedriveIsTakenThoughTheStoreFellBehindMeanwhile) {
  m.partition.reset();
  m.options.unsaved_bytes_max = 400'000;  // a batch alone is no reason to wait
  m.start();
  m.start_redrive(0, outcome);
  ASSERT_TRUE(turn_until([&] { return dead() < kDead; }));
  read = false;
  turns();
  const auto before = dead();
  ASSERT_GT(before, kDead / 2) << "the next ones have to be read";
  written = false;
  std::vector<CreateTask> asks(1);
  asks[0].command = "other";
  asks[0].payload = '"' + std::string(250'000, 'x') + '"';
  m.partition->create(m.caller(), std::move(asks), [](const auto&) {});
  turns();
  read = true;
  turns();
  EXPECT_LT(dead(), before) << "they would leave again while it waits";
  EXPECT_GT(dead(), kDead / 2) << "and those behind them wait";
  EXPECT_FALSE(outcome.has_value());
  written = true;
  turns();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->changed, kDead);
}

TEST_F(SlowStore, TimeThatARedriveHasLostIsNotMadeUpForByABurst) {
  m.start_redrive(64, outcome);
  ASSERT_TRUE(turn_until([&] { return dead() < kDead; }));
  read = false;
  m.clock.advance_ns(60 * kNanosPerSecond);
  turns();
  const auto in_time = kDead - dead();
  ASSERT_LT(in_time, kDead / 2) << "the next ones have to be read";
  read = true;
  turns();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->changed, kDead);
  EXPECT_LE(m.stats("RENDER").ready, in_time + 1U) << "those that were in time, and the next one";
  m.pass(1);
  EXPECT_LE(m.stats("RENDER").ready, in_time + 65U);
  EXPECT_GE(m.stats("RENDER").ready, in_time + 60U);
  m.pass(3);
  EXPECT_EQ(m.stats("RENDER").ready, kDead);
}

TEST_P(PartitionAdmin, ABatchOfARedriveBeginsWhereTheOneBeforeEnded) {
  Machine m(GetParam());
  m.kill_at_once(150);
  std::optional<DeadLetterOutcome> outcome;
  m.start_redrive(50, outcome);
  m.settle();
  for (std::size_t second = 1; second <= 3; ++second) {
    EXPECT_LE(m.stats("RENDER").ready, 50 * (second - 1) + 25) << second;  // `stats` may take up to half a second
    m.pass(1);
  }
  m.pass(1);
  EXPECT_EQ(m.stats("RENDER").ready, 150U);
}

TEST_P(PartitionAdmin, RetentionGetsItsTurnWhateverElseIsAskedFor) {
  Machine m(GetParam());
  m.kill(1);
  ASSERT_TRUE(m.cancel(m.create().info->id_text).has_value());
  m.pass(1);
  const auto finished = [&] {
    std::size_t count = 0;
    EXPECT_TRUE(m.store.scan(core::Table::kRetire, {}, {}, [&](auto, auto) { return ++count > 0; }).has_value());
    return count;
  };
  // There is always one that waits behind the one at work.
  std::size_t passes = 0;
  bool asking = true;
  const std::function<void()> ask = [&] {
    m.partition->purge(m.caller(), {}, true, [&](const Result<DeadLetterOutcome>&) {
      ++passes;
      if (asking) ask();
    });
  };
  const auto run = [&](std::size_t until) {
    for (int turn = 0; turn < 10'000 && passes < until; ++turn)
      m.partition->step(), m.partition->step_committer(), m.partition->step_reader(), m.partition->step_image();
    return passes >= until;
  };
  ask();
  ask();
  ASSERT_TRUE(run(5));
  ASSERT_EQ(finished(), 2U);
  m.clock.advance_ns(2 * 3600 * kNanosPerSecond);
  ASSERT_TRUE(run(15));
  EXPECT_EQ(finished(), 0U);
  asking = false;
  m.settle();
}

TEST_P(PartitionAdmin, APageOfLargeBodiesGoesOnByOneTaskAtLeast) {
  Machine m(GetParam());
  std::vector<std::uint64_t> made;
  for (int i = 0; i < 10; ++i) {
    auto task = m.create({.payload = '"' + std::string(std::size_t{8} << 20U, 'x') + '"'});
    made.insert(made.begin(), task.info->id.sequence);
  }
  m.pass(1);
  std::vector<std::uint64_t> found;
  TaskFilter filter{.limit = 100};
  int pages = 0;
  do {
    const auto page = m.list(filter);
    for (const auto& task : page.tasks) found.push_back(task.info->id.sequence);
    filter.below = page.next;
  } while (filter.below != 0 && ++pages < 20);
  EXPECT_EQ(filter.below, 0U) << "it does not come to an end";
  EXPECT_EQ(found, made);
  EXPECT_GT(pages, 1) << "a page has a bound in bytes";
}

TEST_P(PartitionAdmin, CancelAndRedriveHaveTheirSpansInTheTasksTrace) {
  Machine m(GetParam());
  const auto dead = m.kill(1)[0];
  m.redrive();
  ASSERT_TRUE(m.cancel(dead).has_value());
  const auto timeline =
      m.ask<TimelineSnapshot>([&](auto done) { m.partition->get_timeline(m.caller(), dead, std::move(done)); });
  std::vector<core::EventKind> kinds;
  for (const auto& event : timeline->events) kinds.push_back(event.kind);
  using enum core::EventKind;
  EXPECT_EQ(kinds, (std::vector{kCreate, kQueued, kClaim, kRun, kNack, kDeadLetter, kRedrive, kQueued, kCancel}));
  std::set<std::string> names;
  for (const auto& span : m.tracer.spans()) names.insert(span.name);
  EXPECT_TRUE(names.contains("codeq.task.cancel") && names.contains("codeq.task.redrive"));
}

}  // namespace
}  // namespace codeq::services
