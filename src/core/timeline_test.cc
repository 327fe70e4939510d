#include "core/timeline.h"

#include <gtest/gtest.h>

namespace codeq::core {
namespace {

Event numbered(std::uint32_t n) {
  Event event;
  event.kind = EventKind::kHeartbeat;
  event.start_ns = n;
  return event;
}

Timeline of(std::uint32_t count) {
  Timeline timeline;
  for (std::uint32_t n = 0; n < count; ++n) EXPECT_EQ(timeline.add(numbered(n)), n);
  return timeline;
}

TEST(Timeline, KeepsEverythingOfAnOrdinaryTaskInOrder) {
  for (const std::uint32_t count : {0U, 1U, 31U, 32U, 33U, 63U, 64U}) {
    const auto events = of(count).events();
    ASSERT_EQ(events.size(), count);
    for (std::uint32_t n = 0; n < count; ++n) EXPECT_EQ(events[n].start_ns, n);
    EXPECT_EQ(of(count).dropped(), 0U);
  }
}

TEST(Timeline, OfAVeryLongLifeKeepsTheBeginningAndTheEndInOrderAndCountsTheRest) {
  for (const std::uint32_t count : {65U, 70U, 95U, 96U, 97U, 1000U}) {
    const auto timeline = of(count);
    const auto events = timeline.events();
    ASSERT_EQ(events.size(), kEventsPerTask);
    EXPECT_EQ(timeline.dropped(), count - kEventsPerTask);
    for (std::uint32_t n = 0; n < 32; ++n) {
      EXPECT_EQ(events[n].start_ns, n);
      EXPECT_EQ(events[32 + n].start_ns, count - 32 + n);
    }
  }
}

TEST(Timeline, FindsAKeptEventByItsOrdinalAndNoOther) {
  for (const std::uint32_t count : {5U, 32U, 40U, 64U, 65U, 97U, 200U}) {
    auto timeline = of(count);
    for (std::uint32_t n = 0; n < count + 70; ++n) {
      const bool kept = n < count && (n < 32 || n + 32 >= count);
      auto* event = timeline.find(n);
      ASSERT_EQ(event != nullptr, kept) << n << " of " << count;
      if (kept) { EXPECT_EQ(event->start_ns, n); }
    }
  }
}

TEST(Timeline, AnEventThatIsFoundCanBeEnded) {
  auto timeline = of(100);
  timeline.find(99)->end_ns = 123;
  EXPECT_EQ(timeline.events().back().end_ns, 123);
}

TEST(Event, ComparesWorkersByTheirNameAndNotByWhereItIsStored) {
  auto a = numbered(1);
  auto b = numbered(1);
  a.worker = std::make_shared<const std::string>("w");
  b.worker = std::make_shared<const std::string>("w");
  EXPECT_EQ(a, b);
  b.worker = std::make_shared<const std::string>("v");
  EXPECT_NE(a, b);
  b.worker = nullptr;
  EXPECT_NE(a, b);
  EXPECT_EQ(numbered(1), numbered(1));
  EXPECT_NE(numbered(1), numbered(2));
}

}  // namespace
}  // namespace codeq::core
