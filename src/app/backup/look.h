// Both parts of a data folder that no process uses, opened to be read, and that they belong together.
//
// Errors   kUnavailable (in use), kInvalidArgument (not ours), kCorrupt where a start would refuse
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "log/local/folder.h"
#include "log/local/recovery.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::app {

struct DataFolder {
  std::unique_ptr<log::local::Folder> folder;  // holds the lock
  log::local::Found found;
  std::unique_ptr<storage::rocks::RocksStore> store;
};
Result<DataFolder> look_into_data(const std::string& data);

}  // namespace codeq::app
