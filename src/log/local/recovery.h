// What a start finds in the segments: the kept groups, the torn tail that it drops, or damage that it refuses.
//
// Rule     the first place where the next group is not found whole ends the log, unless a header after that place, in
//          the same or a later segment, calls the missing group durable: then it was acknowledged, and this is damage
// Errors   kCorrupt with file, byte offset and what is wrong (nothing was changed); kIo, kDiskFull; the visitor's own
// Cost     reads every segment once and those with groups to visit twice, one in memory at a time (two at a border)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "log/local/folder.h"
#include "log/log.h"

namespace codeq::log::local {

struct Recovered {
  Position position;      // after the last kept entry
  std::size_t index = 0;  // its segment, an index into Folder::segments()
  std::uint64_t offset = 0;  // where the next entry goes
  File file;              // that segment
  std::vector<std::uint64_t> last_groups;  // of the segments before it
};

// Makes every kept group durable and lets no later reader take anything behind the last one for an entry; then visits the
// groups after `after`. kCorrupt where some of these are not there.
Result<Recovered> recover(const Folder& folder, Disk& disk, std::uint64_t after, const Log::Visit& visit);

// What a start would find, without changing anything. Errors: kCorrupt where a start would refuse.
struct Found {
  std::uint64_t after = 0;       // the group before the first one
  std::uint64_t last_group = 0;
  bool torn_tail = false;        // what a crash left behind the last group; a start drops it
};
Result<Found> look(const Folder& folder, Disk& disk);

// The group before the first one that is there; 0 with all of them.
Result<std::uint64_t> begins_after(const Folder& folder, Disk& disk);

}  // namespace codeq::log::local
