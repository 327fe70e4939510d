#include "storage/rocks/paged_tables.h"

#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/check.h"
#include "storage/rules.h"

namespace codeq::storage::rocks {
namespace {

using rocksdb::Status;

constexpr const char* kRowsProperty = "codeq.rows";

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }
bool erases(const core::Row& row) { return row.op != core::Row::Op::kPut; }

std::string large_key(core::Table table, std::string_view key) {
  return static_cast<char>(table) + std::string(key);
}

Status damaged(core::Table table) { return Status::Corruption("a damaged page of table", slice(table_name(table))); }

class FoldPages final : public rocksdb::MergeOperator {
 public:
  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override {
    std::vector<std::string_view> pages;
    pages.reserve(in.operand_list.size() + 1);
    if (in.existing_value != nullptr) pages.push_back(view(*in.existing_value));
    for (const auto& operand : in.operand_list) pages.push_back(view(operand));
    return merge_pages(pages, true, out->new_value);
  }
  bool PartialMergeMulti(const rocksdb::Slice&, const std::deque<rocksdb::Slice>& operands, std::string* merged,
                         rocksdb::Logger*) const override {
    std::vector<std::string_view> pages;
    for (const auto& operand : operands) pages.push_back(view(operand));
    return merge_pages(pages, false, *merged);
  }
  const char* Name() const override { return "codeq.page.1"; }
};

class RowCounter final : public rocksdb::TablePropertiesCollector {
 public:
  Status AddUserKey(const rocksdb::Slice&, const rocksdb::Slice& value, rocksdb::EntryType type, rocksdb::SequenceNumber,
                    std::uint64_t) override {
    if (type != rocksdb::kEntryPut && type != rocksdb::kEntryMerge) return Status::OK();
    PageReader reader(view(value));
    for (PageRow row; reader.next(row);) rows_ += row.kind == PageRow::Kind::kErased ? -1 : 1;
    return Status::OK();
  }
  Status Finish(rocksdb::UserCollectedProperties* properties) override {
    (*properties)[kRowsProperty] = std::to_string(rows_);
    return Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{kRowsProperty, std::to_string(rows_)}};
  }
  const char* Name() const override { return "codeq.rows"; }

 private:
  std::int64_t rows_ = 0;
};

class RowCounters final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override { return new RowCounter; }
  const char* Name() const override { return "codeq.rows"; }
};

}  // namespace

void set_up_pages(rocksdb::ColumnFamilyOptions& family) {
  family.merge_operator = std::make_shared<FoldPages>();
  family.table_properties_collector_factories.push_back(std::make_shared<RowCounters>());
}

Status PagedTables::open(rocksdb::DB& db, const Families& families) {
  CHECK(families.size() == core::kTables + 1);
  db_ = &db;
  families_ = families;
  const std::unique_ptr<rocksdb::Iterator> first(db.NewIterator({}, large()));
  first->SeekToFirst();
  any_large_ = first->Valid();
  return first->status();
}

Status PagedTables::add(const std::vector<core::Row>& rows, rocksdb::WriteBatch& batch) {
  for (auto& changed : changed_) changed.clear();
  for (const core::Row& row : rows) {
    if (is_paged(row.table)) changed_[static_cast<std::size_t>(row.table)].push_back(&row);
  }
  for (std::size_t i = 0; i < core::kTables; ++i) {
    auto& changed = changed_[i];
    const auto key = [](const core::Row* row) -> std::string_view { return row->key; };
    if (!std::ranges::is_sorted(changed, {}, key)) std::ranges::stable_sort(changed, {}, key);
    // The last one of a key counts.
    rows_.clear();
    for (const auto* row : changed) {
      if (!rows_.empty() && rows_.back()->key == row->key)
        rows_.back() = row;
      else
        rows_.push_back(row);
    }
    const auto table = static_cast<core::Table>(i);
    for (std::size_t begin = 0, end = 0; begin < rows_.size(); begin = end) {
      for (end = begin + 1; end < rows_.size() && same_page(table, rows_[end]->key, rows_[begin]->key);) ++end;
      if (auto status = add_page(table, begin, end, batch); !status.ok()) return status;
    }
  }
  return Status::OK();
}

