// A small log, cut and flipped at every byte: it comes back exactly, or it is refused with file and offset. Nothing else.
#include "log/local/recovery.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "log/local/test_folder.h"

namespace codeq::log::local {
namespace {

constexpr std::uint64_t kSegmentBytes = 448;
using Durability = LocalLogOptions::Durability;

class Recovery : public ::testing::Test {
 protected:
  Result<std::unique_ptr<LocalLog>> open(const TestFolder& folder, Durability durability = Durability::kSync) {
    LocalLogOptions options;
    options.folder = folder.path();
    options.durability = durability;
    options.interval = std::chrono::hours(1);
    options.first_segment_bytes = options.segment_bytes = kSegmentBytes;
    options.disk = &hasty_;
    return LocalLog::open(options);
  }

  Result<void> reopen(const TestFolder& folder, Groups& groups) {
    CODEQ_TRY(const auto log, open(folder));
    return replay_into(*log, groups);
  }

  // Three segments of groups, then the files as a killed process leaves them (in `broken_`) or after a clean stop.
  Groups write_log(bool killed, Durability durability = Durability::kSync, int count = 12) {
    Groups written;
    auto log = open(whole_, durability);
    for (int i = 1; i <= count; ++i) {
      written.push_back(std::string(1, static_cast<char>('a' + i)) + std::string(static_cast<std::size_t>(i * 3), 'x'));
      EXPECT_TRUE((*log)->append(written.back()));
    }
    // Four groups to a segment; the one behind them comes from a thread of the log's own.
    const auto spare = whole_.file("segment-00000000000" + std::to_string(count / 4 + 1));
    while (!std::filesystem::exists(spare)) std::this_thread::yield();
    if (!killed) log->reset();
    saved_.become_copy_of(whole_);
    return written;
  }

  std::vector<std::string> segments() const {
    std::vector<std::string> names;
    for (std::size_t i = 1; std::filesystem::exists(saved_.file("segment-00000000000" + std::to_string(i))); ++i) {
      names.push_back("segment-00000000000" + std::to_string(i));
    }
    return names;
  }

  void expect_refusal(const Result<void>& result, const std::string& name) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kCorrupt);
    EXPECT_NE(result.error().message.find(name), std::string::npos) << result.error().message;
    EXPECT_NE(result.error().message.find("byte "), std::string::npos) << result.error().message;
  }

  // Whoever lives on after a damage must keep living: one more group, one more start.
  void expect_to_go_on(const TestFolder& folder, Groups groups) {
    groups.push_back("after");
    {
      auto log = open(folder);
      ASSERT_TRUE(log);
      ASSERT_EQ(*(*log)->append("after"), groups.size());
    }
    Groups found;
    ASSERT_TRUE(reopen(folder, found));
    ASSERT_EQ(found, groups);
  }

  HastyDisk hasty_;
  TestFolder whole_;
  TestFolder saved_;
  TestFolder broken_;
};

TEST_F(Recovery, AFileThatIsCutAnywhereIsRefusedByName) {
  write_log(true);
  for (const std::string& name : segments()) {
    const std::string bytes = read_file(saved_.file(name));
    broken_.become_copy_of(saved_);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      write_file(broken_.file(name), std::string_view(bytes).substr(0, cut));
      Groups groups;
      expect_refusal(reopen(broken_, groups), name);
    }
  }
}

