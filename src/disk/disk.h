// The system calls that every promise rests on, as a seam: tests put a failing, forgetting or tearing disk in their place.
//
// Shape    paths and file descriptors as in POSIX; descriptors of a twin are its own numbers
// Errors   like the calls themselves: -1 and errno. The helpers below turn them into values
// Threads  any
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "base/result.h"

namespace codeq::disk {

class Disk {
 public:
  virtual ~Disk() = default;
  virtual int open(const std::string& path, int flags, mode_t mode);  // open(2), always with O_CLOEXEC; folders too
  virtual int close(int fd);
  virtual ssize_t read_at(int fd, void* out, std::size_t bytes, std::uint64_t offset);            // pread(2)
  virtual ssize_t write_at(int fd, const iovec* parts, int count, std::uint64_t offset);          // pwritev(2)
  virtual int sync_data(int fd);                                                                  // fdatasync(2)
  virtual int sync_all(int fd);                                                                   // fsync(2), also for folders
  virtual int truncate(int fd, std::uint64_t bytes);                                              // ftruncate(2)
  virtual int status(const std::string& path, struct stat& out);                                  // lstat(2)
  virtual int status(int fd, struct stat& out);                                                   // fstat(2)
  virtual int rename(const std::string& from, const std::string& to);
  virtual int link(const std::string& from, const std::string& to);
  virtual int unlink(const std::string& path);                                                    // a file
  virtual int make_folder(const std::string& path, mode_t mode);                                  // mkdir(2)
  virtual int remove_folder(const std::string& path);                                             // rmdir(2)
  virtual int list(const std::string& path, std::vector<std::string>& names);                     // sorted, without . and ..
  virtual int lock(int fd);                                                                       // flock(2), exclusive, no waiting

  static Disk& real();
};

// How many fdatasync and fsync calls this process has made through the real disk.
std::uint64_t syncs_made();
// How long those that have returned took, in nanoseconds.
HistogramCounts sync_times();

// Owns a descriptor of a disk.
class File {
 public:
  File() = default;
  File(Disk& disk, int fd) : disk_(&disk), fd_(fd) {}
  File(File&& other) noexcept : disk_(other.disk_), fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(disk_, other.disk_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();
  [[nodiscard]] int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  Disk* disk_ = nullptr;
  int fd_ = -1;
};

// kDiskFull for a full disk or quota, else kIo; `what` is the act and the file, and the system's text follows.
std::unexpected<Error> system_error(int error, std::string what);

// Writes all of `parts` (which it changes), whatever the system makes of it: short writes and interruptions.
// Returns 0 or an errno; allocates nothing.
int write_all(Disk& disk, int fd, std::span<iovec> parts, std::uint64_t offset);
int write_all(Disk& disk, int fd, std::string_view bytes, std::uint64_t offset);
int sync_data(Disk& disk, int fd);  // 0 or an errno
int sync_all(Disk& disk, int fd);   // 0 or an errno

// Reads `size` bytes from the file's start into `out`. Returns 0 or an errno; a file that is shorter is EIO.
int read_all(Disk& disk, int fd, char* out, std::uint64_t size);
// Syncs the folder itself: the names in it. Returns 0 or an errno.
int sync_folder(Disk& disk, const std::string& path);
// The folder and those above it, made where they are missing, each synced into its parent. Returns 0 or an errno.
int make_folders(Disk& disk, const std::string& path, mode_t mode);

}  // namespace codeq::disk
