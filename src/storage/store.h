// The image of a log: ordered tables of rows, always exactly as after some record of the log.
//
// Shape    (table, key) -> value; one write moves all tables and the position in one step
// Errors   kIo, kDiskFull, kCorrupt with the file; after a failed write or flush every later one fails the same way
// Threads  write and flush: one thread (the image's). get, scan, durable, stats: any
// Cost     write: memory only, until a flush carries it to the disk; nothing is durable before a flush covers it
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/rows.h"

namespace codeq::storage {

// Which part of the log the rows reflect.
struct Position {
  std::uint64_t records = 0;        // the first so many records of the log
  std::uint64_t group = 0;          // the newest log group that is wholly among them
  std::uint64_t group_records = 0;  // records up to that group's end, <= records
  bool operator==(const Position&) const = default;
};

struct TableStats {
  std::string name;
  std::uint64_t rows = 0;  // an estimate
  std::uint64_t bytes = 0;
};
struct StoreStats {
  std::vector<TableStats> tables;        // by core::Table; a store may add what it keeps beside them
  std::uint64_t memory_bytes = 0;        // write buffers, cache, table readers
  std::uint64_t bytes_flushed = 0;       // since open
  std::uint64_t bytes_compacted = 0;     // written by compactions since open
  std::uint64_t compaction_pending_bytes = 0;  // an estimate
  std::uint64_t compactions_running = 0;
  std::uint64_t stalls = 0;              // times since open that it began to
  bool stalled = false;                  // writes are being slowed down or held by the store
};

class Store {
 public:
  virtual ~Store() = default;

  // All of `rows` in their order, and the position, or nothing. Seen by every get and scan that starts after it returns.
  virtual Result<void> write(const Position& position, const std::vector<core::Row>& rows) = 0;
  // Everything written so far survives a power cut when this returns.
  virtual Result<void> flush() = 0;

  virtual Result<std::optional<std::string>> get(core::Table table, std::string_view key) const = 0;
  // One answer per key, in their order; cheaper than one by one.
  virtual Result<std::vector<std::optional<std::string>>> get_all(core::Table table,
                                                                  const std::vector<std::string>& keys) const;
  // Rows with from <= key < until (empty `until`: to the end), in byte order, as of one moment. `visit` says whether to go on.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Result<void> scan(core::Table table, std::string_view from, std::string_view until, const Visit& visit) const = 0;

  [[nodiscard]] virtual Position position() const = 0;  // of the newest write
  [[nodiscard]] virtual Position durable() const = 0;   // of the newest write that a power cut cannot take back
  [[nodiscard]] virtual StoreStats stats() const = 0;
};

}  // namespace codeq::storage
