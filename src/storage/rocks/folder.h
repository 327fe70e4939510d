// The folder of a store: whose it is, and how it comes to be. RocksDB's own files are RocksDB's business.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "storage/rocks/rocks_store.h"

namespace rocksdb {
class Env;
}

namespace codeq::storage::rocks {

// The id of the store in `folder`; nothing if the folder is empty or not there. Changes nothing.
// Errors: kInvalidArgument  other files, or a format that is not ours
//         kCorrupt          a store whose format is damaged or gone
Result<std::optional<StoreId>> look_into(rocksdb::Env& env, const std::string& folder);

// Makes the format file in `folder` and syncs both.
Result<void> write_format(rocksdb::Env& env, const std::string& folder, const StoreId& id);

// `build` fills a folder under another name, which then gets its format and becomes `folder` in one step: a crash
// leaves the whole store or none.
Result<void> create_folder(rocksdb::Env& env, const std::string& folder, const StoreId& id,
                           const std::function<Result<void>(const std::string& path)>& build);

}  // namespace codeq::storage::rocks
