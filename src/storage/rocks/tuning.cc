#include "storage/rocks/tuning.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>

#include "storage/rocks/paged_tables.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::storage::rocks {
namespace {

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr std::size_t kOperandsMax = 16;  // of one page in memory
constexpr int kFilterBitsPerKey = 10;  // one false hit in a hundred

// Rows come in the order of their keys, or nearly.
bool is_sequential(core::Table table) {
  return table == core::Table::kLive || table == core::Table::kBody || table == core::Table::kDone ||
         table == core::Table::kRetire;
}

// JSON of users; the other tables are small numbers.
bool is_text(core::Table table) { return table == core::Table::kBody || table == core::Table::kDone; }

bool is_looked_up_by_key(core::Table table) {
  return table == core::Table::kLive || table == core::Table::kBody || table == core::Table::kDone ||
         table == core::Table::kKey;
}

}  // namespace

std::shared_ptr<rocksdb::Cache> make_cache(const Options& options) {
  // The write buffers are charged to the cache, so that one number bounds both: room for them comes on top.
  return rocksdb::NewLRUCache(options.cache_bytes + options.write_buffer_bytes);
}

rocksdb::DBOptions tune_store(const Options& options, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::DBOptions db;
  // The image: no log of its own, and all tables as of one moment on disk.
  db.atomic_flush = true;
  db.avoid_flush_during_shutdown = true;  // a stop that wants the rows has flushed; a flush here would only delay
  db.allow_concurrent_memtable_write = false;  // one thread writes; insert hints work without concurrency only
  // Damage and failures: stop at the first, and never try again behind our back.
  db.paranoid_checks = true;
  db.max_bgerror_resume_count = 0;
  // Memory and threads.
  db.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(options.write_buffer_bytes, cache);
  db.max_background_jobs = 2;
  db.max_open_files = 512;
  db.max_file_opening_threads = 2;
  // Files beside the tables stay few and small.
  db.max_manifest_file_size = 4 * kMiB;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  // Big writes go out steadily instead of in one burst at the sync.
  db.bytes_per_sync = kMiB;
  db.compaction_readahead_size = kMiB;
  db.skip_stats_update_on_db_open = true;  // it would open every file at the start
  return db;
}

namespace {

rocksdb::ColumnFamilyOptions tune_family(const Options& options, bool text) {
  rocksdb::ColumnFamilyOptions family;
  // The manager of all buffers decides when to flush; a single table never reaches its own bound before that.
  family.write_buffer_size = static_cast<std::size_t>(options.write_buffer_bytes);
  family.arena_block_size = static_cast<std::size_t>(std::clamp(options.write_buffer_bytes / 64, 4 * kKiB, kMiB));
  family.max_write_buffer_number = 2;
  family.level_compaction_dynamic_level_bytes = true;
  family.target_file_size_base = std::clamp(options.write_buffer_bytes, 64 * kKiB, 64 * kMiB);
  family.max_bytes_for_level_base = 4 * family.target_file_size_base;
  family.compression = text ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  // What is flushed is written again by the first compaction, soon: compressing it twice would cost more than it saves.
  if (text) family.compression_per_level = {rocksdb::kNoCompression, rocksdb::kLZ4Compression};
  // Half of 1,024 neighbours deleted, or half of a file: compact it, as a scan would have to walk over them all.
  family.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(1024, 512, 0.5));
  return family;
}

rocksdb::BlockBasedTableOptions tune_blocks(const std::shared_ptr<rocksdb::Cache>& cache, bool text) {
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = cache;
  blocks.cache_index_and_filter_blocks = true;
  blocks.cache_index_and_filter_blocks_with_high_priority = true;
  blocks.format_version = 5;  // the newest that both Debian 12's and 13's RocksDB read
  blocks.checksum = rocksdb::kXXH3;
  blocks.block_size = text ? 16 * kKiB : 4 * kKiB;
  return blocks;
}

}  // namespace

rocksdb::ColumnFamilyOptions tune_large(const Options& options, const std::shared_ptr<rocksdb::Cache>& cache) {
  auto family = tune_family(options, true);
  family.optimize_filters_for_hits = true;  // a page has said that it is there
  auto blocks = tune_blocks(cache, true);
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kFilterBitsPerKey, false));
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  return family;
}

rocksdb::ColumnFamilyOptions tune_table(core::Table table, const Options& options,
                                        const std::shared_ptr<rocksdb::Cache>& cache) {
  auto family = tune_family(options, is_text(table));
  if (is_paged(table)) set_up_pages(family);
  // A lease that is prolonged again and again adds to its page each time: folded at once then, so that a read finds few.
  if (table == core::Table::kLive) family.max_successive_merges = kOperandsMax;
  if (is_sequential(table)) {
    // Big-endian numbers share their first byte: one hint per table, and an insert starts where the last one ended.
    family.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(1));
  }
  auto blocks = tune_blocks(cache, is_text(table));
  if (is_looked_up_by_key(table)) {
    blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kFilterBitsPerKey, false));
  }
  if (table == core::Table::kKey) {
    // Asked by hash: is there any row at all? Mostly not, and the filter says so without a read.
    family.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(kKeyPrefixBytes));
    // Of the whole buffer, and touched when a memtable is made: room for ten bits each of as many keys as one flush has.
    family.memtable_prefix_bloom_size_ratio = 0.0125;
    blocks.whole_key_filtering = false;
  }
  // A body that is asked for is there: filters of the last level, the largest ones, would answer nothing.
  family.optimize_filters_for_hits = table == core::Table::kBody;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  return family;
}

}  // namespace codeq::storage::rocks
