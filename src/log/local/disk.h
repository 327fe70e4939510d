// The system calls that the log's promise rests on, as a seam: tests put a failing or a recording disk in their place.
//
// Errors   like the calls themselves: -1 and errno. The helpers below turn them into values
// Threads  any
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace codeq::log::local {

class Disk {
 public:
  virtual ~Disk() = default;
  virtual ssize_t write_at(int fd, const iovec* parts, int count, std::uint64_t offset);  // pwritev(2)
  virtual int sync_data(int fd);                                                          // fdatasync(2)
  virtual int sync_all(int fd);  // fsync(2), also for folders

  static Disk& real();
};

// Owns a file descriptor.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();
  [[nodiscard]] int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// kDiskFull for a full disk or quota, else kIo; `what` is the act and the file, and the system's text follows.
std::unexpected<Error> system_error(int error, std::string what);

// Writes all of `parts` (which it changes), whatever the system makes of it: short writes and interruptions.
// Returns 0 or an errno; allocates nothing.
int write_all(Disk& disk, int fd, std::span<iovec> parts, std::uint64_t offset);
int write_all(Disk& disk, int fd, std::string_view bytes, std::uint64_t offset);
int sync_data(Disk& disk, int fd);  // 0 or an errno
int sync_all(Disk& disk, int fd);  // 0 or an errno

// Reads `size` bytes from the file's start into `out`. Returns 0 or an errno; a file that is shorter is EIO.
int read_all(int fd, char* out, std::uint64_t size);

}  // namespace codeq::log::local
