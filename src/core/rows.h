// The rows of the store: what a partition keeps outside its memory, as ordered keys and values.
//
// Shape    eight tables; keys start with big-endian numbers, so that byte order is numeric order
//            meta    name                               the partition's scalars
//            queue   queue id u32                       tenant, command and counts of a queue
//            live    sequence u64                       mutable part of a task that is not finished; gone when it ends
//            body    sequence u64                       what never changes: task info and payload
//            done    sequence u64                       mutable part and result of a finished task
//            key     XXH3-128 of (tenant, key), sequence u64     idempotency keys
//            retire  retire time i64, sequence u64      when a finished task goes
//            outbox  delivery id u64                    webhook deliveries, due or failed
// Source   bytes in docs/formats/rows.md
#pragma once

#include <cstdint>
#include <string>

namespace codeq::core {

enum class Table : std::uint8_t { kMeta, kQueue, kLive, kBody, kDone, kKey, kRetire, kOutbox };
inline constexpr std::size_t kTables = 8;

struct Row {
  enum class Op : std::uint8_t {
    kPut,
    kErase,
    kEraseOnce,  // the row was put exactly once since it last was not there (RocksDB: SingleDelete)
  };
  Table table{};
  Op op = Op::kPut;
  std::string key;
  std::string value;  // empty for the erasing ones
};

}  // namespace codeq::core
