// The store's own row of table meta: its position. Big-endian, as every number in the store.
//
//   offset  size  field
//        0     8  records
//        8     8  group
//       16     8  group_records
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/store.h"

namespace codeq::storage::rocks {

inline constexpr std::string_view kPositionName("\0position", 9);

inline std::string position_bytes(const Position& position) {
  std::string bytes;
  for (const std::uint64_t number : {position.records, position.group, position.group_records}) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>((number >> shift) & 0xff));
  }
  return bytes;
}

inline std::optional<Position> read_position(std::string_view bytes) {
  if (bytes.size() != 24) return std::nullopt;
  const auto number = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  const Position position{number(0), number(8), number(16)};
  if (position.group_records > position.records) return std::nullopt;
  return position;
}

}  // namespace codeq::storage::rocks
