#include "storage/rocks/format_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

namespace codeq::storage::rocks {
namespace {

constexpr std::string_view kMagic = "CODEQIMG";
constexpr std::size_t kVersionAt = 8, kIdAt = 16, kSumAt = 32;

void put(std::string& bytes, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
  return value;
}

}  // namespace

std::string format_bytes(const StoreId& id, std::uint32_t version) {
  std::string bytes(kMagic);
  put(bytes, version, 4);
  put(bytes, 0, 4);
  for (const std::uint8_t byte : id) bytes.push_back(static_cast<char>(byte));
  put(bytes, XXH3_64bits(bytes.data(), bytes.size()), 8);
  return bytes;
}

Result<StoreId> read_format(std::string_view bytes, std::string_view path) {
  if (bytes.size() != kFormatBytes || !bytes.starts_with(kMagic) ||
      number(bytes, kSumAt, 8) != XXH3_64bits(bytes.data(), kSumAt)) {
    return fail(Code::kCorrupt,
                fmt::format("{}: {} bytes that are not a store's format, or damaged", path, bytes.size()));
  }
  const std::uint64_t version = number(bytes, kVersionAt, 4);
  if (version != kFormatVersion) {
    return fail(Code::kInvalidArgument,
                fmt::format("{}: the store has format version {}, this program knows {}: it was "
                            "left untouched",
                            path, version, kFormatVersion));
  }
  StoreId id{};
  std::transform(bytes.begin() + kIdAt, bytes.begin() + kSumAt, id.begin(),
                 [](char byte) { return static_cast<std::uint8_t>(byte); });
  return id;
}

}  // namespace codeq::storage::rocks
