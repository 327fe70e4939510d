#include "core/rfc3339.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "base/clock.h"
#include "base/rng.h"

namespace codeq::core {
namespace {

constexpr std::int64_t kDay = 86'400 * kNanosPerSecond;

std::string nanos(std::int64_t ns, int offset_seconds = 0) {
  std::string out;
  append_rfc3339_nanos(out, ns, offset_seconds);
  return out;
}
std::string seconds(std::int64_t ns) {
  std::string out;
  append_rfc3339_seconds(out, ns);
  return out;
}

TEST(Rfc3339, IsWrittenInUtcWithAsManyDigitsAsNeeded) {
  EXPECT_EQ(nanos(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(nanos(1'700'000'000 * kNanosPerSecond), "2023-11-14T22:13:20Z");
  EXPECT_EQ(nanos(1'700'000'000 * kNanosPerSecond + 120'000'000), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(nanos(1), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(nanos(100), "1970-01-01T00:00:00.0000001Z");
  EXPECT_EQ(nanos(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(nanos(std::numeric_limits<std::int64_t>::max()), "2262-04-11T23:47:16.854775807Z");
  EXPECT_EQ(nanos(std::numeric_limits<std::int64_t>::min()), "1677-09-21T00:12:43.145224192Z");
}

TEST(Rfc3339, IsWrittenWithTheOffsetOfAZone) {
  EXPECT_EQ(nanos(0, -3 * 3600), "1969-12-31T21:00:00-03:00");
  EXPECT_EQ(nanos(500'000'000, 5 * 3600 + 30 * 60), "1970-01-01T05:30:00.5+05:30");
  EXPECT_EQ(nanos(0, 14 * 3600), "1970-01-01T14:00:00+14:00");
  EXPECT_EQ(nanos(0, -(30 * 60)), "1969-12-31T23:30:00-00:30");
}

TEST(Rfc3339, WholeSecondsAreRoundedDown) {
  EXPECT_EQ(seconds(1'999'999'999), "1970-01-01T00:00:01Z");
  EXPECT_EQ(seconds(-1), "1969-12-31T23:59:59Z");
}

TEST(Rfc3339, IsReadWithAnyOffsetAndFraction) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_rfc3339("2023-11-14T22:13:20.12Z"), 1'700'000'000 * kNanosPerSecond + 120'000'000);
  EXPECT_EQ(parse_rfc3339("1970-01-01T05:30:00+05:30"), 0);
  EXPECT_EQ(parse_rfc3339("1969-12-31T21:00:00.5-03:00"), 500'000'000);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00-00:00"), 0);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.0000000019Z"), 1);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00." + std::string(100, '9') + "Z"), 999'999'999);
  EXPECT_EQ(parse_rfc3339("1969-12-31T23:59:59.999999999Z"), -1);
}

TEST(Rfc3339, KnowsTheLeapDays) {
  EXPECT_EQ(parse_rfc3339("2024-02-29T00:00:00Z").value() + kDay, parse_rfc3339("2024-03-01T00:00:00Z"));
  EXPECT_TRUE(parse_rfc3339("2000-02-29T00:00:00Z").has_value());
  EXPECT_FALSE(parse_rfc3339("2023-02-29T00:00:00Z").has_value());
  EXPECT_FALSE(parse_rfc3339("2100-02-29T00:00:00Z").has_value());
  EXPECT_FALSE(parse_rfc3339("2024-02-30T00:00:00Z").has_value());
  EXPECT_FALSE(parse_rfc3339("2024-04-31T00:00:00Z").has_value());
}

TEST(Rfc3339, OfAnyOtherFormIsRefused) {
  for (const std::string_view text : {"",
                                      "x",
                                      "2024-01-01",
                                      "2024-01-01T00:00:00",
                                      "2024-01-01 00:00:00Z",
                                      "2024-01-01t00:00:00Z",
                                      "2024-01-01T00:00:00z",
                                      "2024-01-01T00:00:00.Z",
                                      "2024-01-01T00:00:00,5Z",
                                      "2024-01-01T00:00Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:60:00Z",
                                      "2024-01-01T23:59:60Z",
                                      "2024-00-01T00:00:00Z",
                                      "2024-13-01T00:00:00Z",
                                      "2024-01-00T00:00:00Z",
                                      "2024-01-32T00:00:00Z",
                                      "24-01-01T00:00:00Z",
                                      "02024-01-01T00:00:00Z",
                                      "2024-1-01T00:00:00Z",
                                      "2024-01-01T0:00:00Z",
                                      "2024-01-01T00:00:00+0300",
                                      "2024-01-01T00:00:00+03",
                                      "2024-01-01T00:00:00+24:00",
                                      "2024-01-01T00:00:00+03:60",
                                      "2024-01-01T00:00:00Z+03:00",
                                      "2024-01-01T00:00:00ZZ",
                                      " 2024-01-01T00:00:00Z",
                                      "2024-01-01T00:00:00Z ",
                                      "-024-01-01T00:00:00Z",
                                      "2024-01-01T00:00:-1Z",
                                      "1704067200",
                                      "2024-01-01T00:00:00+-3:00"}) {
    EXPECT_FALSE(parse_rfc3339(text).has_value()) << text;
  }
}

TEST(Rfc3339, FarAwayTimesBecomeTheFarthestWeKnow) {
  EXPECT_EQ(parse_rfc3339("9999-12-31T23:59:59Z"), kTimeMaxNs);
  EXPECT_EQ(parse_rfc3339("2262-01-01T00:00:00Z"), kTimeMaxNs);
  EXPECT_EQ(parse_rfc3339("2262-01-01T00:00:00.000000001Z"), kTimeMaxNs);
  EXPECT_EQ(parse_rfc3339("2261-12-31T23:59:59.999999999Z"), kTimeMaxNs - 1);
  EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z"), kTimeMinNs);
  EXPECT_EQ(parse_rfc3339("0000-01-01T00:00:00+23:59"), kTimeMinNs);
  EXPECT_EQ(parse_rfc3339("1678-01-01T00:00:00Z"), kTimeMinNs);
  EXPECT_EQ(nanos(kTimeMinNs), "1678-01-01T00:00:00Z");
  EXPECT_EQ(nanos(kTimeMaxNs), "2262-01-01T00:00:00Z");
}

TEST(Rfc3339, EveryDayOfSixCenturiesFollowsTheOneBefore) {
  unsigned year = 1678;
  unsigned month = 1;
  unsigned day = 1;
  for (auto ns = kTimeMinNs; ns <= kTimeMaxNs; ns += kDay) {
    const auto text = nanos(ns);
    std::string expected = std::to_string(year) + (month < 10 ? "-0" : "-") + std::to_string(month) +
                           (day < 10 ? "-0" : "-") + std::to_string(day);
    ASSERT_EQ(text, expected + "T00:00:00Z");
    ASSERT_EQ(parse_rfc3339(text), ns);
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const unsigned last = month == 2                                              ? (leap ? 29 : 28)
                          : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                                  : 31;
    if (++day > last) {
      day = 1;
      if (++month > 12) {
        month = 1;
        ++year;
      }
    }
  }
}

TEST(Rfc3339, ReadsBackWhatItWroteInAnyZone) {
  SeededRng rng(5);
  for (int i = 0; i < 20'000; ++i) {
    const auto ns = kTimeMinNs + static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(kTimeMaxNs)) * 2;
    const auto offset = (static_cast<int>(rng.next() % 1680) - 840) * 60;
    ASSERT_EQ(parse_rfc3339(nanos(ns, offset)), std::min(ns, kTimeMaxNs));
  }
}

}  // namespace
}  // namespace codeq::core