// Pre-written files are not cut by a power failure: what never reached the disk reads as the zeros from before.
TEST_F(Recovery, APowerCutAtAnyByteKeepsEveryGroupThatWasWholeByThen) {
  const Groups written = write_log(true);
  const auto names = segments();
  ASSERT_GE(names.size(), 4U);  // the last one is prepared and empty
  std::size_t whole_groups = 0;
  Position position{0, 0, 0, false};
  for (std::size_t at = 0; at < names.size(); ++at) {
    const std::string bytes = read_file(saved_.file(names[at]));
    const FolderId id = parse_format_file(read_file(saved_.file("format")))->folder;
    if (at == 0) position.chain = folder_seed(id);
    std::vector<std::uint64_t> payload_ends;
    scan_segment(bytes, {id, at + 1}, kSegmentHeaderBytes, position, [&](const Entry& entry) {
      payload_ends.push_back(entry.header.offset + kEntryHeaderBytes + entry.payload.size());
      return true;
    });
    for (std::size_t cut = kSegmentHeaderBytes; cut < bytes.size(); ++cut) {
      broken_.become_copy_of(saved_);
      std::string torn = bytes;
      std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
      write_file(broken_.file(names[at]), torn);
      for (std::size_t later = at + 1; later < names.size(); ++later) {
        std::string empty = read_file(saved_.file(names[later]));
        std::fill(empty.begin() + kSegmentHeaderBytes, empty.end(), '\0');
        write_file(broken_.file(names[later]), empty);
      }
      std::size_t kept = whole_groups;
      for (const auto end : payload_ends) kept += end <= cut ? 1 : 0;
      Groups groups;
      const auto result = reopen(broken_, groups);
      ASSERT_TRUE(result) << result.error().message;
      ASSERT_EQ(groups, Groups(written.begin(), written.begin() + static_cast<std::ptrdiff_t>(kept)))
          << names[at] << " cut at " << cut;
      if (cut % 16 == 5) expect_to_go_on(broken_, groups);
    }
    whole_groups += payload_ends.size();
  }
  EXPECT_EQ(whole_groups, written.size());
}

TEST_F(Recovery, AfterACleanStopAFlippedByteAnywhereIsHarmlessOrRefused) {
  const Groups written = write_log(false);
  int refused = 0;
  for (const std::string& name : segments()) {
    std::string bytes = read_file(saved_.file(name));
    for (char& byte : bytes) {
      broken_.become_copy_of(saved_);
      byte = static_cast<char>(~byte);
      write_file(broken_.file(name), bytes);
      byte = static_cast<char>(~byte);
      Groups groups;
      const auto result = reopen(broken_, groups);
      if (!result) {
        ++refused;
        expect_refusal(result, name);
      } else {
        ASSERT_EQ(groups, written) << name << " byte " << (&byte - bytes.data());
      }
    }
  }
  EXPECT_GT(refused, 12 * static_cast<int>(kEntryHeaderBytes));  // every byte of every header, for a start
}

// After a kill only the newest group has no header behind it that vouches for it: its damage looks like its own torn write.
TEST_F(Recovery, AfterAKillAFlippedByteIsHarmlessOrRefusedOrCostsTheUnvouchedGroupAlone) {
  const Groups written = write_log(true);
  const Groups but_last(written.begin(), written.end() - 1);
  int dropped = 0;
  for (const std::string& name : segments()) {
    std::string bytes = read_file(saved_.file(name));
    for (char& byte : bytes) {
      broken_.become_copy_of(saved_);
      byte = static_cast<char>(byte ^ 0x10);
      write_file(broken_.file(name), bytes);
      byte = static_cast<char>(byte ^ 0x10);
      Groups groups;
      const auto result = reopen(broken_, groups);
      if (!result) {
        expect_refusal(result, name);
      } else if (groups != written) {
        ASSERT_EQ(groups, but_last) << name << " byte " << (&byte - bytes.data());
        ++dropped;
        expect_to_go_on(broken_, groups);
      }
    }
  }
  EXPECT_EQ(dropped, static_cast<int>(kEntryHeaderBytes + written.back().size()));
}

TEST_F(Recovery, AFlippedByteOfTheFormatFileIsRefused) {
  write_log(true);
  std::string bytes = read_file(saved_.file("format"));
  ASSERT_EQ(bytes.size(), kFormatFileBytes);
  for (char& byte : bytes) {
    broken_.become_copy_of(saved_);
    byte = static_cast<char>(byte ^ 0x40);
    write_file(broken_.file("format"), bytes);
    byte = static_cast<char>(byte ^ 0x40);
    Groups groups;
    const auto result = reopen(broken_, groups);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("format, byte "), std::string::npos) << result.error().message;
  }
}

