// Segments that nobody needs are used again: the folder stays small, and what is in the log is never in doubt.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/rng.h"
#include "log/local/local_log.h"
#include "log/local/test_folder.h"

namespace codeq::log::local {
namespace {

struct Recycling {
  TestFolder folder;
  HastyDisk disk;
  std::unique_ptr<LocalLog> log;

  LocalLogOptions options(const TestFolder& in) {
    LocalLogOptions o;
    o.folder = in.path();
    o.first_segment_bytes = o.segment_bytes = 4096;
    o.disk = &disk;
    return o;
  }
  Result<std::vector<std::uint64_t>> open(const TestFolder& in, std::uint64_t after) {
    log.reset();
    auto opened = LocalLog::open(options(in));
    if (!opened) return std::unexpected<Error>(opened.error());
    log = *std::move(opened);
    std::vector<std::uint64_t> groups;
    auto replayed = log->replay(after, [&](std::uint64_t group, std::string_view records) -> Result<void> {
      EXPECT_EQ(records, payload(group));
      groups.push_back(group);
      return {};
    });
    if (!replayed) return std::unexpected<Error>(replayed.error());
    return groups;
  }
  static std::string payload(std::uint64_t group) { return std::string(100 + group % 700, static_cast<char>('a' + group % 26)); }
  [[nodiscard]] std::uint64_t folder_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      std::error_code gone;
      const auto size = entry.file_size(gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
};

TEST(LogRecycling, AnHourOfRecordsStaysWithinAHandfulOfSegments) {
  Recycling r;
  ASSERT_TRUE(r.open(r.folder, 0).has_value());
  std::uint64_t most = 0;
  for (std::uint64_t group = 1; group <= 36'000; ++group) {  // ten groups a second for an hour: 2,200 segments
    ASSERT_EQ(*r.log->append(Recycling::payload(group)), group);
    if (group > 20) r.log->release(group - 20);
    if (group % 100 == 0) most = std::max(most, r.folder_bytes());
  }
  // Twenty groups: at most five segments with the active one; one spare, one released, one on the way.
  EXPECT_LE(most, 4096U * 9);
  r.log.reset();
  const auto after = r.open(r.folder, 36'000 - 20);
  ASSERT_TRUE(after.has_value()) << after.error().message;
  ASSERT_EQ(after->size(), 20U);
  EXPECT_EQ(after->front(), 36'000U - 19);
}

TEST(LogRecycling, WhatIsNotThereAnyMoreIsSaidAndNotSkipped) {
  Recycling r;
  ASSERT_TRUE(r.open(r.folder, 0).has_value());
  for (std::uint64_t group = 1; group <= 200; ++group) {
    ASSERT_TRUE(r.log->append(Recycling::payload(group)).has_value());
    r.log->release(group);
  }
  r.log.reset();
  const auto missing = r.open(r.folder, 5);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, Code::kCorrupt);
  EXPECT_NE(missing.error().message.find("groups 6 to"), std::string::npos) << missing.error().message;
  const auto beyond = r.open(r.folder, 201);
  ASSERT_FALSE(beyond.has_value());
  EXPECT_NE(beyond.error().message.find("ends with group 200"), std::string::npos) << beyond.error().message;
  EXPECT_TRUE(r.open(r.folder, 200).has_value());
  EXPECT_EQ(*r.log->append("next"), 201U);
}

// The files as a killed process leaves them, at any moment of a random life.
TEST(LogRecycling, KilledAtAnyMomentTheLogHasEveryGroupThatWasNotReleased) {
  const char* chosen = std::getenv("CODEQ_SEED");
  const std::uint64_t base = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  for (std::uint64_t seed = base; seed < base + (chosen != nullptr ? 1 : 40); ++seed) {
    SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
    SeededRng rng(seed);
    Recycling r;
    ASSERT_TRUE(r.open(r.folder, 0).has_value());
    std::uint64_t last = 0, released = 0;
    for (int step = 0; step < 300; ++step) {
      ASSERT_TRUE(r.log->append(Recycling::payload(++last)).has_value());
      if (rng.next() % 4 == 0) r.log->release(released = released + rng.next() % (last - released + 1));
      if (rng.next() % 60 != 0) continue;
      // The preparer may be at work: a copy is not of one moment, so stop it first, and leave what it was at.
      r.log.reset();
      const auto groups = r.open(r.folder, released);
      ASSERT_TRUE(groups.has_value()) << groups.error().message;
      ASSERT_EQ(groups->size(), last - released);
      for (std::size_t i = 0; i < groups->size(); ++i) ASSERT_EQ((*groups)[i], released + 1 + i);
    }
  }
}

}  // namespace
}  // namespace codeq::log::local
