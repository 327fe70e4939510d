#include "storage/rocks/disk_file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/file_system.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace codeq::storage::rocks {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus status_of(int error, std::string_view doing, const std::string& path) {
  if (error == 0) return IOStatus::OK();
  const std::string what = fmt::format("{} {}", doing, path), reason = std::generic_category().message(error);
  if (error == ENOENT) return IOStatus::PathNotFound(what, reason);
  return error == ENOSPC || error == EDQUOT ? IOStatus::NoSpace(what, reason) : IOStatus::IOError(what, reason);
}

// An open descriptor and its file's name.
class Handle {
 public:
  Handle(disk::Disk& disk, int fd, std::string path) : disk_(disk), fd_(fd), path_(std::move(path)) {}
  ~Handle() { (void)close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  IOStatus close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || disk_.close(fd) == 0 ? IOStatus::OK() : status_of(errno, "close", path_);
  }
  IOStatus read(std::uint64_t offset, std::size_t bytes, Slice* result, char* scratch) const {
    std::size_t got = 0;
    while (got < bytes) {
      const ssize_t more = disk_.read_at(fd_, scratch + got, bytes - got, offset + got);
      if (more < 0 && errno == EINTR) continue;
      if (more < 0) return status_of(errno, "read", path_);
      if (more == 0) break;
      got += static_cast<std::size_t>(more);
    }
    *result = Slice(scratch, got);
    return IOStatus::OK();
  }
  IOStatus write(std::uint64_t offset, const Slice& data) {
    return status_of(disk::write_all(disk_, fd_, std::string_view(data.data(), data.size()), offset), "write", path_);
  }
  IOStatus sync(bool all) {
    return status_of(all ? disk::sync_all(disk_, fd_) : disk::sync_data(disk_, fd_), "sync", path_);
  }
  IOStatus truncate(std::uint64_t bytes) {
    return disk_.truncate(fd_, bytes) == 0 ? IOStatus::OK() : status_of(errno, "truncate", path_);
  }
  IOStatus lock() { return disk_.lock(fd_) == 0 ? IOStatus::OK() : status_of(errno, "lock", path_); }

 private:
  disk::Disk& disk_;
  int fd_;
  const std::string path_;
};

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  IOStatus Read(std::size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    IOStatus status = handle_->read(offset_, n, result, scratch);
    if (status.ok()) offset_ += result->size();
    return status;
  }
  IOStatus Skip(std::uint64_t n) override {
    offset_ += n;
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<Handle> handle_;
  std::uint64_t offset_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  IOStatus Read(std::uint64_t offset, std::size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return handle_->read(offset, n, result, scratch);
  }

 private:
  const std::unique_ptr<Handle> handle_;
};

class WritableFile final : public rocksdb::FSWritableFile {
 public:
  WritableFile(std::unique_ptr<Handle> handle, const FileOptions& options, std::uint64_t bytes)
      : rocksdb::FSWritableFile(options), handle_(std::move(handle)), bytes_(bytes) {}
  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    IOStatus status = handle_->write(bytes_, data);
    if (status.ok()) bytes_ += data.size();
    return status;
  }
  IOStatus Truncate(std::uint64_t bytes, const IOOptions&, IODebugContext*) override {
    if (bytes == bytes_) return IOStatus::OK();
    IOStatus status = handle_->truncate(bytes);
    if (status.ok()) bytes_ = bytes;
    return status;
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return handle_->close(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return handle_->sync(false); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return handle_->sync(true); }
  std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return bytes_; }

 private:
  const std::unique_ptr<Handle> handle_;
  std::uint64_t bytes_;
};

class Folder final : public rocksdb::FSDirectory {
 public:
  explicit Folder(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return handle_->sync(true); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return handle_->close(); }

 private:
  const std::unique_ptr<Handle> handle_;
};

struct Lock final : rocksdb::FileLock {
  explicit Lock(std::unique_ptr<Handle> given) : handle(std::move(given)) {}
  const std::unique_ptr<Handle> handle;
};

