#include "storage/memory/memory_store.h"

#include "base/check.h"

namespace codeq::storage {

std::size_t MemoryStore::index(Family family) {
  switch (family) {
    case Family::kPayload: return 0;
    case Family::kResult: return 1;
  }
  CHECK(false);
}

void MemoryStore::write(std::uint64_t position, const std::vector<Write>& writes) {
  CHECK(position >= position_);  // an image never goes back behind what it shows
  for (const Write& write : writes) {
    Rows& rows = families_[index(write.family)];
    if (write.value == nullptr) {
      rows.erase(write.sequence);
    } else {
      rows.insert_or_assign(write.sequence, write.value);
    }
  }
  position_ = position;
}

Blob MemoryStore::get(Family family, std::uint64_t sequence) const {
  const Rows& rows = families_[index(family)];
  const auto row = rows.find(sequence);
  return row == rows.end() ? nullptr : row->second;
}

}  // namespace codeq::storage
