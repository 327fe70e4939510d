// A task's public id: RFC 9562 UUID version 8, as lower-case text with dashes.
//
//   bits   size  field
//   0-47     48  sequence     creation order inside the partition
//   48-51     4  version = 8
//   52-63    12  partition
//   64-65     2  variant = 0b10
//   66-127   62  random       stored and compared, so that ids cannot be guessed
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace codeq::core {

inline constexpr std::uint64_t kSequenceMax = (std::uint64_t{1} << 48) - 1;
inline constexpr std::uint64_t kIdRandomMask = (std::uint64_t{1} << 62) - 1;

struct TaskId {
  std::uint64_t sequence = 0;
  std::uint64_t random = 0;      // 62 bits
  std::uint16_t partition = 0;   // 12 bits
  auto operator<=>(const TaskId&) const = default;
};

std::string to_string(const TaskId& id);
// Upper-case digits are accepted. Anything that is not a version 8 UUID of ours: nullopt (callers answer 404, never 400).
std::optional<TaskId> parse_task_id(std::string_view text);

}  // namespace codeq::core
