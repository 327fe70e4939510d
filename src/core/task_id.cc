#include "core/task_id.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/check.h"
#include "base/hex.h"

namespace codeq::core {
namespace {
constexpr std::size_t kTextBytes = 36;
constexpr std::uint64_t kVersion = 8;
constexpr std::uint64_t kVariant = 0b10;
constexpr std::uint64_t kPartitionMask = 0xfff;
}  // namespace

std::string to_string(const TaskId& id) {
  CHECK(id.sequence <= kSequenceMax && id.random <= kIdRandomMask && id.partition <= kPartitionMask);
  const std::array<std::uint64_t, 2> halves{(id.sequence << 16) | (kVersion << 12) | id.partition,
                                            (kVariant << 62) | id.random};
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const auto big_endian = std::byteswap(halves[i]);
    static_assert(std::endian::native == std::endian::little);
    std::memcpy(&bytes[8 * i], &big_endian, sizeof big_endian);
  }
  std::string text(kTextBytes, '-');
  auto* to = text.data();
  std::span<const std::uint8_t> left(bytes);
  for (const std::size_t run : {4, 2, 2, 2, 6}) {
    to = write_hex(left.first(run), to) + 1;
    left = left.subspan(run);
  }
  return text;
}

std::optional<TaskId> parse_task_id(std::string_view text) {
  if (text.size() != kTextBytes) return std::nullopt;
  std::array<std::uint64_t, 2> halves{};
  std::uint8_t seen = 0;  // of all digits together: one look at the end
  std::size_t at = 0;
  const auto digits = [&](std::size_t count, std::uint64_t& half) {
    for (const auto end = at + count; at < end; ++at) {
      const auto value = hex_value(text[at]);
      seen |= value;
      half = (half << 4) | (value & 0xfU);
    }
  };
  const auto dash = [&] { seen |= text[at++] == '-' ? 0 : kNotHex; };
  digits(8, halves[0]);
  dash();
  digits(4, halves[0]);
  dash();
  digits(4, halves[0]);
  dash();
  digits(4, halves[1]);
  dash();
  digits(12, halves[1]);
  if ((seen & 0xf0U) != 0) return std::nullopt;
  if (((halves[0] >> 12) & 0xf) != kVersion || halves[1] >> 62 != kVariant) return std::nullopt;
  return TaskId{.sequence = halves[0] >> 16,
                .random = halves[1] & kIdRandomMask,
                .partition = static_cast<std::uint16_t>(halves[0] & kPartitionMask)};
}

}  // namespace codeq::core
