#include "core/task_id.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/check.h"
#include "base/hex.h"

namespace codeq::core {
namespace {
constexpr std::size_t kTextBytes = 36;
constexpr std::uint64_t kVersion = 8;
constexpr std::uint64_t kVariant = 0b10;
constexpr std::uint64_t kPartitionMask = 0xfff;
constexpr bool is_dash_place(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }
}  // namespace

std::string to_string(const TaskId& id) {
  CHECK(id.sequence <= kSequenceMax && id.random <= kIdRandomMask && id.partition <= kPartitionMask);
  const std::array<std::uint64_t, 2> halves{(id.sequence << 16) | (kVersion << 12) | id.partition,
                                            (kVariant << 62) | id.random};
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(halves[i / 8] >> (56 - 8 * (i % 8)));
  std::array<char, 2 * bytes.size()> digits;
  write_hex(bytes, digits.data());
  std::string text(kTextBytes, '-');
  std::size_t from = 0, to = 0;
  for (const std::size_t run : {8, 4, 4, 4, 12}) {
    std::copy_n(&digits[from], run, &text[to]);
    from += run;
    to += run + 1;
  }
  return text;
}

std::optional<TaskId> parse_task_id(std::string_view text) {
  if (text.size() != kTextBytes) return std::nullopt;
  std::array<std::uint64_t, 2> halves{};
  unsigned digit = 0;
  for (std::size_t i = 0; i < kTextBytes; ++i) {
    if (is_dash_place(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const auto value = hex_value(text[i]);
    if (value == kNotHex) return std::nullopt;
    auto& half = halves[digit++ / 16];
    half = (half << 4) | value;
  }
  if (((halves[0] >> 12) & 0xf) != kVersion || halves[1] >> 62 != kVariant) return std::nullopt;
  return TaskId{.sequence = halves[0] >> 16,
                .random = halves[1] & kIdRandomMask,
                .partition = static_cast<std::uint16_t>(halves[0] & kPartitionMask)};
}

}  // namespace codeq::core
