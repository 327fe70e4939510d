#include "core/state.h"

#include <cstdlib>

#include "core/test_world.h"

namespace codeq::core {
namespace {

TEST(State, PrioritiesGoFirstAndEachIsFirstInFirstOut) {
  World w;
  for (const int priority : {0, 9, 5, 9}) ASSERT_TRUE(w.create({.priority = priority}));
  std::vector<std::uint64_t> order;
  for (int i = 0; i < 4; ++i) order.push_back(must(w.claim(kAlice)).info->id.sequence);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 4, 3, 1}));
}

TEST(State, ALeaseIsOverAtItsEndInstantAndTheNextWorkerHasIt) {
  World w;
  must(w.create({}));
  const auto& task = must(w.claim(kAlice, 30));
  w.now += 30 * kSecond;
  EXPECT_EQ(code_of(w.submit(kAlice, task)), Code::kLeaseLost);
  must(w.expire(task));
  EXPECT_EQ(task.place, Place::kDelayed);
  EXPECT_EQ(task.cause, WaitCause::kLeaseExpired);
  EXPECT_EQ(code_of(w.submit(kAlice, task)), Code::kLeaseLost);
  EXPECT_EQ(code_of(w.submit(kBob, task)), Code::kNotInProgress);
}

TEST(State, OnlyTheHolderOfTheLeaseMayUseItAndATokenFences) {
  World w;
  must(w.create({}));
  const auto& task = must(w.claim(kAlice));
  EXPECT_EQ(code_of(w.submit(kBob, task)), Code::kNotOwner);
  EXPECT_EQ(code_of(w.submit("", task)), Code::kNotOwner);
  EXPECT_EQ(code_of(w.submit(kAlice, task, task.lease_token + 1)), Code::kLeaseLost);
  must(w.submit(kAlice, task, task.lease_token));
  EXPECT_EQ(code_of(w.submit(kAlice, task)), Code::kLeaseLost);
}

TEST(State, ForeignTenantsDoNotSeeATask) {
  World w;
  const auto& task = must(w.create({}));
  EXPECT_NE(w.state.find(task.info->id, kTenant, w.now), nullptr);
  EXPECT_EQ(w.state.find(task.info->id, "other", w.now), nullptr);
  auto guessed = task.info->id;
  guessed.random ^= 1;
  EXPECT_EQ(w.state.find(guessed, kTenant, w.now), nullptr);
}

TEST(State, AHeartbeatNeverShortensALease_Q28) {
  World w;
  must(w.create({}));
  const auto& task = must(w.claim(kAlice, 300));
  const auto until = task.lease_until_ns;
  must(w.state.apply(HeartbeatRecord{.time_ns = w.now, .owner = w.by(kAlice, task), .extend_ns = kSecond}));
  EXPECT_EQ(task.lease_until_ns, until);
  w.now += 200 * kSecond;
  must(w.state.apply(HeartbeatRecord{.time_ns = w.now, .owner = w.by(kAlice, task), .extend_ns = 300 * kSecond}));
  EXPECT_EQ(task.lease_until_ns, w.now + 300 * kSecond);
}

TEST(State, EachDeliveryIsOneAttemptAndTheLastOneEndsInTheDeadLetterQueue_Q9_G30) {
  World w;
  must(w.create({.max_attempts = 3}));
  for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
    const auto& task = must(w.claim(kAlice));
    EXPECT_EQ(task.attempts, attempt);
    const auto effects = w.nack(kAlice, task, 1);
    if (attempt < 3) {
      EXPECT_EQ(effects->delay_seconds, 1);
      w.now += kSecond;
      must(w.state.apply(PromoteRecord{.time_ns = w.now, .sequence = 1, .span = span(++w.draws)}));
    } else {
      EXPECT_TRUE(effects->finished);
      EXPECT_EQ(effects->task->result->error, "broken");
      EXPECT_EQ(effects->task->place, Place::kDead);
    }
  }
}

TEST(State, TheReferencesCountingCanBeSwitchedOn_G30) {
  World w;
  must(w.create({.max_attempts = 3}));
  for (int delivery = 1; delivery <= 2; ++delivery) {
    const auto& task = must(w.claim(kAlice));
    auto rules = w.rules();
    rules.count_twice = true;
    const auto done = w.state.apply(
        NackRecord{.time_ns = w.now, .owner = w.by(kAlice, task), .delay_seconds = 1, .reason = "", .rules = rules});
    ASSERT_TRUE(done);
    EXPECT_EQ(done->finished, delivery == 2);  // ceil(3 / 2) deliveries
    if (delivery == 2) EXPECT_EQ(done->task->result->error, "MAX_ATTEMPTS");
    w.now += kSecond;
    if (delivery == 1) must(w.state.apply(PromoteRecord{.time_ns = w.now, .sequence = 1, .span = span(++w.draws)}));
  }
}

