#include "app/bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace codeq::app {
namespace {

TEST(Histogram, WithoutValuesSaysZero) {
  const Histogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.quantile(0.5), 0);
  EXPECT_EQ(empty.max(), 0);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (int value = 1; value <= 100; ++value) histogram.record(value);
  EXPECT_EQ(histogram.count(), 100U);
  EXPECT_EQ(histogram.quantile(0), 1);
  EXPECT_EQ(histogram.quantile(0.5), 50);
  EXPECT_EQ(histogram.quantile(0.99), 99);
  EXPECT_EQ(histogram.quantile(1), 100);
}

TEST(Histogram, KnowsEveryQuantileToOnePartInAThousand) {
  SeededRng rng(7);
  Histogram histogram;
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<std::int64_t>(rng.next() >> (24 + rng.next() % 40)));  // every magnitude up to 2^40
    histogram.record(values.back());
  }
  std::ranges::sort(values);
  for (const double q : {0.001, 0.25, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = values[static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size()))) - 1];
    EXPECT_GE(histogram.quantile(q), exact) << q;
    EXPECT_LE(static_cast<double>(histogram.quantile(q)), static_cast<double>(exact) * 1.001 + 1) << q;
  }
  EXPECT_EQ(histogram.max(), values.back());
}

TEST(Histogram, TheEndsOfItsRangeAreKept) {
  Histogram histogram;
  histogram.record(-5);
  EXPECT_EQ(histogram.quantile(1), 0);
  const auto huge = std::int64_t{1} << 60;
  histogram.record(huge);
  EXPECT_EQ(histogram.quantile(1), huge);
  for (const std::int64_t edge : {2047, 2048, 2049, 4095, 4096}) {
    Histogram one;
    one.record(edge);
    EXPECT_EQ(one.quantile(0.5), edge);
  }
}

TEST(Histogram, ClearForgetsEverything) {
  Histogram histogram;
  histogram.record(5);
  histogram.clear();
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max(), 0);
}

}  // namespace
}  // namespace codeq::app
