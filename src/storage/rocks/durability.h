// Which position is durable, learnt from RocksDB's flushes, and whether a background job has failed.
//
// Every write ends with the position's row, so the newest entry of a flushed meta table is such a row: its sequence
// number says which write it was. RocksDB tells of a flush once the MANIFEST that names its files is synced, for
// flushes that it began by itself too.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "storage/store.h"

namespace rocksdb {
class EventListener;
}

namespace codeq::storage::rocks {

class Durability {
 public:
  Durability(std::function<void(Position)> on_durable, std::function<void(const Error&)> on_error);

  void start(const Position& position);  // what the store has when it is opened
  // Called before the write whose last entry will get `sequence`: its flush can end before the write returns.
  void expect(std::uint64_t sequence, const Position& position);
  void flushed_to(std::uint64_t sequence);
  void advance(const Position& position);

  // The first failure is kept and told to on_error once, whoever met it, before any call answers with it.
  void fail_with(const Error& error);
  Result<void> opened();  // until then a failure is told by the answer of open alone
  [[nodiscard]] Result<void> state() const;
  [[nodiscard]] Position durable() const;

  std::atomic<std::uint64_t> stalls = 0;  // times that writes began to be slowed down or held
  std::atomic<std::uint64_t> bytes_flushed = 0;
  std::atomic<std::uint64_t> bytes_compacted = 0;

 private:
  struct Mark {
    std::uint64_t sequence;
    Position position;
  };
  const std::function<void(Position)> on_durable_;
  const std::function<void(const Error&)> on_error_;
  mutable std::mutex telling_;  // before mutex_: one callback at a time, in the order of positions
  mutable std::mutex mutex_;
  std::deque<Mark> marks_;  // written, not yet flushed; oldest first
  Position durable_;
  std::optional<Error> failed_;
  std::atomic<bool> has_failed_ = false;
  bool open_ = false;  // under mutex_
};

// Borrows `durability`, which outlives the database.
std::shared_ptr<rocksdb::EventListener> listen(Durability& durability);

}  // namespace codeq::storage::rocks
