// Cancel, redrive and pause: what each leaves behind, and what can no longer happen after it.
#include "core/test_world.h"

namespace codeq::core {
namespace {

std::vector<EventKind> kinds(const Task& task) {
  std::vector<EventKind> found;
  task.timeline.each([&](const Event& event) { found.push_back(event.kind); });
  return found;
}

// A task that has died of its only attempt.
const Task& dead_task(World& w, CreateRecord r = {}) {
  r.max_attempts = 1;
  must(w.create(r));
  const auto& task = must(w.claim(kAlice));
  must(w.nack(kAlice, task, 1));
  EXPECT_EQ(task.place, Place::kDead);
  return task;
}

TEST(StateAdmin, ACancelledReadyTaskLeavesTheMiddleOfItsQueue) {
  World w;
  for (int i = 0; i < 3; ++i) must(w.create({}));
  const auto& second = *w.state.task(2);
  must(w.cancel(second, "no longer needed"));
  EXPECT_EQ(second.place, Place::kDone);
  EXPECT_EQ(second.status, Status::kFailed);
  EXPECT_EQ(second.result->error, "CANCELLED: no longer needed");
  EXPECT_EQ(w.state.waiting(), 2U);
  EXPECT_EQ(must(w.claim(kAlice)).info->id.sequence, 1U);
  EXPECT_EQ(must(w.claim(kAlice)).info->id.sequence, 3U);
  EXPECT_EQ(w.state.head(kTenant, "render"), 0U);
  EXPECT_EQ(kinds(second), (std::vector{EventKind::kCreate, EventKind::kQueued, EventKind::kCancel}));
}

TEST(StateAdmin, ACancelledDelayedTaskNeverBecomesDue) {
  World w;
  must(w.create({.visible_ns = w.now + 2 * kSecond}));
  must(w.create({.visible_ns = w.now + 5 * kSecond}));
  must(w.cancel(*w.state.task(1)));
  EXPECT_EQ(w.state.task(1)->error, "CANCELLED");
  ASSERT_EQ(w.state.delayed().size(), 1U);
  EXPECT_EQ(w.state.delayed().top().second, 2U);
  must(w.cancel(*w.state.task(2)));
  EXPECT_TRUE(w.state.delayed().empty());
}

TEST(StateAdmin, ACancelledLeaseIsOverAndItsHolderIsTold) {
  World w;
  must(w.create({.webhook = "http://example.com/hook"}));
  const auto& task = must(w.claim(kAlice));
  const auto effects = w.cancel(task);
  ASSERT_TRUE(effects.has_value());
  EXPECT_NE(effects->delivery, 0U) << "its webhook says so";
  EXPECT_TRUE(w.state.leases().empty());
  EXPECT_EQ(code_of(w.submit(kAlice, task)), Code::kLeaseLost);
  EXPECT_EQ(code_of(w.expire(task)), Code::kNotInProgress);
  EXPECT_EQ(code_of(w.cancel(task)), Code::kNotInProgress);
  EXPECT_EQ(kinds(task), (std::vector{EventKind::kCreate, EventKind::kQueued, EventKind::kClaim, EventKind::kRun,
                                      EventKind::kCancel}));
  const auto events = task.timeline.events();
  EXPECT_EQ(events[3].detail, static_cast<std::uint8_t>(RunOutcome::kCancelled));
  EXPECT_EQ(events[4].parent, task.claim_span);
  EXPECT_EQ(w.state.delivery(effects->delivery)->parent, events[4].span);
}

TEST(StateAdmin, NobodyCancelsWhatIsNotTheirs) {
  World w;
  const auto& task = must(w.create({}));
  auto foreign = w.cancel_record(task, "");
  foreign.tenant = "other";
  EXPECT_EQ(code_of(w.state.apply(foreign)), Code::kNotFound);
  auto guessed = w.cancel_record(task, "");
  guessed.id_random ^= 1;
  EXPECT_EQ(code_of(w.state.apply(guessed)), Code::kNotFound);
  EXPECT_EQ(task.place, Place::kReady);
}

TEST(StateAdmin, ARedrivenTaskHasItsAttemptsBackAndNoRetention) {
  World w;
  const auto& task = dead_task(w, {.webhook = "http://example.com/hook"});
  const auto delivery = task.delivery;
  ASSERT_NE(delivery, 0U);
  const auto* queue = task.queue;
  EXPECT_EQ(queue->dead, 1U);
  must(w.redrive(task));
  EXPECT_EQ(queue->dead, 0U);
  EXPECT_EQ(queue->finished, 0U);
  EXPECT_EQ(w.state.delivery(delivery), nullptr) << "nobody is told of a death that is no more";
  EXPECT_EQ(task.attempts, 0U);
  EXPECT_EQ(task.retire_ns, 0);
  EXPECT_EQ(task.result, nullptr);
  EXPECT_FALSE(task.has_result);
  EXPECT_EQ(code_of(w.state.apply(RetireRecord{.time_ns = w.now + 1000LL * 3600 * kSecond, .sequence = 1})),
            Code::kNotFound);
  const auto& again = must(w.claim(kBob));
  EXPECT_EQ(again.attempts, 1U);
  must(w.nack(kBob, again, 1));
  EXPECT_EQ(again.place, Place::kDead) << "it may die again";
  EXPECT_NE(again.delivery, delivery);
  must(w.redrive(again));
}

TEST(StateAdmin, ARedriveMayBeLater) {
  World w;
  const auto& task = dead_task(w);
  must(w.redrive(task, w.now + 3 * kSecond));
  EXPECT_EQ(task.place, Place::kDelayed);
  EXPECT_EQ(task.cause, WaitCause::kDelayed);
  ASSERT_EQ(w.state.delayed().size(), 1U);
  EXPECT_EQ(w.state.delayed().top().first, w.now + 3 * kSecond);
}

TEST(StateAdmin, OnlyTheDeadOfTheTenantAreRedrivenAndNotPastTheirRetention) {
  World w;
  const auto& task = dead_task(w);
  auto foreign = w.redrive_record(task, 0);
  foreign.tenant = "other";
  EXPECT_EQ(code_of(w.state.apply(foreign)), Code::kNotFound);
  w.now = task.retire_ns;
  EXPECT_EQ(code_of(w.redrive(task)), Code::kNotFound);
  const auto& waiting = must(w.create({}));
  EXPECT_EQ(code_of(w.redrive(waiting)), Code::kNotFound);
  must(w.cancel(waiting));
  EXPECT_EQ(code_of(w.redrive(waiting)), Code::kNotFound) << "cancelled is not dead";
}

TEST(StateAdmin, APausedQueueLooksEmptyAndTakesTasks) {
  World w;
  must(w.create({}));
  must(w.create({.command = "other", .priority = 1}));
  ASSERT_TRUE(w.pause(true).has_value());
  EXPECT_TRUE(w.pause(true)->duplicate) << "twice is once";
  must(w.create({.priority = 9}));
  EXPECT_EQ(w.state.head(kTenant, "RENDER"), 0U);
  EXPECT_EQ(w.state.head_of_any(kTenant), 2U) << "any command means any that is not paused";
  EXPECT_EQ(code_of(w.state.apply(ClaimRecord{.time_ns = w.now,
                                              .sequence = 3,
                                              .worker = std::make_shared<const std::string>(kAlice),
                                              .lease_ns = kSecond,
                                              .lease_token = 1,
                                              .queued_span = span(1),
                                              .claim_span = span(2),
                                              .request = {}})),
            Code::kNotFound);
  ASSERT_TRUE(w.pause(false).has_value());
  EXPECT_EQ(w.state.head(kTenant, "RENDER"), 3U);
}

TEST(StateAdmin, AQueueWithoutTasksStaysWhileItIsPaused) {
  World w;
  ASSERT_TRUE(w.pause(true, "Later").has_value());
  ASSERT_NE(w.state.queue_of(kTenant, "later"), nullptr);
  ASSERT_TRUE(w.pause(false, "LATER").has_value());
  EXPECT_EQ(w.state.queue_of(kTenant, "later"), nullptr);
}

TEST(ReadyQueue, WhatIsRemovedIsPassedOverInAnyOrder) {
  SeededRng rng(3);
  ReadyQueue queue;
  std::deque<std::uint64_t> model;
  std::uint64_t last = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto draw = rng.next() % 8;
    if (draw < 3) {
      queue.push_back(++last);
      model.push_back(last);
    } else if (draw < 6 && !model.empty()) {
      const auto at = model.begin() + static_cast<std::ptrdiff_t>(rng.next() % model.size());
      queue.remove(0, *at);
      model.erase(at);
    } else if (!model.empty()) {
      ASSERT_EQ(queue.front(), model.front());
      queue.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(queue.size(), model.size());
    if (!model.empty()) ASSERT_EQ(queue.front(), model.front());
  }
  std::deque<std::uint64_t> all;
  queue.each([&](std::uint64_t sequence) { all.push_back(sequence); });
  EXPECT_EQ(all, model);
}

TEST(DueHeap, WhatIsRemovedNeverComesDue) {
  SeededRng rng(4);
  DueHeap heap;
  std::set<DueHeap::Entry> model;
  std::uint64_t last = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto draw = rng.next() % 8;
    if (draw < 3) {
      const auto at = static_cast<std::int64_t>(rng.next() % 100);
      heap.push(at, ++last);
      model.emplace(at, last);
    } else if (draw < 6 && !model.empty()) {
      const auto it = std::next(model.begin(), static_cast<std::ptrdiff_t>(rng.next() % model.size()));
      heap.remove(it->second);
      model.erase(it);
    } else if (!model.empty()) {
      heap.pop();
      model.erase(model.begin());
    }
    ASSERT_EQ(heap.empty(), model.empty());
    ASSERT_EQ(heap.size(), model.size());
    if (!model.empty()) ASSERT_EQ(heap.top(), *model.begin());
  }
  EXPECT_EQ(heap.sorted(), std::vector<DueHeap::Entry>(model.begin(), model.end()));
  EXPECT_EQ(heap.due(1000, SIZE_MAX).size(), model.size());
}

}  // namespace
}  // namespace codeq::core
