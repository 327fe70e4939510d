// What a start finds in the segments: the kept groups, the torn tail that it drops, or damage that it refuses.
//
// Rule     the first place where the next group is not found whole ends the log, unless a header after that place, in
//          the same or a later segment, calls the missing group durable: then it was acknowledged, and this is damage
// Errors   kCorrupt with file, byte offset and what is wrong (nothing was changed); kIo, kDiskFull; the visitor's own
// Cost     reads every segment once, one in memory at a time (two at a border)
#pragma once

#include <cstddef>
#include <cstdint>

#include "log/local/folder.h"
#include "log/log.h"

namespace codeq::log::local {

struct Recovered {
  Position position;      // after the last kept entry
  std::size_t index = 0;  // its segment, an index into Folder::segments()
  std::uint64_t offset = 0;  // where the next entry goes
  File file;              // that segment
};

// Visits every kept group. On return each of them is durable and everything behind the last one is zeros, durably.
Result<Recovered> recover(const Folder& folder, Disk& disk, const Log::Visit& visit);

}  // namespace codeq::log::local
