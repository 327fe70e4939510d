// What is done to a whole database: copies and checks.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "storage/rocks/rocks_store.h"

namespace rocksdb {
class DB;
class Env;
}

namespace codeq::storage::rocks {

// Everything was flushed before; `path` must not be there. Synced when it returns.
Result<void> make_checkpoint(rocksdb::DB& db, const std::string& path, const StoreId& id);
Result<void> verify_files(rocksdb::DB& db, const std::function<void(const RocksStore::Progress&)>& progress);

// Every table file of a folder that cannot be opened. Errors: kCorrupt with the first bad file.
Result<void> verify_tables(rocksdb::Env& env, const std::string& folder);

}  // namespace codeq::storage::rocks
