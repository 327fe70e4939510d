#include "storage/rocks/failing_stop.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/system_clock.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "storage/rocks/status.h"

namespace codeq::storage::rocks {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Shared by the file system and its files, which RocksDB may keep longer.
class Stop {
 public:
  Stop(std::string folder, std::function<void(const Error&)> failed)
      : folder_(std::move(folder)), failed_(std::move(failed)) {}

  [[nodiscard]] bool guards(const std::string& path) const {
    return path.starts_with(folder_) && (path.size() == folder_.size() || path[folder_.size()] == '/');
  }
  // Does `change` unless one has failed before.
  template <class Change>
  IOStatus run(const char* doing, const std::string& path, const Change& change) {
    if (stopped_.load()) return IOStatus::OK();
    IOStatus status = change();
    if (status.ok() || status.IsNotSupported()) return status;
    // Told before anything is swallowed, or what comes of that would be told first.
    std::call_once(told_, [&] {
      failed_(error_of(status, fmt::format("cannot {} {}", doing, path)).error());
      stopped_ = true;
    });
    return IOStatus::OK();
  }
  [[nodiscard]] bool stopped() const { return stopped_.load(); }

 private:
  const std::string folder_;
  const std::function<void(const Error&)> failed_;
  std::once_flag told_;
  std::atomic<bool> stopped_ = false;
};

class Writable final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  Writable(std::unique_ptr<FSWritableFile>&& below, std::string path, std::shared_ptr<Stop> stop)
      : FSWritableFileOwnerWrapper(std::move(below)), path_(std::move(path)), stop_(std::move(stop)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    return write([&] { return target()->Append(data, options, context); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo& check,
                  IODebugContext* context) override {
    return write([&] { return target()->Append(data, options, check, context); });
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            IODebugContext* context) override {
    return write([&] { return target()->PositionedAppend(data, offset, options, context); });
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const DataVerificationInfo& check, IODebugContext* context) override {
    return write([&] { return target()->PositionedAppend(data, offset, options, check, context); });
  }
  IOStatus Truncate(std::uint64_t bytes, const IOOptions& options, IODebugContext* context) override {
    return stop_->run("truncate", path_, [&] { return target()->Truncate(bytes, options, context); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* context) override {
    return stop_->run("close", path_, [&] { return target()->Close(options, context); });
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* context) override {
    return write([&] { return target()->Flush(options, context); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* context) override {
    return sync([&] { return target()->Sync(options, context); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    return sync([&] { return target()->Fsync(options, context); });
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     IODebugContext* context) override {
    return sync([&] { return target()->RangeSync(offset, bytes, options, context); });
  }

 private:
  template <class Change>
  IOStatus write(const Change& change) {
    return stop_->run("write", path_, change);
  }
  template <class Change>
  IOStatus sync(const Change& change) {
    return stop_->run("sync", path_, change);
  }

  const std::string path_;
  const std::shared_ptr<Stop> stop_;
};

// What a file that could not be made is to RocksDB.
class Nothing final : public rocksdb::FSWritableFile {
 public:
  using FSWritableFile::Append;
  IOStatus Append(const Slice&, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
};

class Folder final : public rocksdb::FSDirectory {
 public:
  Folder(std::unique_ptr<FSDirectory> below, std::string path, std::shared_ptr<Stop> stop)
      : below_(std::move(below)), path_(std::move(path)), stop_(std::move(stop)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    return stop_->run("sync", path_, [&] { return below_->Fsync(options, context); });
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* context,
                               const rocksdb::DirFsyncOptions& reason) override {
    return stop_->run("sync", path_, [&] { return below_->FsyncWithDirOptions(options, context, reason); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* context) override { return below_->Close(options, context); }
  std::size_t GetUniqueId(char* id, std::size_t bytes) const override { return below_->GetUniqueId(id, bytes); }

 private:
  const std::unique_ptr<FSDirectory> below_;
  const std::string path_;
  const std::shared_ptr<Stop> stop_;
};

class StopAtFirstFailure final : public rocksdb::FileSystemWrapper {
 public:
  StopAtFirstFailure(std::shared_ptr<FileSystem> below, std::string folder, std::function<void(const Error&)> failed)
      : FileSystemWrapper(std::move(below)), stop_(std::make_shared<Stop>(std::move(folder), std::move(failed))) {}
  [[nodiscard]] const std::shared_ptr<Stop>& stop() const { return stop_; }
  const char* Name() const override { return "codeq.StopAtFirstFailure"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* context) override {
    return writable(path, file, [&] { return target()->NewWritableFile(path, options, file, context); });
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* context) override {
    return writable(path, file, [&] { return target()->ReopenWritableFile(path, options, file, context); });
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options, std::unique_ptr<rocksdb::FSDirectory>* folder,
                        IODebugContext* context) override {
    IOStatus status = target()->NewDirectory(path, options, folder, context);
    if (status.ok() && stop_->guards(path)) *folder = std::make_unique<Folder>(std::move(*folder), path, stop_);
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* context) override {
    return change("remove", path, [&] { return target()->DeleteFile(path, options, context); });
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* context) override {
    return change("rename", from, [&] { return target()->RenameFile(from, to, options, context); });
  }
  IOStatus Truncate(const std::string& path, std::size_t bytes, const IOOptions& options,
                    IODebugContext* context) override {
    return change("truncate", path, [&] { return target()->Truncate(path, bytes, options, context); });
  }

 private:
  template <class Change>
  IOStatus change(const char* doing, const std::string& path, const Change& change) {
    return stop_->guards(path) ? stop_->run(doing, path, change) : change();
  }
  template <class Make>
  IOStatus writable(const std::string& path, std::unique_ptr<rocksdb::FSWritableFile>* file, const Make& make) {
    if (!stop_->guards(path)) return make();
    IOStatus status = stop_->run("make", path, make);
    if (!status.ok()) return status;
    if (stop_->stopped()) {
      *file = std::make_unique<Nothing>();
    } else {
      *file = std::make_unique<Writable>(std::move(*file), path, stop_);
    }
    return status;
  }

  const std::shared_ptr<Stop> stop_;
};

// RocksDB's background jobs sleep a second after each failure, which nobody needs once it has been told.
class Clock final : public rocksdb::SystemClockWrapper {
 public:
  explicit Clock(std::shared_ptr<Stop> stop) : SystemClockWrapper(SystemClock::Default()), stop_(std::move(stop)) {}
  const char* Name() const override { return "codeq.Clock"; }
  void SleepForMicroseconds(int us) override {
    if (!stop_->stopped()) target_->SleepForMicroseconds(us);
  }

 private:
  const std::shared_ptr<Stop> stop_;
};

class StoppingEnv final : public rocksdb::EnvWrapper {
 public:
  explicit StoppingEnv(const std::shared_ptr<StopAtFirstFailure>& files)
      : EnvWrapper(std::shared_ptr<Env>(rocksdb::NewCompositeEnv(files))) {
    file_system_ = files;
    system_clock_ = std::make_shared<Clock>(files->stop());
  }
  const char* Name() const override { return "codeq.StoppingEnv"; }
};

}  // namespace

std::unique_ptr<rocksdb::Env> stop_at_first_failure(std::shared_ptr<rocksdb::FileSystem> below, std::string folder,
                                                    std::function<void(const Error&)> failed) {
  return std::make_unique<StoppingEnv>(
      std::make_shared<StopAtFirstFailure>(std::move(below), std::move(folder), std::move(failed)));
}

}  // namespace codeq::storage::rocks
