#include "base/clock.h"

#include <gtest/gtest.h>

namespace codeq {
namespace {

TEST(SystemClock, KnowsTheCenturyTheBootAndNeverGoesBack) {
  SystemClock clock;
  EXPECT_GT(clock.wall_ns(), 1'700'000'000 * kNanosPerSecond);
  EXPECT_FALSE(clock.boot_id().empty());
  EXPECT_EQ(clock.boot_id(), clock.boot_id());
  const auto before = clock.steady_ns();
  EXPECT_GE(clock.steady_ns(), before);
}

TEST(ManualClock, MovesOnlyByHandAndAClockStepMovesOnlyTheWall) {
  ManualClock clock(100);
  const auto steady = clock.steady_ns();
  clock.advance_ns(5);
  EXPECT_EQ(clock.wall_ns(), 105);
  EXPECT_EQ(clock.steady_ns(), steady + 5);
  clock.step_wall_ns(-50);
  EXPECT_EQ(clock.wall_ns(), 55);
  EXPECT_EQ(clock.steady_ns(), steady + 5);
  clock.reboot("boot-2");
  EXPECT_EQ(clock.boot_id(), "boot-2");
  EXPECT_LT(clock.steady_ns(), steady + 5);
}

}  // namespace
}  // namespace codeq
