#include "app/backup/look.h"

#include <fmt/format.h>

#include <algorithm>

namespace codeq::app {

Result<DataFolder> look_into_data(const std::string& data) {
  DataFolder opened;
  CODEQ_TRY(opened.folder, log::local::Folder::look(data + "/log", disk::Disk::real()));
  CODEQ_TRY(opened.found, log::local::look(*opened.folder, disk::Disk::real()));
  storage::rocks::Options options;
  options.folder = data + "/store";
  std::copy(opened.folder->id().begin(), opened.folder->id().end(), options.id.begin());
  options.read_only = true;
  options.write_buffer_bytes = std::uint64_t{1} << 20;
  options.cache_bytes = std::uint64_t{32} << 20;
  options.can_replay_after = [&found = opened.found](const storage::Position& position) -> Result<bool> { return found.after <= position.group; };
  CODEQ_TRY(opened.store, storage::rocks::RocksStore::open(std::move(options)));
  const auto position = opened.store->position();
  if (position.group > opened.found.last_group)
    return fail(Code::kCorrupt, fmt::format("the store has group {} of the log, which ends with group {}", position.group,
                                            opened.found.last_group));
  if (position.group < opened.found.after)
    return fail(Code::kCorrupt, fmt::format("the store needs group {} of the log, which begins with group {}",
                                            position.group + 1, opened.found.after + 1));
  return opened;
}

}  // namespace codeq::app
