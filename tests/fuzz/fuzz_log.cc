// fuzz-room: codeq_log
// Foreign bytes as a log's files: nothing outside of them is read, and what is taken for an entry is one, byte for byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "log/local/crc32c.h"
#include "log/local/format.h"

namespace {

using namespace codeq::log::local;

constexpr SegmentIdentity kSegment{FolderId{'f', 'u', 'z', 'z'}, 1};

void require(bool condition) {
  if (!condition) std::abort();
}

// Makes the checksums right, so that the fuzzer gets behind them: the lengths in the input decide where entries stand.
void mend(std::string& bytes) {
  const std::uint32_t seed = folder_seed(kSegment.folder);
  std::uint32_t chain = seed;
  for (std::size_t at = kSegmentHeaderBytes; at + kEntryHeaderBytes <= bytes.size();) {
    const auto offset = static_cast<std::uint32_t>(at);
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at + 44, 4);
    const std::size_t payload = at + kEntryHeaderBytes;
    const std::size_t kept = std::min<std::size_t>(size, bytes.size() - payload);
    const std::uint32_t payload_crc = crc32c({bytes.data() + payload, kept});
    std::memcpy(bytes.data() + at + 32, &kSegment.number, 8);
    std::memcpy(bytes.data() + at + 40, &offset, 4);
    std::memcpy(bytes.data() + at + 48, &payload_crc, 4);
    std::memcpy(bytes.data() + at + 52, &chain, 4);
    const std::uint32_t crc = crc32c_extend(seed, {bytes.data() + at + 4, kEntryHeaderBytes - 4});
    std::memcpy(bytes.data() + at, &crc, 4);
    chain = crc;
    at += entry_bytes(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes(size - 1, '\0');
  if (size > 1) std::memcpy(bytes.data(), data + 1, size - 1);
  if ((data[0] & 1U) != 0) mend(bytes);

  static_cast<void>(parse_format_file(bytes));
  static_cast<void>(parse_segment_header(bytes, kSegment));
  Position position{0, 0, folder_seed(kSegment.folder), false};
  const std::uint64_t stop = scan_segment(bytes, kSegment, kSegmentHeaderBytes, position, [&](const Entry& entry) {
    const std::uint64_t at = entry.header.offset;
    require(entry.end % 8 == 0 && entry.end > at && at + kEntryHeaderBytes + entry.payload.size() <= bytes.size());
    std::array<char, kEntryHeaderBytes> again{};
    require(encode_entry_header(entry.header, kSegment, again) == entry.header_crc);
    require(std::memcmp(again.data(), bytes.data() + at, again.size()) == 0);
    return true;
  });
  const auto proof = find_proof(bytes, kSegment, stop, position.group + 1);
  require(!proof || (proof->offset >= stop && proof->offset + kEntryHeaderBytes <= bytes.size()));
  return 0;
}
