#include "log/local/format.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "log/local/crc32c.h"
#include "log/local/test_folder.h"

namespace codeq::log::local {
namespace {

constexpr FolderId kFolder = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr SegmentIdentity kSegment{kFolder, 1};

Position start() { return {0, 0, folder_seed(kFolder), false}; }

// Writes an entry behind `position` into `segment` and returns where the next one goes.
std::uint64_t put_entry(std::string& segment, std::uint64_t offset, Position& position, std::string_view payload,
                        EntryKind kind = EntryKind::kGroup, std::uint64_t incarnation = 0x1122334455667788) {
  EntryHeader header;
  header.kind = kind;
  header.group = position.group + (kind == EntryKind::kGroup ? 1 : 0);
  header.durable = position.group;
  header.incarnation = incarnation;
  header.offset = static_cast<std::uint32_t>(offset);
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  header.payload_crc = crc32c(payload);
  header.chain = position.chain;
  std::array<char, kEntryHeaderBytes> bytes{};
  position.chain = encode_entry_header(header, kSegment, bytes);
  position.group = header.group;
  std::memcpy(segment.data() + offset, bytes.data(), bytes.size());
  std::memcpy(segment.data() + offset + bytes.size(), payload.data(), payload.size());
  return offset + entry_bytes(payload.size());
}

Groups scan(const std::string& segment, std::uint64_t offset = kSegmentHeaderBytes) {
  Groups groups;
  Position position = start();
  scan_segment(segment, kSegment, offset, position, [&](const Entry& entry) {
    if (entry.header.kind == EntryKind::kGroup) groups.emplace_back(entry.payload);
    return true;
  });
  return groups;
}

std::string hex_dump(std::string_view bytes) {
  std::string out;
  for (std::size_t line = 0; line < bytes.size(); line += 16) {
    out += fmt::format("{:04x} ", line);
    for (std::size_t i = line; i < std::min(line + 16, bytes.size()); ++i) {
      out += fmt::format("{}{:02x}", i % 8 == 0 && i != line ? "  " : " ", static_cast<unsigned char>(bytes[i]));
    }
    out += '\n';
  }
  return out;
}

TEST(LogFormat, IsWhatItsDocumentShows) {
  const std::string document = read_file(std::filesystem::path(CODEQ_SOURCE_DIR) / "docs/formats/log.md");
  ASSERT_FALSE(document.empty());

  const auto format = encode_format_file(kFolder);
  const std::string format_dump = hex_dump({format.data(), format.size()});
  EXPECT_NE(document.find(format_dump), std::string::npos) << "the format file is now:\n" << format_dump;

  std::string segment(256, '\0');
  const auto header = encode_segment_header(kSegment, segment.size(), 0x1122334455667788);
  std::memcpy(segment.data(), header.data(), header.size());
  Position position = start();
  const auto next = put_entry(segment, kSegmentHeaderBytes, position, "hello");
  const auto end = put_entry(segment, next, position, "", EntryKind::kMark);
  const std::string segment_dump = hex_dump(std::string_view(segment).substr(0, end));
  EXPECT_NE(document.find(segment_dump), std::string::npos) << "the segment is now:\n" << segment_dump;
}

TEST(LogFormat, ReadsBackItsFormatFileAndNoOther) {
  auto bytes = encode_format_file(kFolder);
  const auto parsed = parse_format_file({bytes.data(), bytes.size()});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->version, kFormatVersion);
  EXPECT_EQ(parsed->folder, kFolder);
  EXPECT_FALSE(parse_format_file({bytes.data(), bytes.size() - 1}));
  EXPECT_FALSE(parse_format_file(""));
  bytes[20] ^= 1;
  EXPECT_FALSE(parse_format_file({bytes.data(), bytes.size()}));
  bytes[8] = 2;
  EXPECT_EQ(parse_format_file({bytes.data(), bytes.size()})->version, 2U);
}

TEST(LogFormat, TakesASegmentHeaderOnlyForItsOwnFolderAndNumber) {
  const auto header = encode_segment_header(kSegment, 4096, 7);
  const std::string_view bytes(header.data(), header.size());
  EXPECT_EQ(parse_segment_header(bytes, kSegment), 4096U);
  EXPECT_FALSE(parse_segment_header(bytes, {kFolder, 2}));
  EXPECT_FALSE(parse_segment_header(bytes, {FolderId{}, 1}));
  EXPECT_FALSE(parse_segment_header(bytes.substr(1), kSegment));
}

TEST(LogFormat, FindsNoGroupsOfAnEarlierUseOfTheFile) {
  std::string segment(512, '\0');
  Position position = start();
  put_entry(segment, kSegmentHeaderBytes, position, "of segment 1");
  EXPECT_EQ(scan(segment), Groups{"of segment 1"});

  Position recycled = start();
  EXPECT_FALSE(read_entry(segment, {kFolder, 9}, kSegmentHeaderBytes, recycled).entry);
  EXPECT_FALSE(find_proof(segment, {kFolder, 9}, 0, 0));
  FolderId other = kFolder;
  other[3] = 99;
  EXPECT_FALSE(find_proof(segment, {other, 1}, 0, 0));
}

TEST(LogFormat, FindsNoGroupThatWasMovedToAnotherPlace) {
  std::string segment(512, '\0');
  Position position = start();
  put_entry(segment, kSegmentHeaderBytes, position, "here");
  EXPECT_TRUE(scan(std::string(8, '\0') + segment, kSegmentHeaderBytes + 8).empty());
}

// Were the tail not wiped at a restart, the chain alone would keep dropped groups from coming back.
TEST(LogFormat, DroppedGroupsDoNotJoinALaterGroupOfTheirPredecessorsNumberAndLength) {
  std::string segment(1024, '\0');
  Position position = start();
  const auto second = put_entry(segment, kSegmentHeaderBytes, position, "one");
  Position before_second = position;
  const auto third = put_entry(segment, second, position, "two");
  put_entry(segment, third, position, "three, to be dropped");
  ASSERT_EQ(put_entry(segment, second, before_second, "TWO", EntryKind::kGroup, 0x99), third);
  EXPECT_EQ(scan(segment), (Groups{"one", "TWO"}));
}

TEST(LogFormat, SaysWhatIsWrong) {
  std::string segment(512, '\0');
  Position position = start();
  const auto end = put_entry(segment, kSegmentHeaderBytes, position, "payload");
  EXPECT_STREQ(read_entry(segment, kSegment, end, position).why, "there are only zeros here");
  EXPECT_STREQ(read_entry(segment, kSegment, segment.size(), position).why, "the segment ends here");
  EXPECT_STREQ(read_entry(segment, kSegment, ~std::uint64_t{0}, position).why, "the segment ends here");
  EXPECT_STREQ(read_entry(segment, kSegment, kSegmentHeaderBytes, position).why, "another group's number stands here");
  EXPECT_STREQ(read_entry(std::string_view(segment).substr(0, 124), kSegment, kSegmentHeaderBytes, start()).why,
               "the group is longer than its segment");
  segment[kSegmentHeaderBytes + kEntryHeaderBytes] ^= 1;
  const Step step = read_entry(segment, kSegment, kSegmentHeaderBytes, start());
  EXPECT_STREQ(step.why, "the records' checksum is wrong");
  EXPECT_TRUE(step.header_is_good);
  segment[kSegmentHeaderBytes + 9] ^= 1;
  EXPECT_STREQ(read_entry(segment, kSegment, kSegmentHeaderBytes, start()).why,
               "the header's checksum, kind or place is wrong");
}

}  // namespace
}  // namespace codeq::log::local
