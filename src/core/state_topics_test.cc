// What a topic's policy does to tasks, and what subscriptions are in the state.
#include "core/test_world.h"

namespace codeq::core {
namespace {

const Task& task_of(World& w, std::uint64_t sequence) { return *w.state.task(sequence); }

TEST(Topics, APolicyIsKeptUnderAVersionThatCountsItsChanges_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.priority_tiers = {1, 5}, .max_attempts = 3}));
  const auto* topic = w.state.topic(kTenant, "RENDER");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->version, 1);
  w.now += kSecond;
  const auto again = w.put_topic("render", {.priority_tiers = {1, 5}, .max_attempts = 3});
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(topic->updated_ns, w.now - kSecond);
  ASSERT_FALSE(w.put_topic("render", {.priority_tiers = {1, 5}, .max_attempts = 4})->duplicate);
  EXPECT_EQ(topic->version, 2);
  EXPECT_EQ(topic->created_ns, w.now - kSecond);
  EXPECT_EQ(w.state.topic("other", "render"), nullptr);
  EXPECT_EQ(w.state.topics_of(kTenant), 1U);
  EXPECT_FALSE(w.state.apply(DeleteTopicRecord{.time_ns = w.now, .tenant = kTenant, .name = "render"})->duplicate);
  EXPECT_TRUE(w.state.apply(DeleteTopicRecord{.time_ns = w.now, .tenant = kTenant, .name = "render"})->duplicate);
  EXPECT_FALSE(w.state.has_topics());
}

TEST(Topics, AttemptsOfATopicAreForTasksThatBringNone_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.max_attempts = 2}));
  EXPECT_EQ(must(w.create({.max_attempts = 5, .default_attempts = true})).info->max_attempts, 2U);
  EXPECT_EQ(must(w.create({.max_attempts = 9})).info->max_attempts, 9U);
  EXPECT_EQ(must(w.create({.tenant = "other", .max_attempts = 5, .default_attempts = true})).info->max_attempts, 5U);
  EXPECT_EQ(must(w.create({.command = "Else", .max_attempts = 5, .default_attempts = true})).info->max_attempts, 5U);
}

TEST(Topics, RetentionOfATopicGoesBeforeTheSetting_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.retention_seconds = 60}));
  must(w.create({}));
  const auto& task = must(w.claim(kAlice));
  must(w.submit(kAlice, task));
  EXPECT_EQ(task.retire_ns, w.now + 60 * kSecond);
}

TEST(Topics, WhatDiesIsCopiedIntoTheDeadLetterTopicInTheSameTrace_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.dead_letter = "morgue"}));
  ASSERT_TRUE(w.put_topic("morgue", {.max_attempts = 7}));
  must(
      w.create({.webhook = "http://h/x", .idempotency_key = "k", .content_hash = 1, .priority = 4, .max_attempts = 1}));
  const auto& dead = must(w.claim(kAlice));
  const auto effects = w.nack(kAlice, dead, 1, "no");
  ASSERT_TRUE(effects.has_value());
  EXPECT_EQ(dead.place, Place::kDead);
  EXPECT_EQ(dead.result->error, "no");
  ASSERT_NE(effects->copy, nullptr);
  const auto& copy = *effects->copy;
  EXPECT_EQ(copy.place, Place::kReady);
  EXPECT_EQ(copy.info->command, "morgue");
  EXPECT_EQ(copy.info->priority, 4);
  EXPECT_EQ(copy.info->max_attempts, 7U);
  EXPECT_EQ(copy.payload, dead.payload);
  EXPECT_TRUE(copy.info->webhook.empty() && copy.info->idempotency_key.empty());
  EXPECT_NE(copy.info->id, dead.info->id);
  EXPECT_EQ(copy.info->trace.span.trace_id, dead.info->trace.span.trace_id);
  EXPECT_EQ(copy.info->trace.tracestate, dead.info->trace.tracestate);
  const auto created = copy.timeline.events().front();
  EXPECT_EQ(created.span, copy.info->trace.span.span_id);
  const auto of_dead = dead.timeline.events();
  EXPECT_TRUE(std::any_of(of_dead.begin(), of_dead.end(), [&](const Event& e) {
    return e.kind == EventKind::kDeadLetter && e.span == created.parent;
  }));
  EXPECT_EQ(effects->copy_events.count, 1U);
}

