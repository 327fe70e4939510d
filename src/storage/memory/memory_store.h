// A store in memory, rebuilt from the log at every start: the twin of the one on disk.
//
// Threads  `write` from one thread at a time; `get` from the same thread
// Cost     write and get: one hash look-up each
#pragma once

#include <array>
#include <cstddef>
#include <unordered_map>

#include "storage/store.h"

namespace codeq::storage {

class MemoryStore final : public Store {
 public:
  void write(std::uint64_t position, const std::vector<Write>& writes) override;
  [[nodiscard]] Blob get(Family family, std::uint64_t sequence) const override;
  [[nodiscard]] std::uint64_t position() const override { return position_; }

 private:
  using Rows = std::unordered_map<std::uint64_t, Blob>;
  static std::size_t index(Family family);

  std::array<Rows, 2> families_;
  std::uint64_t position_ = 0;
};

}  // namespace codeq::storage
