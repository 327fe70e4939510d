// RocksDB on a disk::Disk, so that tests put a forgetting or failing one below it.
//
// Threads  any, as the disk
// Cost     one call of the disk per call of RocksDB; no room is reserved ahead, nothing is mapped
#pragma once

#include <memory>

#include "disk/disk.h"

namespace rocksdb {
class FileSystem;
}

namespace codeq::storage::rocks {

// Files of `disk`, which outlives it. Folders are made 0700, files 0600.
std::shared_ptr<rocksdb::FileSystem> on_disk(disk::Disk& disk);

}  // namespace codeq::storage::rocks