TEST(Topics, AnExpiredLastLeaseIsCopiedToo_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.dead_letter = "morgue"}));
  must(w.create({.max_attempts = 1}));
  const auto& task = must(w.claim(kAlice, 1));
  w.now += kSecond;
  const auto effects = w.expire(task);
  ASSERT_TRUE(effects.has_value() && effects->copy != nullptr);
  EXPECT_EQ(w.state.head(kTenant, "morgue"), effects->copy->info->id.sequence);
}

TEST(Topics, TwoTopicsThatNameEachOtherComeToAnEnd_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.max_attempts = 1, .dead_letter = "morgue"}));
  ASSERT_TRUE(w.put_topic("morgue", {.max_attempts = 1, .dead_letter = "render"}));
  must(w.create({.max_attempts = 1}));
  const auto first = w.nack(kAlice, must(w.claim(kAlice)), 1);
  ASSERT_NE(first->copy, nullptr);
  const auto claimed = w.state.apply(ClaimRecord{.time_ns = w.now,
                                                 .sequence = first->copy->info->id.sequence,
                                                 .worker = std::make_shared<const std::string>(kAlice),
                                                 .lease_ns = kSecond,
                                                 .lease_token = ++w.draws,
                                                 .queued_span = span(++w.draws),
                                                 .claim_span = span(++w.draws),
                                                 .request = {}});
  const auto second = w.nack(kAlice, must(claimed), 1);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->task->place, Place::kDead);
  EXPECT_EQ(second->copy, nullptr);
}

TEST(Topics, AtMostSoManyWorkersHoldLeasesAndTheNextIsServedWhenOneLeaves_G19) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.max_consumers = 1}));
  for (int i = 0; i < 4; ++i) must(w.create({}));
  const auto& first = must(w.claim(kAlice));
  EXPECT_EQ(code_of(w.claim(kBob)), Code::kNotFound);
  EXPECT_EQ(w.state.ready_queue(kTenant, "render", &kBob), nullptr);
  EXPECT_EQ(w.state.ready_queue_of_any(kTenant, &kBob), nullptr);
  EXPECT_NE(w.state.ready_queue_of_any(kTenant, &kAlice), nullptr);
  const auto& second = must(w.claim(kAlice));  // the same worker again
  EXPECT_FALSE(w.submit(kAlice, first)->consumer_left);
  EXPECT_TRUE(w.submit(kAlice, second)->consumer_left);
  must(w.claim(kBob));
  EXPECT_EQ(code_of(w.claim(kAlice)), Code::kNotFound);
}

TEST(Topics, ALimitCountsTheLeasesThatWereThereBeforeIt_G19) {
  World w;
  for (int i = 0; i < 3; ++i) must(w.create({}));
  const auto& held = must(w.claim(kAlice));
  const PutTopicRecord record{.time_ns = w.now, .tenant = kTenant, .name = "render", .policy = {.max_consumers = 1}};
  std::vector<std::uint64_t> names;
  w.state.names(record, names);
  EXPECT_TRUE(names.empty());  // no task is needed for that
  ASSERT_TRUE(w.state.apply(record));
  EXPECT_EQ(code_of(w.claim(kBob)), Code::kNotFound);
  EXPECT_TRUE(w.submit(kAlice, held)->consumer_left);
  must(w.claim(kBob));
}

