// A consistent copy of a data folder, and the way back. docs/backup.md.
//
//   TO/backup.json    what it is: version, time, position, last group
//   TO/log, TO/store  the copy: a data folder as a stopped broker leaves it
//   TO/SHA256SUMS     of all the others; last of all
//
// Shape    made under TO.partial and renamed when everything in it is synced: a backup is whole or not there
// Errors   kInvalidArgument (something is in the way, or is no backup of ours), kUnavailable (stopped on request, or the
//          folder is in use), kCorrupt with the file, kDiskFull, kIo
// Cost     one read and one write of everything, 1 MiB at a time; the image waits only while hard links to the store's tables
//          are made beside them
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace codeq::log {
class LocalLog;
}
namespace codeq::services {
class Partition;
}
namespace codeq::storage::rocks {
class RocksStore;
}

namespace codeq::app {

struct BackupProgress {
  std::uint64_t bytes_done = 0, bytes_total = 0;
};
using OnBackupProgress = std::function<void(const BackupProgress&)>;

struct BackupReport {
  std::string path;
  std::uint64_t files = 0, bytes = 0;
  std::uint64_t records = 0;     // of the log that the store in it has
  std::uint64_t last_group = 0;  // of the log in it
};

// Of a running broker: everything that was acknowledged before the call is in the copy.
struct BackupSource {  // borrowed
  log::LocalLog& log;
  storage::rocks::RocksStore& store;
  services::Partition& partition;
  std::string data;                 // the data folder; DATA/backup.staging is used meanwhile
  std::uint64_t reserve_bytes = 0;  // of its disk: not touched
};
// `cancelled` is asked between pieces.
Result<BackupReport> back_up_running(const BackupSource& from, const std::string& to, const std::function<bool()>& cancelled,
                                     const OnBackupProgress& progress);
// Removes what a backup that did not end left in a data folder.
void clear_backup_staging(const std::string& data);
// Of a folder that no process uses.
Result<BackupReport> back_up_stopped(const std::string& data, const std::string& to, const OnBackupProgress& progress);
// Every file against its checksum, none missing, none too many; with `data`, copied there, which must be empty or not there.
Result<BackupReport> restore(const std::string& from, const std::string& data, const OnBackupProgress& progress);
Result<BackupReport> verify_backup(const std::string& from, const OnBackupProgress& progress);

}  // namespace codeq::app