class DiskFileSystem final : public rocksdb::FileSystem {
 public:
  explicit DiskFileSystem(disk::Disk& disk) : disk_(disk) {}
  const char* Name() const override { return "codeq.DiskFileSystem"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result, IODebugContext*) override {
    return open<SequentialFile>(path, O_RDONLY, result);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result, IODebugContext*) override {
    return open<RandomAccessFile>(path, O_RDONLY, result);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext*) override {
    return open<WritableFile>(path, O_RDWR | O_CREAT | O_TRUNC, result, options, std::uint64_t{0});
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* context) override {
    std::uint64_t bytes = 0;
    IOStatus status = GetFileSize(path, options.io_options, &bytes, context);
    if (!status.ok() && !status.IsPathNotFound()) return status;
    return open<WritableFile>(path, O_RDWR | O_CREAT, result, options, bytes);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext*) override {
    return open<Folder>(path, O_RDONLY | O_DIRECTORY, result);
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    struct stat status{};
    if (disk_.status(path, status) == 0) return IOStatus::OK();
    return errno == ENOENT || errno == ENOTDIR ? IOStatus::NotFound() : status_of(errno, "look for", path);
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* result,
                       IODebugContext*) override {
    return done(disk_.list(path, *result), "list", path);
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return done(disk_.unlink(path), "remove", path);
  }
  IOStatus CreateDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return done(disk_.make_folder(path, 0700), "make", path);
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options, IODebugContext* context) override {
    if (disk_.make_folder(path, 0700) == 0) return IOStatus::OK();
    if (errno != EEXIST) return status_of(errno, "make", path);
    bool is_folder = false;
    IOStatus status = IsDirectory(path, options, &is_folder, context);
    if (status.ok() && !is_folder) return status_of(ENOTDIR, "make", path);
    return status;
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return done(disk_.remove_folder(path), "remove", path);
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&, std::uint64_t* bytes, IODebugContext*) override {
    struct stat status{};
    const int failed = disk_.status(path, status) == 0 ? 0 : errno;
    *bytes = failed == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
    return status_of(failed, "look at", path);
  }
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, std::uint64_t* time,
                                   IODebugContext*) override {
    struct stat status{};
    const int failed = disk_.status(path, status) == 0 ? 0 : errno;
    *time = static_cast<std::uint64_t>(status.st_mtime);
    return status_of(failed, "look at", path);
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_folder, IODebugContext*) override {
    struct stat status{};
    const int failed = disk_.status(path, status) == 0 ? 0 : errno;
    *is_folder = failed == 0 && S_ISDIR(status.st_mode);
    return status_of(failed, "look at", path);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) override {
    return done(disk_.rename(from, to), "rename", from);
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) override {
    return done(disk_.link(from, to), "link", from);
  }
  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock, IODebugContext*) override {
    *lock = nullptr;
    const int fd = disk_.open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) return status_of(errno, "open", path);
    auto handle = std::make_unique<Handle>(disk_, fd, path);
    IOStatus status = handle->lock();
    if (status.ok()) *lock = new Lock(std::move(handle));
    return status;
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    const std::unique_ptr<Lock> held(static_cast<Lock*>(lock));
    return held->handle->close();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("a folder for tests");
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* result, IODebugContext*) override {
    *result = path;
    return IOStatus::OK();
  }

 private:
  static IOStatus done(int result, std::string_view doing, const std::string& path) {
    return status_of(result == 0 ? 0 : errno, doing, path);
  }
  template <class File, class Result, class... Args>
  IOStatus open(const std::string& path, int flags, std::unique_ptr<Result>* result, Args&&... args) {
    result->reset();
    const int fd = disk_.open(path, flags, 0600);
    if (fd < 0) return status_of(errno, "open", path);
    *result = std::make_unique<File>(std::make_unique<Handle>(disk_, fd, path), std::forward<Args>(args)...);
    return IOStatus::OK();
  }

  disk::Disk& disk_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> on_disk(disk::Disk& disk) { return std::make_shared<DiskFileSystem>(disk); }

}  // namespace codeq::storage::rocks