// Earlier versions counted nobody where more than 256 leases were live when a limit came; their logs go on to be read.
TEST(Topics, AClaimOfAnOlderLogIsNotRefusedByALimitThatDidNotCountEveryLease) {
  World w;
  for (int i = 0; i < 3; ++i) must(w.create({}));
  must(w.claim(kAlice));
  ASSERT_TRUE(w.put_topic("render", {.max_consumers = 1}));
  ClaimRecord claim{.time_ns = w.now,
                    .sequence = w.state.head(kTenant, "render"),
                    .worker = std::make_shared<const std::string>(kBob),
                    .lease_ns = kSecond,
                    .lease_token = 9,
                    .queued_span = span(1),
                    .claim_span = span(2),
                    .request = {}};
  std::string bytes;
  append_record(claim, bytes);
  const auto older = decode_group(bytes);
  ASSERT_TRUE(older.has_value()) << older.error().message;
  ASSERT_TRUE(w.state.apply(older->at(0)).has_value());
  EXPECT_EQ(w.state.queue_of(kTenant, "render")->holders.size(), 2U);

  claim.sequence = w.state.head(kTenant, "render");
  claim.worker = std::make_shared<const std::string>("carol");
  claim.limited = true;
  bytes.clear();
  append_record(claim, bytes);
  const auto newer = decode_group(bytes);
  ASSERT_TRUE(newer.has_value()) << newer.error().message;
  EXPECT_EQ(code_of(w.state.apply(newer->at(0))), Code::kNotFound);
}

TEST(Topics, HoldersTakeRoomAndLeaveNone) {
  World w;
  for (int i = 0; i < 2; ++i) must(w.create({}));
  const auto before = w.state.queue_bytes();
  const auto& one = must(w.claim(kAlice));
  const auto first = w.state.queue_bytes();
  const auto& two = must(w.claim(kAlice));
  EXPECT_EQ(first - before, w.state.queue_bytes() - first + 128);  // the same worker again takes none
  EXPECT_FALSE(w.submit(kAlice, one)->consumer_left);
  EXPECT_FALSE(w.submit(kAlice, two)->consumer_left);  // nobody waits for that where there is no limit
  EXPECT_TRUE(w.state.queue_of(kTenant, "render")->holders.empty());
  EXPECT_EQ(w.state.queue_bytes(), before - 2 * 9);
}

TEST(Topics, WithoutItsTopicAQueueIsFreeAgain) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.dead_letter = "morgue", .max_consumers = 1}));
  for (int i = 0; i < 2; ++i) must(w.create({.max_attempts = 1}));
  must(w.claim(kAlice));
  ASSERT_TRUE(w.state.apply(DeleteTopicRecord{.time_ns = w.now, .tenant = kTenant, .name = "render"}));
  must(w.claim(kBob));
  EXPECT_EQ(w.nack(kBob, task_of(w, 2), 1)->copy, nullptr);
}

Subscription wants(std::string id, std::vector<std::string> types, std::int64_t expires_ns,
                   std::string tenant = kTenant) {
  return {.id = std::move(id),
          .tenant = std::move(tenant),
          .owner = kAlice,
          .callback_url = "http://hooks.example/x",
          .host = {},
          .event_types = std::move(types),
          .mode = DeliveryMode::kFanout,
          .group = {},
          .min_interval_seconds = 0,
          .created_ns = 0,
          .expires_ns = expires_ns};
}

TEST(Subscriptions, AreFoundByAnySpellingOfTheCommandAndNotByOtherTenants_Q8) {
  World w;
  const auto end = w.now + kSecond;
  ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = wants("a", {"Render"}, end)}));
  ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = wants("b", {"*", "RENDER"}, end)}));
  ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = wants("c", {"render"}, end, "other")}));
  const auto& table = w.state.subscriptions();
  const auto found = table.of_queue(kTenant, "rENDER", w.now);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0]->id, "a");
  EXPECT_EQ(found[0]->host, "hooks.example");
  EXPECT_EQ(table.of_queue(kTenant, "else", w.now).size(), 1U);
  EXPECT_EQ(table.of_queue("other", "render", w.now).size(), 1U);
  EXPECT_TRUE(table.of_queue(kTenant, "render", end).empty());
}