Status PagedTables::add_page(core::Table table, std::size_t begin, std::size_t end, rocksdb::WriteBatch& batch) {
  const auto key = page_key(table, rows_[begin]->key);
  Status status;
  page_.clear();
  std::size_t erased = 0;
  for (std::size_t i = begin; i < end && status.ok(); ++i) {
    const core::Row& row = *rows_[i];
    if (erases(row)) {
      ++erased;
      append_to_page(page_, {.kind = PageRow::Kind::kErased, .key = row.key, .value = {}});
      if (any_large_ && may_stand_apart(table)) status = batch.Delete(large(), large_key(table, row.key));
    } else if (row.value.size() > kApartBytes && may_stand_apart(table)) {
      any_large_ = true;  // before anybody can read it
      append_to_page(page_, {.kind = PageRow::Kind::kApart, .key = row.key, .value = {}});
      status = batch.Put(large(), large_key(table, row.key), row.value);
    } else {
      append_to_page(page_, {.kind = PageRow::Kind::kHere, .key = row.key, .value = row.value});
    }
  }
  if (!status.ok()) return status;
  if (erased == 0) return batch.Merge(family(table), key, page_);
  if (erased == rows_of_page(table)) return batch.Delete(family(table), key);
  rocksdb::PinnableSlice before;
  rocksdb::ReadOptions once;
  once.fill_cache = false;
  status = read_page(once, table, key, before);
  if (!status.ok() && !status.IsNotFound()) return status;
  std::string after;
  const std::array pages{view(before), std::string_view(page_)};
  if (!merge_pages(pages, true, after)) return damaged(table);
  if (after == view(before)) return Status::OK();  // what was erased was not there
  return after.empty() ? batch.Delete(family(table), key) : batch.Merge(family(table), key, page_);
}

Status PagedTables::read_page(const rocksdb::ReadOptions& options, core::Table table, std::string_view key,
                              rocksdb::PinnableSlice& page) const {
  page.Reset();
  return db_->Get(options, family(table), slice(key), &page);
}

Status PagedTables::get(core::Table table, std::string_view key, std::string& value) const {
  rocksdb::PinnableSlice page;
  auto status = read_page({}, table, page_key(table, key), page);
  if (!status.ok()) return status;
  PageRow row;
  if (!find_in_page(view(page), key, row)) return damaged(table);
  if (row.kind == PageRow::Kind::kErased) return Status::NotFound();
  if (row.kind == PageRow::Kind::kApart) return get_apart(table, key, value);
  value = row.value;
  return Status::OK();
}

// Page and value as of one moment, or a write between the two would make a row of neither.
Status PagedTables::get_apart(core::Table table, std::string_view key, std::string& value) const {
  const auto free = [this](const rocksdb::Snapshot* snapshot) { db_->ReleaseSnapshot(snapshot); };
  const std::unique_ptr<const rocksdb::Snapshot, decltype(free)> moment(db_->GetSnapshot(), free);
  rocksdb::ReadOptions options;
  options.snapshot = moment.get();
  rocksdb::PinnableSlice page;
  if (auto status = read_page(options, table, page_key(table, key), page); !status.ok()) return status;
  PageRow row;
  if (!find_in_page(view(page), key, row)) return damaged(table);
  if (row.kind == PageRow::Kind::kErased) return Status::NotFound();
  if (row.kind == PageRow::Kind::kHere) {
    value = row.value;
    return Status::OK();
  }
  auto status = db_->Get(options, large(), large_key(table, key), &value);
  return status.IsNotFound() ? damaged(table) : status;
}

