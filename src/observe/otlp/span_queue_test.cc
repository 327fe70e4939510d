#include "observe/otlp/span_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace codeq::observe {
namespace {

using namespace std::chrono_literals;
SpanQueue::Time in(std::chrono::nanoseconds wait) { return std::chrono::steady_clock::now() + wait; }

TracingOptions small() {
  TracingOptions options;
  options.batch_spans = 2;
  options.queue_spans = 5;
  options.schedule_delay = 1h;  // never, in a test
  return options;
}

TEST(SpanQueue, AFullBatchIsHandedOutAtOnceAndAPartOfOneOnlyWhenAsked) {
  SpanQueue queue(small());
  for (const auto* span : {"a", "b", "c"}) queue.push(Scope::kHttp, span);
  auto first = queue.take();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first.front().bodies[static_cast<std::size_t>(Scope::kHttp)], "ab");
  queue.settle(std::move(first), 2);

  EXPECT_FALSE(queue.flush(in(0s)));  // asks, does not wait
  auto second = queue.take();
  EXPECT_EQ(second.front().bodies[static_cast<std::size_t>(Scope::kHttp)], "c");
  queue.settle(std::move(second), 1);
  EXPECT_TRUE(queue.flush(in(0s)));
  EXPECT_EQ(queue.stats().exported, 3U);
}

TEST(SpanQueue, TheScheduleDelayHandsOutAPartOfABatch) {
  TracingOptions options = small();
  options.schedule_delay = 1ms;
  SpanQueue queue(options);
  queue.push(Scope::kHttp, "a");
  EXPECT_EQ(queue.take().front().spans, 1U);
}

TEST(SpanQueue, AFullQueueKeepsTheOldestSpansAndCountsTheRest) {
  SpanQueue queue(small());
  for (int i = 0; i < 8; ++i) queue.push(Scope::kHttp, "x");
  EXPECT_EQ(queue.stats().recorded, 8U);
  EXPECT_EQ(queue.stats().dropped, 3U);
  auto under_way = queue.take();
  queue.push(Scope::kHttp, "x");  // what is under way still counts
  EXPECT_EQ(queue.stats().dropped, 4U);
  queue.settle(std::move(under_way), 1);
  EXPECT_EQ(queue.stats().exported, 1U);
  EXPECT_EQ(queue.stats().dropped, 5U);
  queue.push(Scope::kHttp, "x");
  EXPECT_EQ(queue.stats().dropped, 5U);
}

TEST(SpanQueue, BytesAreBoundedAsWell) {
  TracingOptions options = small();
  options.queue_bytes = 10;
  SpanQueue queue(options);
  queue.push(Scope::kHttp, "12345678");
  queue.push(Scope::kHttp, "123");
  EXPECT_EQ(queue.stats().dropped, 1U);
}

TEST(SpanQueue, AClosedQueueTakesNothingMoreAndHandsOutWhatIsLeft) {
  SpanQueue queue(small());
  queue.push(Scope::kHttp, "a");
  queue.close(in(1h));
  queue.push(Scope::kHttp, "b");
  EXPECT_EQ(queue.stats().dropped, 1U);
  auto last = queue.take();
  EXPECT_EQ(last.front().spans, 1U);
  queue.settle(std::move(last), 1);
  EXPECT_TRUE(queue.take().empty());
  EXPECT_FALSE(queue.closed_at(std::chrono::steady_clock::now()));
}

TEST(SpanQueue, ABackOffEndsWhenAFlushAsksAndNeverOutlivesAClose) {
  SpanQueue queue(small());
  queue.push(Scope::kHttp, "a");
  EXPECT_FALSE(queue.flush(in(0s)));
  EXPECT_TRUE(queue.pause(in(1h)));
  queue.close(in(0s));
  EXPECT_TRUE(queue.pause(in(1h)));   // the close itself
  EXPECT_FALSE(queue.pause(in(1h)));  // its deadline
  queue.drop_rest();
  EXPECT_EQ(queue.stats().dropped, 1U);
}

TEST(SpanQueue, SpansOfManyThreadsAreAllAccountedFor) {
  TracingOptions options = small();
  options.batch_spans = 16;
  options.queue_spans = 64;
  SpanQueue queue(options);
  std::jthread exporter([&] {
    for (;;) {
      auto batch = queue.take();
      if (batch.empty()) return;
      const auto spans = batch.front().spans;
      queue.settle(std::move(batch), spans);
    }
  });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5000; ++i) queue.push(static_cast<Scope>(i % 6), "span");
      });
    }
  }
  EXPECT_TRUE(queue.flush(in(1h)));
  queue.close(in(1h));
  exporter.join();
  const auto stats = queue.stats();
  EXPECT_EQ(stats.recorded, 20'000U);
  EXPECT_EQ(stats.exported + stats.dropped, 20'000U);
}

}  // namespace
}  // namespace codeq::observe