TEST(Subscriptions, OfAQueueStandEachOnceAndInOrderWhateverTheyAskedFor) {
  World w;
  const auto end = w.now + kSecond;
  for (auto& one : {wants("d", {"*"}, end), wants("b", {"render", "*", "Render"}, end), wants("c", {"render"}, end - 1),
                    wants("a", {"*", "else"}, end), wants("e", {"RENDER"}, end)})
    ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = one}));
  const auto ids = [&](const std::string& command, std::int64_t now) {
    std::string text;
    for (const auto* one : w.state.subscriptions().of_queue(kTenant, command, now)) text += one->id;
    return text;
  };
  EXPECT_EQ(ids("render", w.now), "abcde");
  EXPECT_EQ(ids("render", end - 1), "abde");
  EXPECT_EQ(ids("else", w.now), "abd");
  ASSERT_TRUE(
      w.state.apply(UnsubscribeRecord{.time_ns = w.now, .id = "b", .tenant = kTenant, .subject = kAlice}).has_value());
  EXPECT_EQ(ids("render", w.now), "acde");
  EXPECT_EQ(ids("else", w.now), "ad");
}

TEST(Subscriptions, OnlyTheirOwnerRenewsOrEndsThem_Q8) {
  World w;
  ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = wants("a", {"*"}, w.now + kSecond)}));
  const auto renew = [&](const std::string& tenant, const std::string& subject) {
    return w.state.apply(RenewSubscriptionRecord{
        .time_ns = w.now, .id = "a", .tenant = tenant, .subject = subject, .ttl_ns = 5 * kSecond});
  };
  EXPECT_EQ(code_of(renew("other", kAlice)), Code::kNotFound);
  EXPECT_EQ(code_of(renew(kTenant, kBob)), Code::kNotFound);
  ASSERT_TRUE(renew(kTenant, kAlice));
  w.now += 5 * kSecond;  // over at its end instant, swept or not
  EXPECT_EQ(code_of(renew(kTenant, kAlice)), Code::kNotFound);
  EXPECT_EQ(
      code_of(w.state.apply(UnsubscribeRecord{.time_ns = w.now - 1, .id = "a", .tenant = kTenant, .subject = kBob})),
      Code::kNotFound);
  ASSERT_TRUE(w.state.apply(UnsubscribeRecord{.time_ns = w.now - 1, .id = "a", .tenant = kTenant, .subject = kAlice}));
  EXPECT_TRUE(w.state.subscriptions().empty());
  EXPECT_EQ(w.state.subscriptions().bytes(), 0U);
}

TEST(Subscriptions, TheSweepTakesThoseThatAreOverAndLeavesNothing) {
  World w;
  for (int i = 0; i < 1500; ++i)
    ASSERT_TRUE(w.state.apply(SubscribeRecord{
        .time_ns = w.now,
        .subscription = wants("s" + std::to_string(i), {"a", "b"}, w.now + (i < 1200 ? 1 : 2) * kSecond)}));
  EXPECT_EQ(code_of(w.state.apply(ExpireSubscriptionsRecord{.time_ns = w.now})), Code::kNotFound);
  w.now += kSecond;
  ASSERT_TRUE(w.state.apply(ExpireSubscriptionsRecord{.time_ns = w.now}));
  EXPECT_EQ(w.state.subscriptions().count(kTenant), 500U);
  ASSERT_TRUE(w.state.apply(ExpireSubscriptionsRecord{.time_ns = w.now}));
  EXPECT_EQ(w.state.subscriptions().count(kTenant), 300U);
  w.now += kSecond;
  ASSERT_TRUE(w.state.apply(ExpireSubscriptionsRecord{.time_ns = w.now}));
  EXPECT_TRUE(w.state.subscriptions().empty());
  EXPECT_EQ(w.state.subscriptions().bytes(), 0U);
}

