#include "storage/rocks/rocks_store.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>
#include <rocksdb/write_batch.h>

#include <mutex>
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/rocks/disk_file_system.h"
#include "storage/rocks/durability.h"
#include "storage/rocks/failing_stop.h"
#include "storage/rocks/folder.h"
#include "storage/rocks/maintenance.h"
#include "storage/rocks/manifest.h"
#include "storage/rocks/paged_tables.h"
#include "storage/rocks/position_row.h"
#include "storage/rocks/status.h"
#include "storage/rocks/tuning.h"
#include "storage/rules.h"

namespace codeq::storage::rocks {
namespace {

// RocksDB's own diary (LOG) is not kept: on a full disk its second failed line would stop the process by an assertion of
// RocksDB's file writer, before our own failure is told. Errors go to the caller, figures to the metrics.
class NoDiary final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

constexpr std::size_t kBatchBytesKept = std::size_t{16} << 20;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// Meta is RocksDB's default family, which is always there: one family less to flush.
std::string family_name(core::Table table) {
  return table == core::Table::kMeta ? rocksdb::kDefaultColumnFamilyName : std::string(table_name(table));
}

// Whether all keys of [from, until) begin with `from`'s prefix, so that one filter can answer for all of them.
bool is_one_prefix(std::string_view from, std::string_view until) {
  if (from.size() < kKeyPrefixBytes || until.empty()) return false;
  std::string next(from.substr(0, kKeyPrefixBytes));
  while (!next.empty() && next.back() == '\xff') next.pop_back();
  if (next.empty()) return false;
  next.back() = static_cast<char>(static_cast<unsigned char>(next.back()) + 1);
  return until <= next;
}

}  // namespace

struct RocksStore::Impl {
  // `folder` is where the files are, which is elsewhere while a store is made.
  Impl(Options given, std::string at, const Manifest& cut = {})
      : options(std::move(given)), folder(std::move(at)), durability(options.on_durable, options.on_error) {
    auto files = options.disk != nullptr ? on_disk(*options.disk) : rocksdb::FileSystem::Default();
    if (!cut.name.empty())
      files = cut_when_read(std::move(files), fmt::format("{}/{}", folder, cut.name), cut.whole_bytes);
    const auto failed = [this](const Error& error) { durability.fail_with(error); };
    env = stop_at_first_failure(std::move(files), folder, failed);
  }
  ~Impl() { close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // An empty store, closed again.
  static Result<void> make(const std::string& folder, const Options& asked) {
    Options options;
    options.write_buffer_bytes = asked.write_buffer_bytes;
    options.disk = asked.disk;
    Impl made(std::move(options), folder);
    CODEQ_TRY_VOID(made.open(true));
    made.close();
    return made.durability.state();
  }
  // As of the last whole record, if the log has the rest; nothing: not so, and nothing was changed.
  static Result<std::unique_ptr<Impl>> open_before(const Options& asked, const Manifest& cut) {
    Options looking = asked;
    looking.read_only = true;
    looking.on_durable = nullptr;
    looking.on_error = nullptr;
    Impl look(std::move(looking), asked.folder, cut);
    const auto damaged = [](const Error& error) -> Result<std::unique_ptr<Impl>> {
      if (error.code == Code::kIo || error.code == Code::kDiskFull) return std::unexpected(error);  // the disk, not the store
      return nullptr;
    };
    if (auto opened = look.open(false); !opened) return damaged(opened.error());
    if (auto loaded = look.load_position(); !loaded) return damaged(loaded.error());
    if (!asked.can_replay_after) return nullptr;
    const auto has_the_rest = asked.can_replay_after(look.position);
    if (!has_the_rest) return damaged(has_the_rest.error());
    if (!*has_the_rest) return nullptr;
    look.close();
    auto impl = std::make_unique<Impl>(asked, asked.folder, cut);
    if (auto opened = impl->open(false); !opened) return damaged(opened.error());
    return impl;
  }
  static Result<std::unique_ptr<Impl>> rescue(const Impl& refused, const Error& why);
  Result<void> open(bool create);
  void close() {
    if (db == nullptr) return;
    for (auto* family : families) (void)db->DestroyColumnFamilyHandle(family);
    (void)db->Close();
    db.reset();
  }
  Result<void> load_position();
  [[nodiscard]] rocksdb::ColumnFamilyHandle* family(core::Table table) const {
    CHECK(static_cast<std::size_t>(table) < families.size());
    return families[static_cast<std::size_t>(table)];
  }
  Result<void> may_write() const {
    if (options.read_only) return fail(Code::kInvalidArgument, "the store was opened for reading");
    return durability.state();
  }

  const Options options;
  const std::string folder;
  StoreId id{};
  Durability durability;  // before db: its threads call it until it is closed
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<rocksdb::Env> env;
  std::unique_ptr<rocksdb::DB> db;
  PagedTables::Families families;
  PagedTables pages;
  rocksdb::WriteBatch batch;  // of the one who writes
  mutable std::mutex mutex;
  Position position;  // under mutex
};

Result<void> RocksStore::Impl::open(bool create) {
  cache = make_cache(options);
  rocksdb::DBOptions tuned = tune_store(options, cache);
  tuned.env = env.get();
  tuned.create_if_missing = create;
  tuned.listeners.push_back(listen(durability));
  tuned.info_log = std::make_shared<NoDiary>();
  std::vector<rocksdb::ColumnFamilyDescriptor> tables;
  for (std::size_t i = 0; i < core::kTables; ++i) {
    const auto table = static_cast<core::Table>(i);
    tables.emplace_back(family_name(table), tune_table(table, options, cache));
  }
  tables.emplace_back(kLargeFamily, tune_large(options, cache));
  // A new database has its default family alone. The others are made in one go: each on its own is four syncs.
  std::vector<rocksdb::ColumnFamilyDescriptor> later;
  if (create) {
    later.assign(tables.begin() + 1, tables.end());
    tables.resize(1, tables.front());
  }
  rocksdb::DB* opened = nullptr;
  auto status = options.read_only ? rocksdb::DB::OpenForReadOnly(tuned, folder, tables, &families, &opened)
                                        : rocksdb::DB::Open(tuned, folder, tables, &families, &opened);
  db.reset(opened);
  if (status.ok() && create) {
    std::vector<rocksdb::ColumnFamilyHandle*> made;
    status = db->CreateColumnFamilies(later, &made);
    families.insert(families.end(), made.begin(), made.end());
  }
  if (status.ok()) status = pages.open(*db, families);
  CODEQ_TRY_VOID(durability.opened());  // what failed first says more than what came of it
  if (status.ok()) return {};
  auto error = error_of(status, "cannot open the store in " + folder);
  // The folder has our format: whatever RocksDB finds odd in it, such as no CURRENT or other families, is damage.
  if (status.IsInvalidArgument()) error.error().code = Code::kCorrupt;
  return error;
}

Result<void> RocksStore::Impl::load_position() {
  std::string bytes;
  const auto status = db->Get({}, family(core::Table::kMeta), slice(kPositionName), &bytes);
  if (status.IsNotFound()) return {};
  if (!status.ok()) return error_of(status, "cannot read the position of the store");
  const auto read = read_position(bytes);
  if (!read) return fail(Code::kCorrupt, fmt::format("the store in {} has no sound position", options.folder));
  position = *read;
  durability.start(position);
  return {};
}

RocksStore::RocksStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksStore::~RocksStore() = default;

// A store that does not open: perhaps as of its last whole record; else what is wrong, and where.
Result<std::unique_ptr<RocksStore::Impl>> RocksStore::Impl::rescue(const Impl& refused, const Error& why) {
  if (why.code != Code::kCorrupt) return std::unexpected(why);
  const std::string& folder = refused.folder;
  CODEQ_TRY(const auto manifest, look_at_manifest(*refused.env, folder));
  if (manifest.whole_bytes == manifest.bytes) {
    CODEQ_TRY_VOID(verify_tables(*refused.env, folder));  // RocksDB calls a bad table a bad MANIFEST
    return std::unexpected(why);
  }
  CODEQ_TRY(auto impl, open_before(refused.options, manifest));
  if (impl != nullptr) return impl;
  return fail(Code::kCorrupt,
              fmt::format("{}/{}, byte {}: no whole record, and the log cannot make up for what may follow: {}", folder,
                          manifest.name, manifest.whole_bytes, why.message));
}

Result<std::unique_ptr<RocksStore>> RocksStore::open(Options options) {
  while (options.folder.size() > 1 && options.folder.ends_with('/')) options.folder.pop_back();
  const std::string folder = options.folder;
  auto impl = std::make_unique<Impl>(std::move(options), folder);
  const Options& asked = impl->options;
  CODEQ_TRY(const auto id, look_into(*impl->env, folder));
  if (id && *id != asked.id && !asked.any_id) {
    return fail(Code::kInvalidArgument,
                fmt::format("the store in {} belongs to another log: it was left untouched", folder));
  }
  if (!id && (asked.read_only || asked.any_id)) {
    return fail(Code::kInvalidArgument, fmt::format("there is no store in {}", folder));
  }
  if (!id) {
    const auto make = [&asked](const std::string& unfinished) { return Impl::make(unfinished, asked); };
    CODEQ_TRY_VOID(create_folder(*impl->env, folder, asked.id, make));
  }
  if (auto opened = impl->open(false); !opened) {
    CODEQ_TRY(impl, Impl::rescue(*impl, opened.error()));
  }
  impl->id = id.value_or(impl->options.id);
  CODEQ_TRY_VOID(impl->load_position());
  return std::unique_ptr<RocksStore>(new RocksStore(std::move(impl)));
}

Result<void> RocksStore::write(const Position& position, const std::vector<core::Row>& rows) {
  CODEQ_TRY_VOID(impl_->may_write());
  CODEQ_TRY_VOID(check_rows(rows));
  CHECK(follows(position, this->position()));
  // Its memory is kept: taking megabytes from the system for each write costs more than filling them.
  auto& batch = impl_->batch;
  batch.Clear();
  rocksdb::Status status = impl_->pages.add(rows, batch);
  for (const core::Row& row : rows) {
    if (!status.ok()) break;
    if (is_paged(row.table)) continue;
    auto* const family = impl_->family(row.table);
    switch (row.op) {
      case core::Row::Op::kPut: status = batch.Put(family, row.key, row.value); break;
      case core::Row::Op::kErase: status = batch.Delete(family, row.key); break;
      case core::Row::Op::kEraseOnce: status = batch.SingleDelete(family, row.key); break;
    }
  }
  // Last, so that its sequence number is the newest of this write (durability.h).
  if (status.ok()) {
    status = batch.Put(impl_->family(core::Table::kMeta), slice(kPositionName), position_bytes(position));
  }
  if (status.ok()) {
    impl_->durability.expect(impl_->db->GetLatestSequenceNumber() + batch.Count(), position);
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    options.memtable_insert_hint_per_batch = true;
    status = impl_->db->Write(options, &batch);
  }
  if (batch.GetDataSize() > kBatchBytesKept) batch = rocksdb::WriteBatch();
  if (!status.ok()) {
    auto error = error_of(status, "cannot write to the store");
    impl_->durability.fail_with(error.error());
    return impl_->durability.state();  // the first failure, if this is not it
  }
  const std::scoped_lock held(impl_->mutex);
  impl_->position = position;
  return {};
}

Result<void> RocksStore::flush() {
  CODEQ_TRY_VOID(impl_->may_write());
  const Position written = position();
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;
  if (const auto status = impl_->db->Flush(options, impl_->families); !status.ok()) {
    impl_->durability.fail_with(error_of(status, "cannot flush the store").error());
    return impl_->durability.state();
  }
  CODEQ_TRY_VOID(impl_->durability.state());  // a failure in the background may have been somebody else's flush
  impl_->durability.advance(written);         // RocksDB's own message may still be on its way
  return {};
}

Result<std::optional<std::string>> RocksStore::get(core::Table table, std::string_view key) const {
  if (is_reserved(table, key)) return std::nullopt;
  CODEQ_TRY_VOID(impl_->durability.state());
  std::string value;
  const auto status = is_paged(table) ? impl_->pages.get(table, key, value)
                                      : impl_->db->Get({}, impl_->family(table), slice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return error_of(status, fmt::format("cannot read a row of {}", table_name(table)));
  return value;
}

Result<std::vector<std::optional<std::string>>> RocksStore::get_all(core::Table table,
                                                                    const std::vector<std::string>& keys) const {
  CODEQ_TRY_VOID(impl_->durability.state());
  if (is_paged(table)) {
    std::vector<std::optional<std::string>> rows;
    const auto status = impl_->pages.get_all(table, keys, rows);
    if (!status.ok()) return error_of(status, fmt::format("cannot read rows of {}", table_name(table)));
    return rows;
  }
  std::vector<rocksdb::Slice> wanted(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> found(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  impl_->db->MultiGet({}, impl_->family(table), keys.size(), wanted.data(), found.data(), statuses.data());
  std::vector<std::optional<std::string>> values(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound() || is_reserved(table, keys[i])) continue;
    if (!statuses[i].ok()) return error_of(statuses[i], fmt::format("cannot read rows of {}", table_name(table)));
    values[i] = found[i].ToString();
  }
  return values;
}

Result<void> RocksStore::scan(core::Table table, std::string_view from, std::string_view until,
                              const Visit& visit) const {
  CODEQ_TRY_VOID(impl_->durability.state());
  if (is_paged(table)) {
    const auto status = impl_->pages.scan(table, from, until, visit);
    if (!status.ok()) return error_of(status, fmt::format("cannot scan {}", table_name(table)));
    return impl_->durability.state();  // it may have failed below what was read
  }
  const bool one_prefix = table == core::Table::kKey && is_one_prefix(from, until);
  rocksdb::ReadOptions options;
  options.prefix_same_as_start = one_prefix;
  options.total_order_seek = !one_prefix;
  options.fill_cache = one_prefix;  // a look-up of one key; longer scans would push out what look-ups need
  const rocksdb::Slice bound = slice(until);
  if (!until.empty()) options.iterate_upper_bound = &bound;
  if (is_reserved(table, from)) from = "\x01";
  const std::unique_ptr<rocksdb::Iterator> row(impl_->db->NewIterator(options, impl_->family(table)));
  for (row->Seek(slice(from)); row->Valid(); row->Next()) {
    if (!visit(view(row->key()), view(row->value()))) break;
  }
  if (!row->status().ok()) return error_of(row->status(), fmt::format("cannot scan {}", table_name(table)));
  CODEQ_TRY_VOID(impl_->durability.state());  // it may have failed below what was read
  return {};
}

Position RocksStore::position() const {
  const std::scoped_lock held(impl_->mutex);
  return impl_->position;
}
Position RocksStore::durable() const { return impl_->durability.durable(); }
const StoreId& RocksStore::id() const { return impl_->id; }

StoreStats RocksStore::stats() const {
  rocksdb::DB& db = *impl_->db;
  StoreStats stats;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < core::kTables; ++i) {
    const auto table = static_cast<core::Table>(i);
    TableStats& of_table = stats.tables.emplace_back();
    of_table.name = table_name(table);
    if (db.GetIntProperty(impl_->family(table), rocksdb::DB::Properties::kEstimateNumKeys, &number))
      of_table.rows = number;
    // What RocksDB estimates from statistics that it only gathers while it runs.
    rocksdb::TablePropertiesCollection files;
    if (impl_->options.read_only && db.GetPropertiesOfAllTables(impl_->family(table), &files).ok()) {
      std::uint64_t entries = 0, erased = 0;
      for (const auto& [name, file] : files) entries += file->num_entries, erased += file->num_deletions;
      of_table.rows = entries - std::min(entries, 2 * erased);
    }
    if (is_paged(table)) of_table.rows = impl_->pages.rows_about(table);
    if (db.GetIntProperty(impl_->family(table), rocksdb::DB::Properties::kLiveSstFilesSize, &number))
      of_table.bytes = number;
    if (db.GetIntProperty(impl_->family(table), rocksdb::DB::Properties::kEstimateTableReadersMem, &number)) {
      stats.memory_bytes += number;
    }
  }
  TableStats& apart = stats.tables.emplace_back();
  apart.name = kLargeFamily;
  if (db.GetIntProperty(impl_->pages.large(), rocksdb::DB::Properties::kEstimateNumKeys, &number)) apart.rows = number;
  if (db.GetIntProperty(impl_->pages.large(), rocksdb::DB::Properties::kLiveSstFilesSize, &number)) apart.bytes = number;
  if (db.GetIntProperty(impl_->pages.large(), rocksdb::DB::Properties::kEstimateTableReadersMem, &number))
    stats.memory_bytes += number;
  stats.memory_bytes += impl_->cache->GetUsage();  // write buffers included, they are charged to it
  stats.bytes_flushed = impl_->durability.bytes_flushed;
  stats.bytes_compacted = impl_->durability.bytes_compacted;
  stats.stalls = impl_->durability.stalls;
  if (db.GetAggregatedIntProperty(rocksdb::DB::Properties::kEstimatePendingCompactionBytes, &number))
    stats.compaction_pending_bytes = number;
  if (db.GetIntProperty(rocksdb::DB::Properties::kNumRunningCompactions, &number)) stats.compactions_running = number;
  for (const std::string& property :
       {rocksdb::DB::Properties::kIsWriteStopped, rocksdb::DB::Properties::kActualDelayedWriteRate}) {
    if (db.GetIntProperty(property, &number) && number > 0) stats.stalled = true;
  }
  return stats;
}

Result<Position> RocksStore::checkpoint(const std::string& path) {
  CODEQ_TRY_VOID(flush());
  CODEQ_TRY_VOID(make_checkpoint(*impl_->db, path, impl_->id));
  // What the copy itself says, which also shows that it can be opened.
  Options options;
  options.folder = path;
  options.id = impl_->id;
  options.disk = impl_->options.disk;
  options.read_only = true;
  options.write_buffer_bytes = options.cache_bytes = 1U << 20;
  CODEQ_TRY(const auto copy, open(std::move(options)));
  return copy->position();
}

Result<void> RocksStore::verify(const std::function<void(const Progress&)>& progress) const {
  return verify_files(*impl_->db, progress);
}

}  // namespace codeq::storage::rocks
