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

Result<void> verify_files(rocksdb::DB& db, const std::function<void(const RocksStore::Progress&)>& progress) {
  // What is listed now stays until we are done, also if compactions replace it.
  if (const auto status = db.DisableFileDeletions(); !status.ok()) return error_of(status, "cannot check the store");
  struct Allow {
    rocksdb::DB& db;
    ~Allow() { (void)db.EnableFileDeletions(false); }
  } const allow{db};
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  RocksStore::Progress done;
  for (const auto& file : files) done.bytes_total += file.size;
  rocksdb::Options options;
  options.env = db.GetEnv();
  for (const auto& file : files) {
    const std::string path = file.db_path + file.name;
    rocksdb::SstFileReader reader(options);
    auto status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum();
    if (!status.ok()) return error_of(status, "damage in " + path);
    done.bytes_done += file.size;
    if (progress) progress(done);
  }
  return {};
}

}  // namespace codeq::storage::rocks
