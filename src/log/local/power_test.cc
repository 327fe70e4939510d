// The log on a disk that fails: power cuts, failing calls, a full disk, flipped bits.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include "base/rng.h"
#include "disk/sim_disk.h"
#include "log/local/local_log.h"

namespace codeq::log::local {
namespace {

using disk::SimDisk;

std::uint64_t from_env(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A log, and what it has promised so far, over any number of processes on one disk.
struct Life {
  SimDisk disk;
  LocalLogOptions options;
  std::unique_ptr<LocalLog> log;
  std::uint64_t attempted = 0;     // groups handed to append
  std::uint64_t acknowledged = 0;  // groups that were said to be kept
  std::uint64_t needed_after = 0;  // groups up to here will never be asked for
  std::uint64_t salt = 0;          // of groups whose append failed: the same number may come again with other bytes
  std::map<std::uint64_t, std::string> bytes;

  explicit Life(std::uint64_t segment_bytes = 4096) {
    options.folder = "/data/log";
    options.first_segment_bytes = options.segment_bytes = segment_bytes;
    options.prepare_ahead = false;
    options.disk = &disk;
  }

  Result<void> open() {
    log.reset();
    CODEQ_TRY(log, LocalLog::open(options));
    std::uint64_t last = needed_after;
    CODEQ_TRY_VOID(log->replay(needed_after, [&](std::uint64_t group, std::string_view records) -> Result<void> {
      EXPECT_EQ(group, last + 1);
      last = group;
      EXPECT_EQ(records, bytes[group]) << "group " << group;
      return {};
    }));
    EXPECT_GE(last, acknowledged) << "what was acknowledged is gone";
    EXPECT_LE(last, attempted) << "a group that nobody wrote";
    attempted = acknowledged = last;  // from now on it is kept: this start may have told somebody
    return {};
  }

  bool append(Rng& rng) {
    const auto group = ++attempted;
    bytes[group] = std::string(rng.next() % 900, static_cast<char>('a' + rng.next() % 26)) + std::to_string(++salt);
    const auto kept = log->append(bytes[group]);
    if (!kept) return false;
    EXPECT_EQ(*kept, group);
    acknowledged = group;
    return true;
  }

  void release(Rng& rng) {
    needed_after += rng.next() % (acknowledged - needed_after + 1);
    log->release(needed_after);
  }
};

TEST(LogPower, ACutAtAnyMomentKeepsWhatWasAcknowledged) {
  const auto histories = from_env("CODEQ_HISTORIES", 1000);
  const auto base = from_env("CODEQ_SEED", 1);
  std::uint64_t cuts = 0, in_recovery = 0;
  for (std::uint64_t seed = base; seed < base + (std::getenv("CODEQ_SEED") != nullptr ? 1 : histories); ++seed) {
    SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
    SeededRng rng(seed);
    Life life(rng.next() % 2 == 0 ? 2048 : 8192);
    for (int process = 0; process < 6; ++process) {
      life.disk.power_off_at(1 + rng.next() % (process == 0 ? 60 : 120));
      if (life.open()) {
        while (life.append(rng))
          if (rng.next() % 5 == 0) life.release(rng);
      } else {
        ++in_recovery;
      }
      ASSERT_TRUE(life.disk.is_off());
      ++cuts;
      life.log.reset();
      life.disk.power_cut(rng);
    }
    auto opened = life.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    const auto kept = life.acknowledged;
    ASSERT_TRUE(life.append(rng));
    auto again = life.open();
    ASSERT_TRUE(again.has_value()) << again.error().message;
    ASSERT_EQ(life.acknowledged, kept + 1);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu power cuts, %llu of them during a start\n", static_cast<unsigned long long>(cuts),
              static_cast<unsigned long long>(in_recovery));
}

// The same life, failing at its first changing call, its second, ... until nothing fails any more.
TEST(LogPower, AfterTheNthCallFailsNothingIsAcknowledgedAndTheNextStartIsClean) {
  for (const int error : {EIO, ENOSPC}) {
    std::uint64_t nth = 0, failures = 0;
    for (bool failed = true; failed;) {
      ++nth;
      SCOPED_TRACE("call " + std::to_string(nth) + " fails with errno " + std::to_string(error));
      Life life(2048);
      SeededRng rng(7);
      life.disk.fail_nth(nth, error);
      bool good = life.open().has_value();
      for (int i = 0; good && i < 30; ++i) {
        good = life.append(rng);
        if (good && i % 3 == 0) life.release(rng);
      }
      failed = life.disk.failed_calls() > 0;
      if (!good) {
        ASSERT_TRUE(failed);
        ++failures;
        if (life.log) {
          const auto after = life.log->append("after the failure");
          ASSERT_FALSE(after.has_value());  // not even where the call would work again
          EXPECT_EQ(after.error().code, error == EIO ? Code::kIo : Code::kDiskFull);
        }
      }
      life.log.reset();
      life.disk.heal();
      auto opened = life.open();
      ASSERT_TRUE(opened.has_value()) << opened.error().message;
      ASSERT_TRUE(life.append(rng));
    }
    std::printf("errno %d: %llu calls failed one by one, %llu of them ended the log\n", error,
                static_cast<unsigned long long>(nth - 1), static_cast<unsigned long long>(failures));
    EXPECT_GT(failures, 10U);
  }
}

TEST(LogPower, AFailedSyncFollowedByAPowerCutLosesNothingAcknowledged) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRng rng(seed);
    Life life;
    ASSERT_TRUE(life.open().has_value());
    life.disk.fail_nth(SimDisk::Call::kSync, 1 + rng.next() % 20, EIO);
    while (life.append(rng)) {
    }
    life.log.reset();
    life.disk.heal();
    // The process starts again on the same boot: the pages look clean, and it may acknowledge what they hold.
    auto opened = life.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    life.log.reset();
    life.disk.power_cut(rng);
    opened = life.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
  }
}

TEST(LogPower, ShortWritesAndAFullDiskAreNoHarm) {
  SeededRng rng(3);
  Life life;
  life.disk.set_short_writes(true);
  ASSERT_TRUE(life.open().has_value());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(life.append(rng));
  life.disk.set_capacity(life.disk.used_bytes() + 5000);
  while (life.append(rng)) {
  }
  EXPECT_EQ(life.log->append("x").error().code, Code::kDiskFull);
  life.log.reset();
  life.disk.heal();
  auto opened = life.open();
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(life.append(rng));
}

TEST(LogPower, AFlippedBitIsRefusedWithFileAndPlaceOrWasInNobodysBytes) {
  std::uint64_t refused = 0, harmless = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRng rng(seed);
    Life life(2048);
    ASSERT_TRUE(life.open().has_value());
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(life.append(rng));
    life.release(rng);
    life.log.reset();  // a clean stop: the last group is marked durable
    const auto files = life.disk.files();
    const auto& file = files[rng.next() % files.size()];
    if (!life.disk.flip_bit(file, rng.next() % 2048, static_cast<unsigned>(rng.next() % 8))) continue;
    auto opened = life.open();  // compares every group it is given
    if (opened) {
      ++harmless;
    } else {
      EXPECT_EQ(opened.error().code == Code::kCorrupt || opened.error().code == Code::kInvalidArgument, true);
      EXPECT_NE(opened.error().message.find("/data/log/"), std::string::npos) << opened.error().message;
      EXPECT_NE(opened.error().message.find("byte"), std::string::npos) << opened.error().message;
      ++refused;
    }
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu flips refused, %llu in unused bytes\n", static_cast<unsigned long long>(refused),
              static_cast<unsigned long long>(harmless));
  EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace codeq::log::local
