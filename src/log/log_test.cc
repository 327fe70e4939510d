// What every log promises, asked of every log.
#include "log/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/local/local_log.h"
#include "log/local/test_folder.h"
#include "log/memory/memory_log.h"

namespace codeq::log {
namespace {

using local::Groups;
using local::replay_into;

constexpr std::size_t kGroupBytesMax = 4096;

// A place where a log lives, which can be opened again and told to fail.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::unique_ptr<Log> open() = 0;
  virtual void fail_next_append() = 0;
};

class MemoryPlace final : public Place {
 public:
  std::unique_ptr<Log> open() override { return std::make_unique<MemoryLog>(disk_, kGroupBytesMax); }
  void fail_next_append() override { disk_->fail_append = disk_->appends + 1; }

 private:
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

class LocalPlace final : public Place {
 public:
  explicit LocalPlace(LocalLogOptions::Durability durability) : durability_(durability) {}

  std::unique_ptr<Log> open() override {
    LocalLogOptions options;
    options.folder = folder_.path();
    options.durability = durability_;
    options.first_segment_bytes = 512;  // so that every test crosses borders
    options.segment_bytes = 2048;
    options.group_bytes_max = kGroupBytesMax;
    options.disk = &disk_;
    auto log = LocalLog::open(options);
    if (!log) {
      ADD_FAILURE() << log.error().message;
      return nullptr;
    }
    return *std::move(log);
  }
  void fail_next_append() override { disk_.fails = true; }

 private:
  struct FailingDisk final : local::Disk {
    ssize_t write_at(int fd, const iovec* parts, int count, std::uint64_t offset) override {
      if (!fails) return Disk::write_at(fd, parts, count, offset);
      errno = EIO;
      return -1;
    }
    std::atomic<bool> fails = false;
  };

  local::TestFolder folder_;
  LocalLogOptions::Durability durability_;
  FailingDisk disk_;
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Place>()> make;
};

class EveryLog : public ::testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<Place> place_ = GetParam().make();
};

std::string group_text(std::size_t number) { return std::to_string(number) + std::string(number * 7 % 200, 'x'); }

TEST_P(EveryLog, IsEmptyAtFirstAndStaysSo) {
  Groups groups;
  ASSERT_TRUE(replay_into(*place_->open(), groups));
  EXPECT_TRUE(groups.empty());
  ASSERT_TRUE(replay_into(*place_->open(), groups));
  EXPECT_TRUE(groups.empty());
}

TEST_P(EveryLog, GivesBackWhatWasAppendedInOrderAndByteForByte) {
  const Groups written = {"one", "", std::string("\0\xff\n", 3), std::string(kGroupBytesMax, 'L'), "last"};
  auto log = place_->open();
  for (std::size_t i = 0; i < written.size(); ++i) {
    const auto number = log->append(written[i]);
    ASSERT_TRUE(number) << number.error().message;
    EXPECT_EQ(*number, i + 1);
  }
  ASSERT_TRUE(log->sync());
  log.reset();

  Groups groups;
  ASSERT_TRUE(replay_into(*place_->open(), groups));
  EXPECT_EQ(groups, written);
}

TEST_P(EveryLog, GoesOnCountingAfterEveryRestart) {
  Groups written;
  Groups groups;
  for (int start = 0; start < 20; ++start) {
    auto log = place_->open();
    ASSERT_TRUE(replay_into(*log, groups));
    ASSERT_EQ(groups, written);
    for (int i = 0; i < 5; ++i) {
      written.push_back(group_text(written.size()));
      ASSERT_EQ(*log->append(written.back()), written.size());
    }
  }
}

TEST_P(EveryLog, AppendsWithoutAReplayBehindWhatIsThere) {
  ASSERT_EQ(*place_->open()->append("first"), 1U);
  ASSERT_EQ(*place_->open()->append("second"), 2U);
  Groups groups;
  ASSERT_TRUE(replay_into(*place_->open(), groups));
  EXPECT_EQ(groups, (Groups{"first", "second"}));
}

TEST_P(EveryLog, RefusesAGroupOverTheBoundAndGoesOn) {
  auto log = place_->open();
  ASSERT_TRUE(log->append("before"));
  const auto refused = log->append(std::string(kGroupBytesMax + 1, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(*log->append("after"), 2U);
}

TEST_P(EveryLog, IsUnusableAfterAFailedAppendUntilTheNextStart) {
  auto log = place_->open();
  ASSERT_EQ(*log->append("kept"), 1U);
  place_->fail_next_append();
  const auto failed = log->append("lost");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kIo);
  const auto again = log->append("later");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, failed.error().message);
  EXPECT_FALSE(log->sync());
}

TEST_P(EveryLog, HandsOnTheErrorOfTheOneWhoReads) {
  auto log = place_->open();
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(log->append(text));
  log.reset();
  log = place_->open();
  int seen = 0;
  const auto stopped = log->replay(0, [&](std::uint64_t, std::string_view) -> Result<void> {
    if (++seen == 2) return fail(Code::kCorrupt, "an unknown record");
    return {};
  });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "an unknown record");
  EXPECT_EQ(seen, 2);
  EXPECT_FALSE(log->append("d"));  // nobody may write behind a log that was not understood
}

TEST_P(EveryLog, IsReplayedOnce) {
  auto log = place_->open();
  Groups groups;
  ASSERT_TRUE(replay_into(*log, groups));
  EXPECT_FALSE(replay_into(*log, groups));
}

using Durability = LocalLogOptions::Durability;
INSTANTIATE_TEST_SUITE_P(
    Log, EveryLog,
    ::testing::Values(Kind{"memory", [] { return std::make_unique<MemoryPlace>(); }},
                      Kind{"localSync", [] { return std::make_unique<LocalPlace>(Durability::kSync); }},
                      Kind{"localInterval", [] { return std::make_unique<LocalPlace>(Durability::kInterval); }},
                      Kind{"localNone", [] { return std::make_unique<LocalPlace>(Durability::kNone); }}),
    [](const auto& test) { return test.param.name; });

TEST(MemoryLog, FailsTheAppendItWasToldToAndTheNextLogGoesOnWithTheRest) {
  auto disk = std::make_shared<MemoryDisk>();
  disk->fail_append = 2;
  disk->fail_code = Code::kDiskFull;
  MemoryLog first(disk);
  ASSERT_TRUE(first.append("one"));
  EXPECT_EQ(first.append("two").error().code, Code::kDiskFull);
  MemoryLog second(disk);
  EXPECT_EQ(*second.append("two again"), 2U);
}

}  // namespace
}  // namespace codeq::log
