#include "log/local/format.h"

#include <bit>
#include <cstring>

#include "base/plant.h"
#include "log/local/crc32c.h"

namespace codeq::log::local {
namespace {

static_assert(std::endian::native == std::endian::little, "the log's numbers are little-endian and copied as they are");

constexpr std::string_view kFolderMagic = "CODEQLOG";
constexpr std::string_view kSegmentMagic = "CQSG";
constexpr std::string_view kGroupMagic = "CQGR";
constexpr std::string_view kMarkMagic = "CQMK";

template <class Number>
void put(char* at, Number value) {
  std::memcpy(at, &value, sizeof value);
}

template <class Number>
Number get(std::string_view bytes, std::size_t at) {
  Number value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string_view view(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }

std::uint32_t format_file_crc(std::string_view bytes) {
  return crc32c_extend(crc32c(bytes.substr(0, 12)), bytes.substr(16, 16));
}

struct ParsedHeader {
  EntryHeader header;
  std::uint32_t crc;
};

// A header that was written to this place of this segment of this folder, whatever came before it.
std::optional<ParsedHeader> parse_entry_header(std::string_view segment, const SegmentIdentity& identity,
                                               std::uint32_t seed, std::uint64_t offset) {
  const std::string_view bytes = segment.substr(offset, kEntryHeaderBytes);
  const std::string_view magic = bytes.substr(4, 4);
  if (magic != kGroupMagic && magic != kMarkMagic) return std::nullopt;
  const auto crc = get<std::uint32_t>(bytes, 0);
  if (crc != crc32c_extend(seed, bytes.substr(4))) return std::nullopt;
  EntryHeader header;
  header.kind = magic == kGroupMagic ? EntryKind::kGroup : EntryKind::kMark;
  header.group = get<std::uint64_t>(bytes, 8);
  header.durable = get<std::uint64_t>(bytes, 16);
  header.incarnation = get<std::uint64_t>(bytes, 24);
  header.offset = get<std::uint32_t>(bytes, 40);
  header.payload_bytes = get<std::uint32_t>(bytes, 44);
  header.payload_crc = get<std::uint32_t>(bytes, 48);
  header.chain = get<std::uint32_t>(bytes, 52);
  if (get<std::uint64_t>(bytes, 32) != identity.number || header.offset != offset) return std::nullopt;
  return ParsedHeader{header, crc};
}

}  // namespace

std::size_t find_used(std::string_view bytes, std::size_t offset) {
  while (offset + 8 <= bytes.size() && get<std::uint64_t>(bytes, offset) == 0) offset += 8;
  while (offset < bytes.size() && bytes[offset] == '\0') ++offset;
  return offset;
}

std::array<char, kFormatFileBytes> encode_format_file(const FolderId& folder) {
  std::array<char, kFormatFileBytes> out{};
  std::memcpy(out.data(), kFolderMagic.data(), kFolderMagic.size());
  put(out.data() + 8, kFormatVersion);
  std::memcpy(out.data() + 16, folder.data(), folder.size());
  put(out.data() + 12, format_file_crc(view(out)));
  return out;
}

std::optional<FormatFile> parse_format_file(std::string_view bytes) {
  if (bytes.size() < 12 || bytes.substr(0, 8) != kFolderMagic) return std::nullopt;
  FormatFile file;
  file.version = get<std::uint32_t>(bytes, 8);
  if (file.version != kFormatVersion) return file;
  if (bytes.size() != kFormatFileBytes || get<std::uint32_t>(bytes, 12) != format_file_crc(bytes)) return std::nullopt;
  std::memcpy(file.folder.data(), bytes.data() + 16, file.folder.size());
  return file;
}

std::uint32_t folder_seed(const FolderId& folder) { return crc32c(view(folder)); }

std::array<char, kSegmentHeaderBytes> encode_segment_header(const SegmentIdentity& identity,
                                                            std::uint64_t segment_bytes, std::uint64_t incarnation) {
  std::array<char, kSegmentHeaderBytes> out{};
  std::memcpy(out.data() + 4, kSegmentMagic.data(), kSegmentMagic.size());
  put(out.data() + 8, identity.number);
  put(out.data() + 16, segment_bytes);
  put(out.data() + 24, incarnation);
  std::memcpy(out.data() + 32, identity.folder.data(), identity.folder.size());
  put(out.data(), crc32c(view(out).substr(4)));
  return out;
}

std::optional<std::uint64_t> parse_segment_header(std::string_view bytes, const SegmentIdentity& identity) {
  if (bytes.size() < kSegmentHeaderBytes) return std::nullopt;
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  if (bytes.substr(4, 4) != kSegmentMagic || get<std::uint32_t>(bytes, 0) != crc32c(bytes.substr(4)))
    return std::nullopt;
  if (get<std::uint64_t>(bytes, 8) != identity.number || bytes.substr(32, 16) != view(identity.folder))
    return std::nullopt;
  const auto size = get<std::uint64_t>(bytes, 16);
  if (size < kSegmentHeaderBytes || size > kSegmentBytesMax || size != aligned(size)) return std::nullopt;
  return size;
}

std::uint32_t encode_entry_header(const EntryHeader& header, const SegmentIdentity& identity,
                                  std::span<char, kEntryHeaderBytes> out) {
  const std::string_view magic = header.kind == EntryKind::kGroup ? kGroupMagic : kMarkMagic;
  std::memcpy(out.data() + 4, magic.data(), magic.size());
  put(out.data() + 8, header.group);
  put(out.data() + 16, header.durable);
  put(out.data() + 24, header.incarnation);
  put(out.data() + 32, identity.number);
  put(out.data() + 40, header.offset);
  put(out.data() + 44, header.payload_bytes);
  put(out.data() + 48, header.payload_crc);
  put(out.data() + 52, header.chain);
  const std::uint32_t crc = crc32c_extend(folder_seed(identity.folder), view(out).substr(4));
  put(out.data(), crc);
  return crc;
}

std::optional<Position> position_before(std::string_view segment, const SegmentIdentity& identity) {
  const auto parsed = parse_entry_header(segment, identity, folder_seed(identity.folder), kSegmentHeaderBytes);
  if (!parsed) return std::nullopt;
  const EntryHeader& first = parsed->header;
  if (first.kind == EntryKind::kGroup && first.group == 0) return std::nullopt;
  const auto group = first.group - (first.kind == EntryKind::kGroup ? 1 : 0);
  return Position{.group = group, .durable = first.durable, .chain = first.chain, .marked = false};
}

Step read_entry(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset,
                const Position& position) {
  if (offset > segment.size() || segment.size() - offset < kEntryHeaderBytes)
    return {{}, "the segment ends here", false};
  const auto parsed = parse_entry_header(segment, identity, folder_seed(identity.folder), offset);
  if (!parsed) {
    const bool empty = find_used(segment.substr(offset, kEntryHeaderBytes), 0) == kEntryHeaderBytes;
    return {{}, empty ? "there are only zeros here" : "the header's checksum, kind or place is wrong", false};
  }
  const EntryHeader& header = parsed->header;
  const bool is_group = header.kind == EntryKind::kGroup;
  if (header.group != position.group + (is_group ? 1 : 0)) return {{}, "another group's number stands here", false};
  if (header.chain != position.chain) return {{}, "the header does not continue the group before it", false};
  if (header.durable < position.durable || header.durable > position.group)
    return {{}, "the durable number is impossible", false};
  if (segment.size() - offset - kEntryHeaderBytes < header.payload_bytes)
    return {{}, "the group is longer than its segment", is_group};
  const std::string_view payload = segment.substr(offset + kEntryHeaderBytes, header.payload_bytes);
  if (header.payload_crc != crc32c(payload) && !planted(Plant::kWrongTail))
    return {{}, "the records' checksum is wrong", is_group};
  return {Entry{header, parsed->crc, payload, offset + entry_bytes(payload.size())}, "", true};
}

void move_past(const Entry& entry, Position& position) {
  position.group = entry.header.group;
  position.durable = entry.header.durable;
  position.chain = entry.header_crc;
  position.marked = entry.header.kind == EntryKind::kMark && entry.header.durable == entry.header.group;
}

std::optional<std::uint64_t> find_header(std::string_view segment, const SegmentIdentity& identity,
                                         std::uint64_t offset) {
  const std::uint32_t seed = folder_seed(identity.folder);
  for (offset = aligned(offset); offset + kEntryHeaderBytes <= segment.size(); offset += 8) {
    if (get<std::uint64_t>(segment, offset) == 0)
      continue;  // the checksum and the magic: unused space, skipped at speed
    if (parse_entry_header(segment, identity, seed, offset)) return offset;
  }
  return std::nullopt;
}

std::optional<Proof> find_proof(std::string_view segment, const SegmentIdentity& identity, std::uint64_t offset,
                                std::uint64_t group) {
  const std::uint32_t seed = folder_seed(identity.folder);
  for (auto at = find_header(segment, identity, offset); at; at = find_header(segment, identity, *at + 8)) {
    const auto parsed = parse_entry_header(segment, identity, seed, *at);
    if (parsed && parsed->header.durable >= group) return Proof{*at, parsed->header.group};
  }
  return std::nullopt;
}

}  // namespace codeq::log::local
