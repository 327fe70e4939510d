#include "storage/memory/memory_store.h"

#include <utility>

#include "base/check.h"
#include "base/plant.h"
#include "storage/rules.h"

namespace codeq::storage {
namespace {

constexpr auto kMeta = static_cast<std::size_t>(core::Table::kMeta);

std::size_t index_of(core::Table table) {
  const auto index = static_cast<std::size_t>(table);
  CHECK(index < core::kTables);
  return index;
}

}  // namespace

MemoryStore::MemoryStore(MemoryOptions options) : options_(std::move(options)) {
  if (planted(Plant::kMissingAtomicFlush)) options_.atomic_flush = false;
}

// One more call of its kind: fails if it is the planned one, or if an earlier one failed.
Result<void> MemoryStore::call(Planned& planned, const Held&) {
  if (failed_) return std::unexpected(*failed_);
  if (planned.calls_left > 0 && --planned.calls_left == 0) {
    failed_ = planned.error;
    return std::unexpected(*failed_);
  }
  return {};
}

Result<void> MemoryStore::write(const Position& position, const std::vector<core::Row>& rows) {
  const Held held(mutex_);
  CODEQ_TRY_VOID(call(write_failure_, held));
  CODEQ_TRY_VOID(check_rows(rows));
  CHECK(follows(position, position_));
  for (const core::Row& row : rows) apply(row, held);
  position_ = position;
  if (options_.flush_every > 0 && ++writes_ % options_.flush_every == 0) flush_by_itself(held);
  return {};
}

void MemoryStore::apply(const core::Row& row, const Held&) {
  Rows& rows = tables_[index_of(row.table)];
  const auto found = rows.now.find(row.key);
  const bool there = found != rows.now.end();
  // The oldest state since the flush stays; later ones of the same row are not asked for.
  rows.before.try_emplace(row.key, there ? std::optional(found->second) : std::nullopt);
  switch (row.op) {
    case core::Row::Op::kPut: {
      Cell& cell = there ? found->second : rows.now[row.key];
      cell.value = row.value;
      ++cell.puts;
      return;
    }
    case core::Row::Op::kEraseOnce:
      CHECK(there && found->second.puts == 1);
      rows.now.erase(found);
      return;
    case core::Row::Op::kErase:
      if (there) rows.now.erase(found);
      return;
  }
}

Result<void> MemoryStore::flush() {
  const Held held(mutex_);
  if (auto allowed = call(flush_failure_, held); !allowed) {
    if (!options_.atomic_flush) {
      for (std::size_t table = 0; table < flush_failure_.tables; ++table) make_durable(table, held);
    }
    flush_failure_ = {};
    return allowed;
  }
  for (std::size_t table = 0; table < core::kTables; ++table) make_durable(table, held);
  return {};
}

void MemoryStore::flush_by_itself(const Held& held) {
  if (!options_.atomic_flush) {
    make_durable(next_table_++ % core::kTables, held);
    return;
  }
  for (std::size_t table = 0; table < core::kTables; ++table) make_durable(table, held);
}

void MemoryStore::make_durable(std::size_t table, const Held&) {
  Rows& rows = tables_[table];
  for (const auto& [key, value] : rows.before) bytes_flushed_ += key.size() + (value ? value->value.size() : 0);
  rows.before.clear();
  if (table != kMeta || durable_ == position_) return;
  durable_ = position_;
  if (options_.on_durable) options_.on_durable(durable_);
}

void MemoryStore::crash() {
  const Held held(mutex_);
  for (Rows& rows : tables_) {
    for (auto& [key, cell] : rows.before) {
      if (cell) {
        rows.now.insert_or_assign(key, *std::move(cell));
      } else {
        rows.now.erase(key);
      }
    }
    rows.before.clear();
  }
  position_ = durable_;
  failed_.reset();
  write_failure_ = flush_failure_ = {};
}

void MemoryStore::fail_write(std::uint64_t nth, Error error) {
  const Held held(mutex_);
  write_failure_ = {nth, std::move(error), 0};
}

void MemoryStore::fail_flush(std::uint64_t nth, Error error, std::size_t tables) {
  CHECK(tables <= core::kTables);
  const Held held(mutex_);
  flush_failure_ = {nth, std::move(error), tables};
}

Result<std::optional<std::string>> MemoryStore::get(core::Table table, std::string_view key) const {
  const Held held(mutex_);
  const auto& rows = tables_[index_of(table)].now;
  const auto row = rows.find(key);
  if (row == rows.end()) return std::nullopt;
  return row->second.value;
}

Result<void> MemoryStore::scan(core::Table table, std::string_view from, std::string_view until,
                               const Visit& visit) const {
  const Held held(mutex_);
  const auto& rows = tables_[index_of(table)].now;
  for (auto row = rows.lower_bound(from); row != rows.end(); ++row) {
    if (!until.empty() && row->first >= until) break;
    if (!visit(row->first, row->second.value)) break;
  }
  return {};
}

Position MemoryStore::position() const {
  const Held held(mutex_);
  return position_;
}

Position MemoryStore::durable() const {
  const Held held(mutex_);
  return durable_;
}

StoreStats MemoryStore::stats() const {
  const Held held(mutex_);
  StoreStats stats;
  for (std::size_t table = 0; table < core::kTables; ++table) {
    TableStats& of_table =
        stats.tables.emplace_back(std::string(table_name(static_cast<core::Table>(table))), tables_[table].now.size());
    for (const auto& [key, cell] : tables_[table].now) of_table.bytes += key.size() + cell.value.size();
    stats.memory_bytes += of_table.bytes;
  }
  stats.bytes_flushed = bytes_flushed_;
  return stats;
}

}  // namespace codeq::storage
