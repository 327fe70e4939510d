// Blobs of tasks, by family and task sequence: what decisions do not need and memory should not hold for ever.
//
// Shape    (family, sequence) -> bytes
// Threads  `write` from one thread at a time; `get` from the same thread
// Cost     a shared pointer to the bytes, never a copy
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace codeq::storage {

enum class Family : std::uint8_t { kPayload = 1, kResult = 2 };
using Blob = std::shared_ptr<const std::string>;  // shared by the store and the answers under way

struct Write {
  Family family;
  std::uint64_t sequence;
  Blob value;  // null: erase
};

class Store {
 public:
  virtual ~Store() = default;
  // All of `writes` or none; `position` counts the log's records that they reflect.
  virtual void write(std::uint64_t position, const std::vector<Write>& writes) = 0;
  [[nodiscard]] virtual Blob get(Family family, std::uint64_t sequence) const = 0;  // null: not there
  [[nodiscard]] virtual std::uint64_t position() const = 0;
};

}  // namespace codeq::storage
