#include "core/task_id.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "base/hex.h"

namespace codeq::core {
namespace {
constexpr std::size_t kTextBytes = 36, kBytes = 16;
// What stands between the dashes.
struct Run {
  std::size_t in_text, in_digits, digits;
};
// With its lengths known to the compiler, so that each is a load and a store.
template <class F>
void each_run(F&& f) {
  f.template operator()<Run{0, 0, 8}>();
  f.template operator()<Run{9, 8, 4}>();
  f.template operator()<Run{14, 12, 4}>();
  f.template operator()<Run{19, 16, 4}>();
  f.template operator()<Run{24, 20, 12}>();
}
constexpr std::uint64_t kVersion = 8;
constexpr std::uint64_t kVariant = 0b10;
constexpr std::uint64_t kPartitionMask = 0xfff;
}  // namespace

std::string to_string(const TaskId& id) {
  CHECK(id.sequence <= kSequenceMax && id.random <= kIdRandomMask && id.partition <= kPartitionMask);
  const std::array<std::uint64_t, 2> halves{(id.sequence << 16) | (kVersion << 12) | id.partition,
                                            (kVariant << 62) | id.random};
  std::array<std::uint8_t, kBytes> bytes;
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const auto big_endian = std::byteswap(halves[i]);
    static_assert(std::endian::native == std::endian::little);
    std::memcpy(&bytes[8 * i], &big_endian, sizeof big_endian);
  }
  std::array<char, 2 * kBytes> digits;
  write_hex(bytes, digits.data());
  std::string text(kTextBytes, '-');
  each_run([&]<Run run> { std::memcpy(text.data() + run.in_text, digits.data() + run.in_digits, run.digits); });
  return text;
}

std::optional<TaskId> parse_task_id(std::string_view text) {
  if (text.size() != kTextBytes) return std::nullopt;
  std::array<char, 2 * kBytes> digits;
  bool dashes = true;
  each_run([&]<Run run> {
    std::memcpy(digits.data() + run.in_digits, text.data() + run.in_text, run.digits);
    if (run.in_text > 0) dashes &= text[run.in_text - 1] == '-';
  });
  std::array<std::uint8_t, kBytes> bytes;
  if (!read_hex(digits.data(), bytes) || !dashes) return std::nullopt;
  std::array<std::uint64_t, 2> halves{};
  std::memcpy(halves.data(), bytes.data(), bytes.size());
  for (auto& half : halves) half = std::byteswap(half);
  if (((halves[0] >> 12) & 0xf) != kVersion || halves[1] >> 62 != kVariant) return std::nullopt;
  return TaskId{.sequence = halves[0] >> 16,
                .random = halves[1] & kIdRandomMask,
                .partition = static_cast<std::uint16_t>(halves[0] & kPartitionMask)};
}

}  // namespace codeq::core
