#include "app/bench/tally.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

constexpr std::int64_t kMilli = 1'000'000;
constexpr std::int64_t kSecond = 1'000 * kMilli;

TEST(OpenLoop, EveryTaskIsDueAtItsOwnInstantWhateverHappens) {
  OpenLoop loop(1000, 1);
  loop.start(kSecond);
  EXPECT_EQ(loop.take(kSecond), kSecond);
  EXPECT_EQ(loop.take(kSecond), std::nullopt) << "the next one is a millisecond later";
  // Half a second in which nothing could be sent: all of it is still due, each at its own instant.
  for (int i = 1; i <= 500; ++i) EXPECT_EQ(loop.take(kSecond + 500 * kMilli), kSecond + i * kMilli);
  EXPECT_EQ(loop.take(kSecond + 500 * kMilli), std::nullopt);
  EXPECT_EQ(loop.due_ns(), kSecond + 501 * kMilli);
}

TEST(OpenLoop, DueInstantsDoNotDriftAndBatchesAreDueTogether) {
  OpenLoop thirds(3, 1);
  thirds.start(0);
  for (int i = 0; i < 3'000'000; ++i) ASSERT_TRUE(thirds.take(1'000'000 * kSecond).has_value());
  EXPECT_EQ(thirds.due_ns(), 1'000'000 * kSecond);

  OpenLoop batches(1000, 32);
  batches.start(0);
  ASSERT_TRUE(batches.take(0).has_value());
  EXPECT_EQ(batches.due_ns(), 32 * kMilli);
}

TEST(Tally, AClosedLoopCreatesAsTasksAreSettled) {
  BenchOptions options;
  options.batch = 4;
  Tally tally(options, 10);
  tally.enter(Phase::kWarmup, 0);
  EXPECT_EQ(tally.next_create(5), 5);
  EXPECT_EQ(tally.next_create(6), 6);
  EXPECT_EQ(tally.next_create(7), std::nullopt) << "twelve would be open";
  tally.refused(1);
  tally.settle(1);
  EXPECT_EQ(tally.next_create(8), 8);
  EXPECT_EQ(tally.outstanding(), 10);
  EXPECT_EQ(tally.refused_total(), 1U);
}

TEST(Tally, TheBacklogIsFilledFirstAndKept) {
  BenchOptions options;
  options.backlog = 3;
  Tally tally(options, 2);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tally.next_create(i).has_value());
  EXPECT_EQ(tally.next_create(3), std::nullopt);
  tally.enter(Phase::kWarmup, 4);
  ASSERT_TRUE(tally.next_create(4).has_value());
  ASSERT_TRUE(tally.next_create(4).has_value());
  EXPECT_EQ(tally.next_create(4), std::nullopt);
  tally.enter(Phase::kMeasured, 5);
  tally.completed(0, 6);
  EXPECT_TRUE(tally.next_create(6).has_value());
  tally.enter(Phase::kDrain, 7);
  tally.settle(5);
  EXPECT_EQ(tally.next_create(8), std::nullopt) << "nothing is created while draining";
}

TEST(Tally, AnOpenLoopIsHeldBackByNothing) {
  BenchOptions options;
  options.rate = 1000;
  Tally tally(options, 1);
  tally.enter(Phase::kWarmup, kSecond);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(tally.next_create(2 * kSecond), kSecond + i * kMilli);
  EXPECT_EQ(tally.next_due_ns(), kSecond + 100 * kMilli);
  tally.enter(Phase::kMeasured, 2 * kSecond);
  EXPECT_EQ(tally.next_due_ns(), kSecond + 100 * kMilli) << "the schedule does not begin again";
}

TEST(Tally, WhatWasDueInTheRunIsSentAfterItToo) {
  BenchOptions options;
  options.rate = 1000;
  Tally tally(options, 1);
  tally.enter(Phase::kMeasured, 0);
  tally.enter(Phase::kDrain, 3 * kMilli);  // nothing could be sent in all of this time
  EXPECT_EQ(tally.unsent(), 3U);
  EXPECT_FALSE(tally.all_settled());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tally.next_create(kSecond), i * kMilli);
  EXPECT_EQ(tally.next_create(kSecond), std::nullopt) << "the fourth was due when the run was over";
  EXPECT_EQ(tally.unsent(), 0U);
  for (int i = 0; i < 3; ++i) {
    tally.created(i * kMilli, kSecond);
    tally.completed(i * kMilli, kSecond);
  }
  EXPECT_TRUE(tally.all_settled());
  EXPECT_EQ(tally.completion.count(), 3U);
  EXPECT_EQ(tally.completed_measured(), 0U) << "too late to be throughput";
}

TEST(Tally, CountsWhatWasAcknowledgedInTheMeasuredTimeAndTheLatencyOfWhatWasDueInIt) {
  const BenchOptions options;
  Tally tally(options, 100);
  tally.enter(Phase::kWarmup, 0);
  tally.completed(10, 20);  // before
  tally.enter(Phase::kMeasured, 100);
  tally.completed(50, 110);   // due before, acknowledged within
  tally.completed(100, 130);  // due and acknowledged within
  tally.created(150, 170);
  tally.enter(Phase::kDrain, 200);
  tally.completed(150, 900);  // due within, acknowledged after: the broker was slow, and that is told
  tally.completed(200, 300);  // due after
  EXPECT_EQ(tally.completed_measured(), 2U);
  EXPECT_EQ(tally.completed_total(), 5U);
  EXPECT_EQ(tally.completion.count(), 2U);
  EXPECT_EQ(tally.completion.max(), 750);
  EXPECT_EQ(tally.create.max(), 20);
}

TEST(Tally, IsNotSettledBeforeEveryCreateIsAnswered) {
  const BenchOptions options;
  Tally tally(options, 100);
  tally.enter(Phase::kMeasured, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tally.next_create(1).has_value());
  tally.completed(1, 2);  // its acknowledgement is still on its way
  tally.refused(1);
  tally.lost(1);
  EXPECT_EQ(tally.outstanding(), 0);
  EXPECT_FALSE(tally.all_settled());
  EXPECT_EQ(tally.open_total(), 0U);
  tally.created(1, 3);
  EXPECT_TRUE(tally.all_settled());
}

TEST(Tally, ErrorsOfWarmUpAndDrainAreNotTheRuns) {
  const BenchOptions options;
  Tally tally(options, 100);
  tally.enter(Phase::kWarmup, 0);
  tally.error("create", "503");
  tally.enter(Phase::kMeasured, 1);
  tally.error("claim", "500");
  tally.error("claim", "500");
  tally.enter(Phase::kDrain, 2);
  tally.error("claim", "connection");
  EXPECT_EQ(tally.errors, (Tally::Errors{{{"claim", "500"}, 2}}));
  EXPECT_EQ(tally.error_count(), 2U);
}

}  // namespace
}  // namespace codeq::app
