#include "storage/rocks/status.h"

#include <fmt/format.h>
#include <rocksdb/status.h>

namespace codeq::storage::rocks {
namespace {

Code code_of(const rocksdb::Status& status) {
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) return Code::kDiskFull;
  if (status.IsCorruption()) return Code::kCorrupt;
  // A file that RocksDB wants and that is not there: somebody took it away.
  if (status.IsPathNotFound() || status.IsNotFound()) return Code::kCorrupt;
  if (status.IsIOError()) return Code::kIo;
  return Code::kInternal;
}

}  // namespace

std::unexpected<Error> error_of(const rocksdb::Status& status, std::string_view doing) {
  return fail(code_of(status), fmt::format("{}: {}", doing, status.ToString()));
}

}  // namespace codeq::storage::rocks
