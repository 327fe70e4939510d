#include "log/local/local_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <functional>
#include <mutex>

#include "log/local/test_folder.h"

namespace codeq::log::local {
namespace {

using Durability = LocalLogOptions::Durability;

LocalLogOptions small(const TestFolder& folder, Disk* disk = nullptr) {
  LocalLogOptions options;
  options.folder = folder.path();
  options.first_segment_bytes = 1024;
  options.segment_bytes = 4096;
  options.disk = disk;
  return options;
}

std::unique_ptr<LocalLog> open_or_fail(const LocalLogOptions& options) {
  auto log = LocalLog::open(options);
  if (!log) {
    ADD_FAILURE() << log.error().message;
    std::abort();
  }
  return *std::move(log);
}

// Counts, and fails where a test says so. Called from the log's threads too.
class ScriptedDisk final : public Disk {
 public:
  ssize_t write_at(int fd, const iovec* parts, int count, std::uint64_t offset) override {
    const std::lock_guard lock(mutex);
    if (on_write) {
      if (const int error = on_write(count); error != 0) {
        errno = error;
        return -1;
      }
    }
    if (count > 1) group_fd = fd;  // segments are prepared one part at a time
    if (log_events && count > 1) events += 'w';
    if (!trickles) return Disk::write_at(fd, parts, count, offset);
    if (writes++ % 3 == 0) {
      errno = EINTR;
      return -1;
    }
    const iovec some{parts->iov_base, std::min<std::size_t>(parts->iov_len, 5)};
    return Disk::write_at(fd, &some, 1, offset);
  }
  int sync_data(int fd) override {
    const std::lock_guard lock(mutex);
    if (fail_sync) {
      errno = EIO;
      return -1;
    }
    if (log_events && fd == group_fd) events += 's';
    return Disk::sync_data(fd);
  }

  std::mutex mutex;
  std::function<int(int parts)> on_write;
  bool log_events = false;
  bool trickles = false;
  bool fail_sync = false;
  int group_fd = -1;
  int writes = 0;
  std::string events;
};

TEST(LocalLog, WritesNoByteOfAGroupBeforeTheOneBeforeItIsSynced) {
  TestFolder folder;
  ScriptedDisk disk;
  LocalLogOptions options = small(folder, &disk);
  options.first_segment_bytes = options.segment_bytes = 1 << 16;
  disk.log_events = true;
  auto log = open_or_fail(options);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(log->append("group"));
  log.reset();
  EXPECT_EQ(disk.events, "wswswswsws");  // the last pair is the mark of the clean stop
}

TEST(LocalLog, SurvivesShortWritesAndInterruptions) {
  TestFolder folder;
  ScriptedDisk disk;
  disk.trickles = true;
  const Groups written = {"first group", std::string(2000, 'b'), "third"};
  {
    auto log = open_or_fail(small(folder, &disk));
    for (const auto& group : written) ASSERT_TRUE(log->append(group));
  }
  Groups groups;
  ASSERT_TRUE(replay_into(*open_or_fail(small(folder)), groups));
  EXPECT_EQ(groups, written);
}

TEST(LocalLog, AFailedSyncIsNeverTriedAgain) {
  TestFolder folder;
  ScriptedDisk disk;
  auto log = open_or_fail(small(folder, &disk));
  ASSERT_TRUE(log->append("kept"));
  {
    const std::lock_guard lock(disk.mutex);
    disk.fail_sync = true;
  }
  const auto failed = log->append("not promised");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kIo);
  {
    const std::lock_guard lock(disk.mutex);
    disk.fail_sync = false;
  }
  EXPECT_FALSE(log->append("later"));
  EXPECT_FALSE(log->sync());
  EXPECT_EQ(log->durable_group(), 1U);
}

TEST(LocalLog, AFullDiskIsToldApartAndTheNextStartWorksOnceThereIsRoom) {
  TestFolder folder;
  ScriptedDisk disk;
  auto log = open_or_fail(small(folder, &disk));
  std::string last(200, 'x');
  ASSERT_TRUE(log->append(last));
  {
    const std::lock_guard lock(disk.mutex);
    disk.on_write = [](int parts) { return parts == 1 ? ENOSPC : 0; };
  }  // new segments only
  std::uint64_t kept = 1;
  Error error{Code::kInternal, ""};
  for (int i = 0; i < 100; ++i) {
    const auto number = log->append(last);
    if (!number) {
      error = number.error();
      break;
    }
    kept = *number;
  }
  EXPECT_EQ(error.code, Code::kDiskFull);
  EXPECT_NE(error.message.find("No space left on device"), std::string::npos) << error.message;
  log.reset();
  Groups groups;
  ASSERT_TRUE(replay_into(*open_or_fail(small(folder)), groups));
  EXPECT_EQ(groups.size(), kept);
}

TEST(LocalLog, TheIntervalThreadSyncsByItself) {
  TestFolder folder;
  LocalLogOptions options = small(folder);
  options.durability = Durability::kInterval;
  options.interval = std::chrono::milliseconds(1);
  auto log = open_or_fail(options);
  ASSERT_TRUE(log->append("group"));
  while (log->durable_group() < 1) std::this_thread::yield();
}

TEST(LocalLog, SyncMakesEverythingDurableInEveryMode) {
  for (const auto durability : {Durability::kSync, Durability::kInterval, Durability::kNone}) {
    TestFolder folder;
    LocalLogOptions options = small(folder);
    options.durability = durability;
    options.interval = std::chrono::hours(1);
    auto log = open_or_fail(options);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(log->append(std::string(100, 'x')));
    ASSERT_TRUE(log->sync());
    EXPECT_EQ(log->durable_group(), 20U);
  }
}

TEST(LocalLog, AFolderInUseIsNotOpenedTwice) {
  TestFolder folder;
  auto log = open_or_fail(small(folder));
  const auto second = LocalLog::open(small(folder));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kUnavailable);
  EXPECT_NE(second.error().message.find("already in use by another process"), std::string::npos);
  log.reset();
  EXPECT_TRUE(LocalLog::open(small(folder)));
}

