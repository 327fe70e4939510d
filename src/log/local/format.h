// The bytes of the segment log, in memory: writing and checking them, no files. Tables in docs/formats/log.md.
//
// Shape    a segment is a header of 64 bytes, then entries, each at a multiple of 8; what follows the last entry is
//          zeros or bytes of an earlier use, which name another segment and so never pass. An entry is a group of records, or a mark (durability news, no records).
// Errors   every function takes foreign bytes: it stays within them and says what is wrong
// Threads  no state
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace codeq::log::local {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kFormatFileBytes = 32;
inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kEntryHeaderBytes = 56;
inline constexpr std::uint64_t kSegmentBytesMax = std::uint64_t{1} << 31;  // places in a segment are 32-bit numbers

using FolderId = std::array<char, 16>;  // random, made with the folder

constexpr std::uint64_t aligned(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }
constexpr std::uint64_t entry_bytes(std::uint64_t payload_bytes) { return aligned(kEntryHeaderBytes + payload_bytes); }

// The `format` file, which makes a folder ours.
std::array<char, kFormatFileBytes> encode_format_file(const FolderId& folder);
struct FormatFile {
  std::uint32_t version = 0;  // when it is not kFormatVersion, nothing else was looked at
  FolderId folder{};
};
std::optional<FormatFile> parse_format_file(std::string_view bytes);  // nothing: not ours, or damaged

// Which segment of which folder the bytes claim to be; part of every check, so that bytes of another use never pass.
struct SegmentIdentity {
  FolderId folder;
  std::uint64_t number;  // 1, 2, 3, ...
};

std::array<char, kSegmentHeaderBytes> encode_segment_header(const SegmentIdentity& identity,
                                                            std::uint64_t segment_bytes, std::uint64_t incarnation);
// The segment's size in bytes as its header has it; nothing: the header is not that of `identity`.
std::optional<std::uint64_t> parse_segment_header(std::string_view bytes, const SegmentIdentity& identity);

enum class EntryKind : std::uint8_t { kGroup, kMark };

struct EntryHeader {
  EntryKind kind = EntryKind::kGroup;
  std::uint64_t group = 0;        // a mark has the number of the last group before it
  std::uint64_t durable = 0;      // every group up to this one had been synced before this entry was written
  std::uint64_t incarnation = 0;  // random, one per start of the process
  std::uint32_t offset = 0;       // of this header in its segment
  std::uint32_t payload_bytes = 0;
  std::uint32_t payload_crc = 0;
  std::uint32_t chain = 0;        // header checksum of the entry before this one; the folder's seed for the first
};

std::uint32_t folder_seed(const FolderId& folder);

// Writes the header's 56 bytes and returns its checksum, which is the next entry's chain.
std::uint32_t encode_entry_header(const EntryHeader& header, const SegmentIdentity& identity,
                                  std::span<char, kEntryHeaderBytes> out);

// What is known after the last good entry. {0, 0, folder_seed(id)} before the first one.
struct Position {
  std::uint64_t group = 0;
  std::uint64_t durable = 0;
  std::uint32_t chain = 0;
  bool marked = false;  // the last entry was a mark that calls `group` durable
};

struct Entry {
  EntryHeader header;
  std::uint32_t header_crc = 0;
  std::string_view payload;  // into the segment's bytes
  std::uint64_t end = 0;     // where the next entry starts
};

struct Step {
  std::optional<Entry> entry;    // nothing: no entry that continues `position` is here
  const char* why = "";          // then: what is wrong with these bytes
  bool header_is_good = false;   // then: this is the header of the very next group, only the payload is bad
};

// What was known before the first entry of a segment, as that entry tells it; nothing: there is no entry of the segment's own.
std::optional<Position> position_before(std::string_view segment, const SegmentIdentity& identity);

// The entry at `offset` of a segment's bytes, if it is the one that comes after `position`.
Step read_entry(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset,
                const Position& position);
void move_past(const Entry& entry, Position& position);

// Walks the entries from `offset` on, moving `position` past each good one. Returns where it stopped.
// `visit(const Entry&)` answers whether to go on.
template <class Visit>
std::uint64_t scan_segment(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset,
                           Position& position, Visit&& visit) {
  while (true) {
    const Step step = read_entry(segment, identity, offset, position);
    if (!step.entry) return offset;
    move_past(*step.entry, position);
    offset = step.entry->end;
    if (!visit(*step.entry)) return offset;
  }
}

// The first byte at or after `offset` that is not zero, or the size. 8 bytes at a time: a prepared segment is 64 MiB of zeros.
std::size_t find_used(std::string_view bytes, std::size_t offset);

// Where the next header of this segment stands, at or after `offset`, whatever it says; nothing: there is none.
std::optional<std::uint64_t> find_header(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset);

// A header at or after `offset` that calls `group` durable: the proof that `group` was once acknowledged.
struct Proof {
  std::uint64_t offset;
  std::uint64_t group;
};
std::optional<Proof> find_proof(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset,
                                std::uint64_t group);

}  // namespace codeq::log::local
