// RocksDB's MANIFEST up to its first bad record: for a start after a power cut that tore the newest record apart.
//
// RocksDB refuses such a file unless the tear is at its very end. But the log still has everything since the last flush
// that was synced, so that the store as of any earlier record will do, if the log agrees; the position row decides.
//
// Source   RocksDB wiki, "Write Ahead Log File Format", which MANIFEST files share; CRC-32C: RFC 3720, appendix B.4
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rocksdb {
class Env;
class FileSystem;
}  // namespace rocksdb

namespace codeq::storage::rocks {

// The bytes up to the end of the last whole record before the first that is not whole. Cost: one pass.
std::uint64_t whole_records(std::string_view manifest);

struct Manifest {
  std::string name;
  std::uint64_t bytes = 0, whole_bytes = 0;
};
// What CURRENT names.
Result<Manifest> look_at_manifest(rocksdb::Env& env, const std::string& folder);

// `below`, where the file at `path` ends after `bytes` when it is read from its start.
std::shared_ptr<rocksdb::FileSystem> cut_when_read(std::shared_ptr<rocksdb::FileSystem> below, std::string path,
                                                   std::uint64_t bytes);

}  // namespace codeq::storage::rocks
