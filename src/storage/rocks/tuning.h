// How RocksDB is set up: for the whole store, and table by table.
#pragma once

#include <memory>

#include "core/rows.h"

namespace rocksdb {
class Cache;
class Env;
struct ColumnFamilyOptions;
struct DBOptions;
}  // namespace rocksdb

namespace codeq::storage::rocks {

struct Options;

inline constexpr std::size_t kKeyPrefixBytes = 16;  // of table key: the hash that its rows are looked up by

std::shared_ptr<rocksdb::Cache> make_cache(const Options& options);
rocksdb::DBOptions tune_store(const Options& options, const std::shared_ptr<rocksdb::Cache>& cache);
rocksdb::ColumnFamilyOptions tune_table(core::Table table, const Options& options,
                                        const std::shared_ptr<rocksdb::Cache>& cache);
rocksdb::ColumnFamilyOptions tune_large(const Options& options, const std::shared_ptr<rocksdb::Cache>& cache);

}  // namespace codeq::storage::rocks