TEST(Catalogue, ABadRowIsRefused) {
  World w;
  ASSERT_TRUE(w.put_topic("render", {.priority_tiers = {1}, .dead_letter = "x"}));
  ASSERT_TRUE(w.state.apply(SubscribeRecord{.time_ns = w.now, .subscription = wants("a", {"*"}, w.now + kSecond)}));
  w.state.begin_cut();
  w.state.encode_cut(SIZE_MAX);
  int seen = 0;
  const auto rows = w.state.take_cut().rows;
  for (const auto& row : *rows) {
    const bool topic = row.key.starts_with(kTopicRows);
    if (!topic && !row.key.starts_with(kSubscriptionRows)) continue;
    ++seen;
    EXPECT_TRUE(topic ? decode_topic(row.value).has_value() : decode_subscription(row.value).has_value());
    for (std::size_t cut = 0; cut < row.value.size(); ++cut) {
      const auto part = std::string_view(row.value).substr(0, cut);
      EXPECT_FALSE(topic ? decode_topic(part).has_value() : decode_subscription(part).has_value());
    }
  }
  EXPECT_EQ(seen, 2);
}

// Those of the replay and image tests: they are only worth what happens in them.
TEST(Catalogue, TheRandomHistoriesDoEverythingThatTopicsAndSubscriptionsCan) {
  int copies = 0, left = 0, limited_at_work = 0, expired = 0, renewed = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    State state;
    for (const auto& [bytes, digest] : random_history(seed, 300)) {
      const auto record = decode_group(bytes)->front();
      if (const auto* put = std::get_if<PutTopicRecord>(&record); put != nullptr && put->policy.max_consumers > 0)
        if (const auto* queue = state.queue_of(put->tenant, put->name); queue != nullptr && !queue->holders.empty())
          ++limited_at_work;
      if (std::holds_alternative<ExpireSubscriptionsRecord>(record)) ++expired;
      if (std::holds_alternative<RenewSubscriptionRecord>(record)) ++renewed;
      const auto effects = state.apply(record);
      ASSERT_TRUE(effects.has_value());
      if (effects->copy != nullptr) ++copies;
      if (effects->consumer_left) ++left;
    }
  }
  EXPECT_GE(copies, 20);
  EXPECT_GE(left, 20);
  EXPECT_GE(limited_at_work, 20);
  EXPECT_GE(expired, 20);
  EXPECT_GE(renewed, 20);
}

TEST(Record, OnlyWhatNeedsTheNewerVersionIsWrittenInIt) {
  const auto version_of = [](const Record& record) {
    std::string group;
    append_record(record, group);
    const auto back = decode_group(group);
    EXPECT_TRUE(back.has_value());
    std::string again;
    append_record(back->front(), again);
    EXPECT_EQ(again, group);
    const auto at = static_cast<std::size_t>(static_cast<unsigned char>(group[0]) < 0x80 ? 2 : 3);
    return static_cast<int>(group[at]);
  };
  CreateRecord create{.payload = std::make_shared<const std::string>("1")};
  EXPECT_EQ(version_of(create), 1);
  create.default_attempts = true;
  EXPECT_EQ(version_of(create), 2);
  ClaimRecord claim{.worker = std::make_shared<const std::string>("w")};
  EXPECT_EQ(version_of(claim), 1);
  claim.limited = true;
  EXPECT_EQ(version_of(claim), 2);
  ExpireRecord expire{};
  EXPECT_EQ(version_of(expire), 1);
  expire.rules.copy_span = span(1);
  expire.rules.copy_random = 7;
  EXPECT_EQ(version_of(expire), 2);
}

}  // namespace
}  // namespace codeq::core
