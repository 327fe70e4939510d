#include "storage/rocks/maintenance.h"

#include <rocksdb/db.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/utilities/checkpoint.h>

#include <limits>
#include <memory>
#include <vector>

#include "storage/rocks/folder.h"
#include "storage/rocks/status.h"

namespace codeq::storage::rocks {
namespace {

// Counted, not forced: a copy that is being made may have its own reason to keep files. Newer ones only count.
template <class Db>
void enable_file_deletions(Db& db) {
  if constexpr (requires { db.EnableFileDeletions(false); }) {
    (void)db.EnableFileDeletions(false);
  } else {
    (void)db.EnableFileDeletions();
  }
}

}  // namespace

Result<void> make_checkpoint(rocksdb::DB& db, const std::string& path, const StoreId& id) {
  return create_folder(*db.GetEnv(), path, id, [&](const std::string& unfinished) -> Result<void> {
    rocksdb::Checkpoint* raw = nullptr;
    auto status = rocksdb::Checkpoint::Create(&db, &raw);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
    // No flush by RocksDB: it would go by the size of a write-ahead log that we do not write.
    if (status.ok()) status = checkpoint->CreateCheckpoint(unfinished, std::numeric_limits<std::uint64_t>::max());
    if (!status.ok()) return error_of(status, "cannot copy the store to " + path);
    return {};
  });
}

namespace {

Result<void> verify_file(const rocksdb::Options& options, const std::string& path) {
  rocksdb::SstFileReader reader(options);
  auto read = reader.Open(path);
  if (read.ok()) read = reader.VerifyChecksum();
  if (read.ok()) return {};
  auto error = error_of(read, "cannot read " + path + " in full");
  if (error.error().code == Code::kInternal) error.error().code = Code::kCorrupt;  // RocksDB has many words for it
  return error;
}

}  // namespace

Result<void> verify_tables(rocksdb::Env& env, const std::string& folder) {
  std::vector<std::string> names;
  if (const auto status = env.GetChildren(folder, &names); !status.ok()) return error_of(status, "cannot list " + folder);
  rocksdb::Options options;
  options.env = &env;
  for (const std::string& name : names) {
    if (name.ends_with(".sst")) CODEQ_TRY_VOID(verify_file(options, folder + "/" + name));
  }
  return {};
}

Result<void> verify_files(rocksdb::DB& db, const std::function<void(const RocksStore::Progress&)>& progress) {
  // What is listed now stays until we are done, also if compactions replace it. A database opened for reading deletes
  // nothing, and says that it cannot be asked.
  const auto status = db.DisableFileDeletions();
  if (!status.ok() && !status.IsNotSupported()) return error_of(status, "cannot check the store");
  struct Allow {
    rocksdb::DB& db;
    const bool disabled;
    ~Allow() {
      if (disabled) enable_file_deletions(db);
    }
  } const allow{db, status.ok()};
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  RocksStore::Progress done;
  for (const auto& file : files) done.bytes_total += file.size;
  rocksdb::Options options;
  options.env = db.GetEnv();
  for (const auto& file : files) {
    CODEQ_TRY_VOID(verify_file(options, file.db_path + file.name));
    done.bytes_done += file.size;
    if (progress) progress(done);
  }
  return {};
}

}  // namespace codeq::storage::rocks