Status PagedTables::get_all(core::Table table, const std::vector<std::string>& keys,
                            std::vector<std::optional<std::string>>& values) const {
  values.assign(keys.size(), std::nullopt);
  std::vector<std::size_t> order(keys.size());  // of the keys
  std::iota(order.begin(), order.end(), 0);
  if (!std::ranges::is_sorted(keys)) std::ranges::sort(order, {}, [&](std::size_t i) -> const std::string& { return keys[i]; });
  std::vector<std::string> names;  // of the pages
  std::vector<std::size_t> begins;  // in `order`: the first key of each
  for (std::size_t at = 0; at < order.size(); ++at) {
    if (at > 0 && same_page(table, keys[order[at]], keys[order[at - 1]])) continue;
    names.push_back(page_key(table, keys[order[at]]));
    begins.push_back(at);
  }
  begins.push_back(order.size());
  const std::vector<rocksdb::Slice> wanted(names.begin(), names.end());
  std::vector<rocksdb::PinnableSlice> pages(names.size());
  std::vector<Status> statuses(names.size());
  db_->MultiGet({}, family(table), wanted.size(), wanted.data(), pages.data(), statuses.data(), true);
  for (std::size_t page = 0; page < names.size(); ++page) {
    if (statuses[page].IsNotFound()) continue;
    if (!statuses[page].ok()) return statuses[page];
    // Rows and keys are both in order: one walk finds all.
    PageReader reader(view(pages[page]));
    PageRow row;
    bool here = reader.next(row);
    for (auto at = begins[page]; at < begins[page + 1]; ++at) {
      const auto& key = keys[order[at]];
      while (here && row.key < key) here = reader.next(row);
      if (reader.damaged()) return damaged(table);
      if (!here || row.key != key) continue;
      auto& value = values[order[at]];
      if (row.kind == PageRow::Kind::kHere) value.emplace(row.value);
      if (row.kind != PageRow::Kind::kApart) continue;
      std::string large;
      const auto apart = get_apart(table, key, large);
      if (!apart.ok() && !apart.IsNotFound()) return apart;
      if (apart.ok()) value = std::move(large);
    }
  }
  return Status::OK();
}

Status PagedTables::scan(core::Table table, std::string_view from, std::string_view until,
                         const Store::Visit& visit) const {
  // Pages and large rows as of one moment, which flushes respect; and the moment before the look at `any_large_`: whatever
  // is apart then has set it before. (RocksDB 7's NewIterators alone is not of one moment while a flush goes on.)
  const auto free = [this](const rocksdb::Snapshot* snapshot) { db_->ReleaseSnapshot(snapshot); };
  const std::unique_ptr<const rocksdb::Snapshot, decltype(free)> moment(db_->GetSnapshot(), free);
  rocksdb::ReadOptions options;
  options.snapshot = moment.get();
  options.total_order_seek = true;
  options.fill_cache = false;
  const auto last = until.empty() ? std::string() : page_key(table, until) + '\0';
  const auto bound = slice(last);
  if (!until.empty()) options.iterate_upper_bound = &bound;
  rocksdb::ReadOptions unbounded = options;
  unbounded.iterate_upper_bound = nullptr;
  const std::unique_ptr<rocksdb::Iterator> pages(db_->NewIterator(options, family(table)));
  const std::unique_ptr<rocksdb::Iterator> apart(any_large_ ? db_->NewIterator(unbounded, large()) : nullptr);
  for (pages->Seek(page_key(table, from)); pages->Valid(); pages->Next()) {
    PageReader reader(view(pages->value()));
    for (PageRow row; reader.next(row);) {
      if (row.key < from || row.kind == PageRow::Kind::kErased) continue;
      if (!until.empty() && row.key >= until) return Status::OK();
      if (row.kind == PageRow::Kind::kApart) {
        const auto name = large_key(table, row.key);
        if (apart) apart->Seek(name);
        if (!apart || !apart->Valid()) return apart && !apart->status().ok() ? apart->status() : damaged(table);
        if (view(apart->key()) != name) return damaged(table);
        row.value = view(apart->value());
      }
      if (!visit(row.key, row.value)) return Status::OK();
    }
    if (reader.damaged()) return damaged(table);
  }
  return pages->status();
}

std::uint64_t PagedTables::rows_about(core::Table table) const {
  rocksdb::TablePropertiesCollection files;
  if (!db_->GetPropertiesOfAllTables(family(table), &files).ok()) return 0;
  std::int64_t rows = 0;
  for (const auto& [name, file] : files) {
    const auto found = file->user_collected_properties.find(kRowsProperty);
    if (found == file->user_collected_properties.end()) continue;
    std::int64_t in_file = 0;
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), in_file);
    // A page that was erased as a whole is in another file, full; the last one of a table may have had fewer rows.
    const auto erased = file->num_deletions * std::max<std::size_t>(rows_of_page(table), 1);
    rows += in_file - static_cast<std::int64_t>(erased);
  }
  return static_cast<std::uint64_t>(std::max<std::int64_t>(rows, 0));
}

}  // namespace codeq::storage::rocks
