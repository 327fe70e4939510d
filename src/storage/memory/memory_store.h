// A store in memory: the twin of the one on disk, with a power cut and failures that a test can order.
//
// Shape    rows are seen when `write` returns and survive `crash` when `flush` returns
// Errors   only those that a test asked for; a row that breaks the rule of kEraseOnce stops the process, as RocksDB
//          would answer it with wrong rows much later
// Threads  any; a visitor may read, and must not wait for a writer
// Cost     write, get: a look-up in an ordered map; flush: what changed since the last one
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "storage/store.h"

namespace codeq::storage {

struct MemoryOptions {
  // false plants a bug: tables become durable one by one, in the order of core::Table, so that a crash in between leaves
  // them as after different records.
  bool atomic_flush = true;
  // After so many writes the store flushes by itself, as one with full write buffers does (without atomic_flush: the
  // next table alone). 0: only when asked.
  std::uint64_t flush_every = 0;
  std::function<void(Position)> on_durable;  // on the writing thread, inside write or flush
};

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(MemoryOptions options = {});

  Result<void> write(const Position& position, const std::vector<core::Row>& rows) override;
  Result<void> flush() override;
  Result<std::optional<std::string>> get(core::Table table, std::string_view key) const override;
  Result<void> scan(core::Table table, std::string_view from, std::string_view until,
                    const Visit& visit) const override;
  [[nodiscard]] Position position() const override;
  [[nodiscard]] Position durable() const override;
  [[nodiscard]] StoreStats stats() const override;

  // The power fails and comes back: the rows are those of the last flush, and failures are forgotten.
  void crash();
  // The n-th write or flush from now (1: the next) fails, and every later write and flush with it. A failing flush has
  // made the first `tables` tables durable if the flush is not atomic, none if it is.
  void fail_write(std::uint64_t nth, Error error);
  void fail_flush(std::uint64_t nth, Error error, std::size_t tables = 0);

 private:
  struct Cell {
    std::string value;
    std::uint32_t puts = 0;  // since the row last was not there
  };
  struct Rows {
    std::map<std::string, Cell, std::less<>> now;
    std::map<std::string, std::optional<Cell>> before;  // at the last flush, of the rows that changed since
  };
  struct Planned {
    std::uint64_t calls_left = 0;  // 0: nothing is planned
    Error error;
    std::size_t tables = 0;
  };
  using Held = std::scoped_lock<std::recursive_mutex>;

  Result<void> call(Planned& planned, const Held&);
  void apply(const core::Row& row, const Held&);
  void make_durable(std::size_t table, const Held&);
  void flush_by_itself(const Held&);

  MemoryOptions options_;
  mutable std::recursive_mutex mutex_;
  std::array<Rows, core::kTables> tables_;
  Position position_;
  Position durable_;
  std::uint64_t writes_ = 0;
  std::size_t next_table_ = 0;
  std::uint64_t bytes_flushed_ = 0;
  Planned write_failure_, flush_failure_;
  std::optional<Error> failed_;
};

}  // namespace codeq::storage