TEST(State, AnIdempotencyKeyBelongsToATenantAndToItsContent_Q2_G7) {
  World w;
  const auto& first = must(w.create({.idempotency_key = "k", .content_hash = 1}));
  const auto again = w.create({.idempotency_key = "k", .content_hash = 1});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->task, &first);
  EXPECT_EQ(code_of(w.create({.idempotency_key = "k", .content_hash = 2})), Code::kIdempotencyMismatch);
  EXPECT_FALSE(w.create({.tenant = "other", .idempotency_key = "k", .content_hash = 2})->duplicate);
}

TEST(State, RetentionCountsFromTheEndAndAKeyOutlivesIt_Q18_G6) {
  World w;
  must(w.create({.key_ttl_ns = 48LL * 3600 * kSecond, .idempotency_key = "k", .content_hash = 1}));
  const auto created = w.now;
  w.now += 30LL * 3600 * kSecond;  // waiting does not age a task
  const auto& task = must(w.claim(kAlice));
  must(w.submit(kAlice, task));
  EXPECT_EQ(task.retire_ns, std::max(w.now + 24LL * 3600 * kSecond, created + 48LL * 3600 * kSecond));
  w.now = task.retire_ns;
  const auto id = task.info->id;
  EXPECT_EQ(w.state.find(id, kTenant, w.now), nullptr);
  EXPECT_FALSE(w.create({.idempotency_key = "k", .content_hash = 9})->duplicate);
  ASSERT_TRUE(w.state.apply(RetireRecord{.time_ns = w.now, .sequence = id.sequence}));
  EXPECT_TRUE(w.create({.idempotency_key = "k", .content_hash = 9})->duplicate);  // the new task's key stayed
  EXPECT_EQ(w.state.tasks_in_memory(), 1U);
}

TEST(State, AnUndeliveredClaimCostsNoAttemptAndKeepsItsTurn_G29) {
  World w;
  for (int i = 0; i < 3; ++i) must(w.create({}));
  const auto& task = must(w.claim(kAlice));
  must(w.state.apply(UndeliveredRecord{
      .time_ns = w.now, .sequence = 1, .lease_token = task.lease_token, .run_span = span(++w.draws)}));
  EXPECT_EQ(task.attempts, 0U);
  EXPECT_EQ(w.state.head(kTenant, "RENDER"), 1U);
}

TEST(State, UndeliveredClaimsStandInTheirOldOrderWhateverTheOrderOfTheirReturn_G29) {
  World w;
  for (int i = 0; i < 3; ++i) must(w.create({}));
  const auto one = must(w.claim(kAlice)).lease_token;
  const auto two = must(w.claim(kBob)).lease_token;
  const auto give_back = [&](std::uint64_t sequence, std::uint64_t token) {
    must(w.state.apply(
        UndeliveredRecord{.time_ns = w.now, .sequence = sequence, .lease_token = token, .run_span = span(++w.draws)}));
  };
  give_back(1, one);
  give_back(2, two);
  for (const std::uint64_t expected : {1U, 2U, 3U}) EXPECT_EQ(must(w.claim(kBob)).info->id.sequence, expected);
}

TEST(State, ReturnedTasksJoinAtTheTail) {
  World w;
  for (int i = 0; i < 2; ++i) must(w.create({}));
  const auto& task = must(w.claim(kAlice));
  must(w.state.apply(AbandonRecord{.time_ns = w.now, .owner = w.by(kAlice, task)}));
  EXPECT_EQ(must(w.claim(kBob)).info->id.sequence, 2U);
  EXPECT_EQ(must(w.claim(kBob)).info->id.sequence, 1U);
}

TEST(State, AFailedDeliveryIsKeptAndCanBeReplayed_G17) {
  World w;
  must(w.create({.webhook = "http://example.com/hook"}));
  const auto& task = must(w.claim(kAlice));
  const auto id = w.submit(kAlice, task)->delivery;
  ASSERT_NE(id, 0U);
  WebhookRecord failed{.time_ns = w.now,
                       .delivery_id = id,
                       .start_ns = w.now,
                       .end_ns = w.now,
                       .http_status = 500,
                       .error = WebhookError::kStatus,
                       .span = span(1),
                       .attempts_max = 2,
                       .backoff_base_ns = 2 * kSecond,
                       .backoff_max_ns = 60 * kSecond};
  must(w.state.apply(failed));
  EXPECT_EQ(w.state.delivery(id)->due_ns, w.now + 2 * kSecond);
  must(w.state.apply(failed));
  EXPECT_TRUE(w.state.delivery(id)->failed);
  EXPECT_EQ(code_of(w.state.apply(ReplayRecord{.time_ns = w.now, .delivery_id = id, .tenant = "other"})),
            Code::kNotFound);
  must(w.state.apply(ReplayRecord{.time_ns = w.now, .delivery_id = id, .tenant = kTenant}));
  failed.error = WebhookError::kNone;
  must(w.state.apply(failed));
  EXPECT_EQ(w.state.delivery(id), nullptr);
}

