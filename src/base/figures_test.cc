#include "base/figures.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace codeq {
namespace {

constexpr Bounds kSmall(std::to_array<std::int64_t>({1, 2, 5, 100, 101, 1'000'000}));

TEST(Figures, EveryValueFallsIntoTheFirstBucketWhoseBoundItDoesNotPass) {
  for (std::int64_t value = -3; value < 3000; ++value) {
    std::size_t expected = 0;
    while (expected < kSmall.upper.size() && value > kSmall.upper[expected]) ++expected;
    ASSERT_EQ(kSmall.bucket_of(value), expected) << value;
  }
  EXPECT_EQ(kSmall.bucket_of(1'000'000), 5U);
  EXPECT_EQ(kSmall.bucket_of(1'000'001), 6U);
  EXPECT_EQ(kSmall.bucket_of(INT64_MAX), 6U);
  EXPECT_EQ(kSmall.bucket_of(INT64_MIN), 0U);
}

TEST(Figures, AHistogramSumsUpWhatItWasGivenAndTakesNothingBelowZero) {
  Histogram<kSmall> histogram;
  histogram.add_alone(2);
  histogram.add(3, 2);
  histogram.add(-7);
  const auto counts = histogram.read();
  EXPECT_EQ(counts.buckets, (std::vector<std::uint64_t>{1, 1, 2, 0, 0, 0, 0}));
  EXPECT_EQ(counts.sum, 8U);
  EXPECT_EQ(counts.count(), 4U);
}

TEST(Figures, AdditionsOfManyThreadsAllCountWhileSomebodyReads) {
  Histogram<kSmall> histogram;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) histogram.add(2);
        static_cast<void>(histogram.read());
      });
    }
  }
  EXPECT_EQ(histogram.read().count(), 4000U);
}

}  // namespace
}  // namespace codeq
