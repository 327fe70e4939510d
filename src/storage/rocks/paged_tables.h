// The tables that stand in pages (page.h), and the large rows that stand apart.
//
// Shape    page key -> page; a write adds what it changed of a page as a merge operand, and RocksDB folds operands into the
//          page when it reads or compacts. Values over kApartBytes stand in a family of their own
//          under table byte and key; the page says so
// Errors   RocksDB's status; Corruption for a page that is none
// Threads  add: the one who writes. Everything else: any
// Cost     add: one entry per page instead of one per row. An erasure that leaves neighbours reads their page first, so that
//          a page whose last row goes is gone, too; one that takes all 32 sequences of a page reads nothing
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/rocks/page.h"
#include "storage/store.h"

namespace codeq::storage::rocks {

inline constexpr const char* kLargeFamily = "large";

// Folds pages; counts the rows of a file for `rows_about`.
void set_up_pages(rocksdb::ColumnFamilyOptions& family);

class PagedTables {
 public:
  using Families = std::vector<rocksdb::ColumnFamilyHandle*>;  // by core::Table, then the large one
  rocksdb::Status open(rocksdb::DB& db, const Families& families);

  // The rows of paged tables among `rows`, in their order; the others are somebody else's.
  rocksdb::Status add(const std::vector<core::Row>& rows, rocksdb::WriteBatch& batch);

  rocksdb::Status get(core::Table table, std::string_view key, std::string& value) const;  // NotFound
  rocksdb::Status get_all(core::Table table, const std::vector<std::string>& keys,
                          std::vector<std::optional<std::string>>& values) const;
  rocksdb::Status scan(core::Table table, std::string_view from, std::string_view until, const Store::Visit& visit) const;
  [[nodiscard]] std::uint64_t rows_about(core::Table table) const;
  [[nodiscard]] rocksdb::ColumnFamilyHandle* large() const { return families_[core::kTables]; }

 private:
  rocksdb::Status add_page(core::Table table, std::size_t begin, std::size_t end, rocksdb::WriteBatch& batch);
  rocksdb::Status read_page(const rocksdb::ReadOptions& options, core::Table table, std::string_view key,
                            rocksdb::PinnableSlice& page) const;
  rocksdb::Status get_apart(core::Table table, std::string_view key, std::string& value) const;
  [[nodiscard]] rocksdb::ColumnFamilyHandle* family(core::Table table) const {
    return families_[static_cast<std::size_t>(table)];
  }
  rocksdb::DB* db_ = nullptr;
  Families families_;
  std::atomic<bool> any_large_ = false;  // perhaps; a store without them never looks for them
  // Of `add`, whose memory is kept.
  std::array<std::vector<const core::Row*>, core::kTables> changed_;
  std::vector<const core::Row*> rows_;
  std::string page_;
};

}  // namespace codeq::storage::rocks
