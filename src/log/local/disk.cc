#include "log/local/disk.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace codeq::log::local {

ssize_t Disk::write_at(int fd, const iovec* parts, int count, std::uint64_t offset) {
  return ::pwritev(fd, parts, count, static_cast<off_t>(offset));
}
int Disk::sync_data(int fd) { return ::fdatasync(fd); }
int Disk::sync_all(int fd) { return ::fsync(fd); }

Disk& Disk::real() {
  static Disk disk;
  return disk;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

std::unexpected<Error> system_error(int error, std::string what) {
  const bool full = error == ENOSPC || error == EDQUOT;
  return fail(full ? Code::kDiskFull : Code::kIo, fmt::format("{}: {}", what, std::generic_category().message(error)));
}

int write_all(Disk& disk, int fd, std::span<iovec> parts, std::uint64_t offset) {
  while (true) {
    while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
    if (parts.empty()) return 0;
    const ssize_t result = disk.write_at(fd, parts.data(), static_cast<int>(parts.size()), offset);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return errno;
    if (result == 0) return EIO;
    offset += static_cast<std::uint64_t>(result);
    for (auto written = static_cast<std::size_t>(result); written > 0;) {
      iovec& part = parts.front();
      const std::size_t here = std::min(written, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + here;
      part.iov_len -= here;
      written -= here;
      if (part.iov_len == 0) parts = parts.subspan(1);
    }
  }
}

int write_all(Disk& disk, int fd, std::string_view bytes, std::uint64_t offset) {
  // iovec serves reads too and so has no const; pwritev does not write through it.
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  return write_all(disk, fd, std::span(&part, 1), offset);
}

int sync_data(Disk& disk, int fd) {
  while (disk.sync_data(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int sync_all(Disk& disk, int fd) {
  while (disk.sync_all(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int read_all(int fd, char* out, std::uint64_t size) {
  std::uint64_t at = 0;
  while (at < size) {
    const ssize_t result = ::pread(fd, out + at, size - at, static_cast<off_t>(at));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return errno;
    if (result == 0) return EIO;
    at += static_cast<std::uint64_t>(result);
  }
  return 0;
}

}  // namespace codeq::log::local