TEST(State, SpansThatEndWithTheCommitEndWhenItWasDurable) {
  World w;
  const auto& task = must(w.create({}));
  must(w.claim(kAlice));
  ASSERT_TRUE(w.state.apply(DurableRecord{.time_ns = w.now, .upto = w.state.records(), .durable_ns = w.now + 5}));
  for (const auto& event : task.timeline.events()) EXPECT_NE(event.end_ns, 0);
  EXPECT_EQ(task.run_from_ns, w.now + 5);
  w.now += kSecond;
  must(w.submit(kAlice, task));
  const auto events = task.timeline.events();
  EXPECT_EQ(events[3].kind, EventKind::kRun);
  EXPECT_EQ(events[3].start_ns, w.now - kSecond + 5);
  EXPECT_EQ(events[3].end_ns, w.now);
}

TEST(State, AnyCommandMeansTheHighestPriorityThenTheOldest_G32) {
  World w;
  must(w.create({.command = "a"}));
  must(w.create({.command = "b", .priority = 5}));
  must(w.create({.command = "c", .priority = 5}));
  EXPECT_EQ(w.state.head_of_any(kTenant), 2U);
  EXPECT_EQ(w.state.head_of_any("other"), 0U);
}

TEST(State, ARandomHistoryReplaysToTheSameStateFromEveryPrefix) {
  const char* chosen = std::getenv("CODEQ_SEED");
  const std::uint64_t base = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  for (std::uint64_t seed = base; seed < base + (chosen != nullptr ? 1 : 20); ++seed) {
    SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
    const auto history = random_history(seed, 300);
    ASSERT_GT(history.size(), 50U);
    State replayed;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const auto records = decode_group(history[i].first);
      ASSERT_TRUE(records.has_value());
      ASSERT_TRUE(replayed.apply(records->front()).has_value());
      ASSERT_EQ(replayed.digest(), history[i].second) << "after record " << i;
      if (i % 50 != 0) continue;
      State from_start;  // one group that holds the whole prefix
      std::string group;
      for (std::size_t j = 0; j <= i; ++j) group += history[j].first;
      const auto whole = decode_group(group);
      ASSERT_TRUE(whole.has_value());
      for (const auto& record : *whole) ASSERT_TRUE(from_start.apply(record).has_value());
      ASSERT_EQ(from_start.digest(), history[i].second);
    }
  }
}

TEST(Record, EveryCutAndEveryUnknownTypeIsRefused) {
  for (const auto& [bytes, digest] : random_history(5, 60)) {
    ASSERT_TRUE(decode_group(bytes).has_value());
    for (std::size_t cut = 1; cut < bytes.size(); ++cut)
      EXPECT_FALSE(decode_group(std::string_view(bytes).substr(0, cut)).has_value());
  }
  const auto unknown = decode_group(std::string_view("\x02\xff\x01", 3));
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("unknown type 255"), std::string::npos);
  EXPECT_NE(decode_group(std::string_view("\x02\x01\x63", 3)).error().message.find("unknown version 99"),
            std::string::npos);
}

TEST(Record, TheWorkedExampleOfTheFormatPageHoldsTrue) {
  std::string group;
  append_record(PromoteRecord{.time_ns = 1'700'000'000'000'000'000, .sequence = 300, .span = span(0xb7ad6b7169203331U)},
                group);
  EXPECT_EQ(group, std::string(
                       "\x15\x08\x01\x80\x80\xd0\xe2\xc6\xbf\xce\x97\x2f\xac\x02\xb7\xad\x6b\x71\x69\x20\x33\x31", 22));
}

TEST(Record, AResultKeepsItsBytes) {
  const TaskResult result{.status = Status::kFailed,
                          .result_json = R"({"big":12345678901234567890})",
                          .error = "no",
                          .artifacts = {{"n", "u"}},
                          .completed_ns = 5};
  const auto back = decode_result(encode_result(result));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, result);
  EXPECT_FALSE(decode_result("").has_value());
}

}  // namespace
}  // namespace codeq::core