TEST(LocalLog, AFolderOfSomeoneElseIsLeftUntouched) {
  TestFolder folder;
  std::filesystem::create_directories(folder.path());
  write_file(folder.file("MANIFEST-000001"), "another database");
  const auto log = LocalLog::open(small(folder));
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::kInvalidArgument);
  EXPECT_NE(log.error().message.find("left untouched"), std::string::npos);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(LocalLog, ANewerFormatIsLeftUntouched) {
  TestFolder folder;
  std::filesystem::create_directories(folder.path());
  write_file(folder.file("format"), std::string("CODEQLOG\2\0\0\0 and whatever it has then", 37));
  const auto log = LocalLog::open(small(folder));
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::kInvalidArgument);
  EXPECT_NE(log.error().message.find("the log has format 2, this program knows format 1"), std::string::npos)
      << log.error().message;
  EXPECT_FALSE(std::filesystem::exists(folder.file("lock")));
}

TEST(LocalLog, ACreationThatACrashCutShortIsDoneAgain) {
  TestFolder folder;
  { auto log = open_or_fail(small(folder)); }
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename() != "segment-000000000001" && entry.path().filename() != "lock")
      std::filesystem::remove(entry.path());
  }
  write_file(folder.file("format.tmp"), "CODEQ");
  Groups groups;
  EXPECT_TRUE(replay_into(*open_or_fail(small(folder)), groups));
}

TEST(LocalLog, ARecordIsNotTakenForALeftoverWhenTheFormatFileIsGone) {
  TestFolder folder;
  { ASSERT_TRUE(open_or_fail(small(folder))->append("precious")); }
  std::filesystem::remove(folder.file("format"));
  std::filesystem::remove(folder.file("segment-000000000002"));
  const auto log = LocalLog::open(small(folder));
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::kCorrupt);
}

TEST(LocalLog, ALeftoverOfAPreparationIsRemoved) {
  TestFolder folder;
  { ASSERT_TRUE(open_or_fail(small(folder))->append("one")); }
  write_file(folder.file("segment.tmp"), "half a segment");
  auto log = open_or_fail(small(folder));
  EXPECT_EQ(*log->append("two"), 2U);
}

TEST(LocalLog, OthersMayNotReadIt) {
  TestFolder folder;
  auto log = open_or_fail(small(folder));
  ASSERT_TRUE(log->append("secret"));
  struct stat status{};
  ASSERT_EQ(::stat(folder.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  for (const char* name : {"format", "lock", "segment-000000000001"}) {
    ASSERT_EQ(::stat(folder.file(name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << name;
  }
}

TEST(LocalLog, AGroupLargerThanASegmentGetsOneOfItsOwn) {
  TestFolder folder;
  const Groups written = {"small", std::string(50'000, 'L'), "small again", std::string(9'000, 'M')};
  {
    auto log = open_or_fail(small(folder));
    for (const auto& group : written) ASSERT_TRUE(log->append(group));
  }
  Groups groups;
  ASSERT_TRUE(replay_into(*open_or_fail(small(folder)), groups));
  EXPECT_EQ(groups, written);
}

TEST(LocalLog, OptionsThatTheFormatCannotHoldAreRefused) {
  TestFolder folder;
  LocalLogOptions options = small(folder);
  options.segment_bytes = kSegmentBytesMax;
  EXPECT_EQ(LocalLog::open(options).error().code, Code::kInvalidArgument);
  options = small(folder);
  options.first_segment_bytes = 8;
  EXPECT_EQ(LocalLog::open(options).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace codeq::log::local
