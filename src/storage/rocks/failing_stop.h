// The first call that fails to change the store's folder is the last one that reaches the disk.
//
// After a failed write or sync nobody knows what is on the disk: only a new start finds out. RocksDB would go on, write
// elsewhere, and stop at assertions of its own where it meets the same file again. So the first failure is told at once,
// and from then on every change is answered with "done" and is not done: RocksDB stays in a state it knows until the
// process ends, and nothing of what it believes can get out, as the store answers every call with the failure.
//
// Shape    reads, and files outside `folder` (a checkpoint's), are not touched
// Threads  any; `failed` is called once, from the thread of the call that failed, before that call returns
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace rocksdb {
class Env;
class FileSystem;
}

namespace codeq::storage::rocks {

std::unique_ptr<rocksdb::Env> stop_at_first_failure(std::shared_ptr<rocksdb::FileSystem> below, std::string folder,
                                                    std::function<void(const Error&)> failed);

}  // namespace codeq::storage::rocks