TEST_F(Recovery, TheRefusalNamesTheGroupThePlaceAndTheProof) {
  write_log(true);
  broken_.become_copy_of(saved_);
  std::string bytes = read_file(saved_.file(segments()[0]));
  bytes[kSegmentHeaderBytes + entry_bytes(4) + kEntryHeaderBytes] ^= 1;  // the first payload byte of group 2
  write_file(broken_.file(segments()[0]), bytes);
  Groups groups;
  const auto result = reopen(broken_, groups);
  ASSERT_FALSE(result);
  const std::string path = broken_.file(segments()[0]).string();
  EXPECT_EQ(result.error().message, "group 2 is damaged: " + path +
                                        ", byte 128: the records' checksum is wrong; yet the header at " + path +
                                        ", byte 192 (group 3) calls it durable");
  EXPECT_EQ(read_file(broken_.file(segments()[0])), bytes);  // and nothing was changed
}

TEST_F(Recovery, WithoutSyncsAGapIsTheEndAndWhatStoodBehindItNeverComesBack) {
  for (const auto durability : {Durability::kNone, Durability::kInterval}) {
    std::filesystem::remove_all(whole_.path());
    Groups written = write_log(true, durability, 4);  // all in the first segment, none of them synced
    broken_.become_copy_of(saved_);
    std::string bytes = read_file(saved_.file(segments()[0]));
    const std::uint64_t second = kSegmentHeaderBytes + entry_bytes(written[0].size());
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(second), entry_bytes(written[1].size()), '\0');
    write_file(broken_.file(segments()[0]), bytes);

    Groups groups;
    auto log = open(broken_, durability);
    const auto result = replay_into(**log, groups);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(groups, Groups{written[0]});
    // Another second group of the same length, in front of where the third one was.
    ASSERT_EQ(*(*log)->append(std::string(written[1].size(), '2')), 2U);
    log->reset();
    ASSERT_TRUE(reopen(broken_, groups));
    EXPECT_EQ(groups, (Groups{written[0], std::string(written[1].size(), '2')}));
  }
}

TEST_F(Recovery, WithoutSyncsAGapBelowTheLastSyncIsDamage) {
  auto log = open(whole_, Durability::kInterval);
  for (const char* text : {"one", "two", "three"}) ASSERT_TRUE((*log)->append(text));
  ASSERT_TRUE((*log)->sync());
  ASSERT_TRUE((*log)->append("four"));
  broken_.become_copy_of(whole_);
  std::string bytes = read_file(broken_.file("segment-000000000001"));
  bytes[kSegmentHeaderBytes + entry_bytes(3) + 1] ^= 1;
  write_file(broken_.file("segment-000000000001"), bytes);
  Groups groups;
  expect_refusal(reopen(broken_, groups), "group 2 is damaged");
}

TEST_F(Recovery, AMissingSegmentIsRefusedByName) {
  write_log(true);
  for (const char* name : {"segment-000000000001", "segment-000000000002"}) {
    broken_.become_copy_of(saved_);
    std::filesystem::remove(broken_.file(name));
    Groups groups;
    expect_refusal(reopen(broken_, groups), name);
  }
}

TEST_F(Recovery, SegmentsThatChangedPlacesAreRefused) {
  write_log(true);
  broken_.become_copy_of(saved_);
  std::filesystem::rename(broken_.file("segment-000000000002"), broken_.file("x"));
  std::filesystem::rename(broken_.file("segment-000000000003"), broken_.file("segment-000000000002"));
  std::filesystem::rename(broken_.file("x"), broken_.file("segment-000000000003"));
  Groups groups;
  expect_refusal(reopen(broken_, groups), "segment-000000000002");
}

}  // namespace
}  // namespace codeq::log::local
