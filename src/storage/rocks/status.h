// RocksDB's statuses as our errors. Their texts name files and offsets; keys and values never (RocksDB's default).
#pragma once

#include <string_view>

#include "base/result.h"

namespace rocksdb {
class Status;
}

namespace codeq::storage::rocks {

// `doing` is what failed, as in "cannot write to the store".
std::unexpected<Error> error_of(const rocksdb::Status& status, std::string_view doing);

}  // namespace codeq::storage::rocks
