#include "disk/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>

namespace codeq::disk {
namespace {

Counter syncs;
Histogram<kCallBounds> sync_durations;

template <class Call>
int timed(Call&& call) {
  syncs.add();
  const auto began = std::chrono::steady_clock::now();
  const int result = call();
  const int error = errno;
  sync_durations.add(std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count());
  errno = error;
  return result;
}

}  // namespace

std::uint64_t syncs_made() { return syncs.value(); }
HistogramCounts sync_times() { return sync_durations.read(); }

int Disk::open(const std::string& path, int flags, mode_t mode) { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }
int Disk::close(int fd) { return ::close(fd); }
ssize_t Disk::read_at(int fd, void* out, std::size_t bytes, std::uint64_t offset) {
  return ::pread(fd, out, bytes, static_cast<off_t>(offset));
}
ssize_t Disk::write_at(int fd, const iovec* parts, int count, std::uint64_t offset) {
  return ::pwritev(fd, parts, count, static_cast<off_t>(offset));
}
int Disk::sync_data(int fd) {
  return timed([fd] { return ::fdatasync(fd); });
}
int Disk::sync_all(int fd) {
  return timed([fd] { return ::fsync(fd); });
}
int Disk::truncate(int fd, std::uint64_t bytes) { return ::ftruncate(fd, static_cast<off_t>(bytes)); }
int Disk::status(const std::string& path, struct stat& out) { return ::lstat(path.c_str(), &out); }
int Disk::status(int fd, struct stat& out) { return ::fstat(fd, &out); }
int Disk::rename(const std::string& from, const std::string& to) { return ::rename(from.c_str(), to.c_str()); }
int Disk::link(const std::string& from, const std::string& to) { return ::link(from.c_str(), to.c_str()); }
int Disk::unlink(const std::string& path) { return ::unlink(path.c_str()); }
int Disk::make_folder(const std::string& path, mode_t mode) { return ::mkdir(path.c_str(), mode); }
int Disk::remove_folder(const std::string& path) { return ::rmdir(path.c_str()); }
int Disk::lock(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB); }

int Disk::list(const std::string& path, std::vector<std::string>& names) {
  names.clear();
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return -1;
  errno = 0;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  ::closedir(folder);
  errno = error;
  std::sort(names.begin(), names.end());
  return error == 0 ? 0 : -1;
}

Disk& Disk::real() {
  static Disk disk;
  return disk;
}

File::~File() {
  if (fd_ >= 0) disk_->close(fd_);
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

int read_all(Disk& disk, int fd, char* out, std::uint64_t size) {
  std::uint64_t at = 0;
  while (at < size) {
    const ssize_t result = disk.read_at(fd, out + at, size - at, at);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return errno;
    if (result == 0) return EIO;
    at += static_cast<std::uint64_t>(result);
  }
  return 0;
}

int sync_folder(Disk& disk, const std::string& path) {
  const File folder(disk, disk.open(path, O_RDONLY | O_DIRECTORY, 0));
  return folder ? sync_all(disk, folder.fd()) : errno;
}

int make_folders(Disk& disk, const std::string& path, mode_t mode) {
  if (path.empty() || path == "." || path == "/") return 0;
  const auto slash = path.find_last_of('/');
  const std::string above = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (const int failed = make_folders(disk, above, mode); failed != 0) return failed;
  struct stat status{};
  const bool there = disk.status(path, status) == 0;
  if (!there && disk.make_folder(path, mode) != 0 && errno != EEXIST) return errno;
  // Also where it was there: whoever made it may have died before this.
  const File folder(disk, disk.open(above, O_RDONLY | O_DIRECTORY, 0));
  if (!folder) return there ? 0 : errno;  // not ours to read: nobody who runs as we do could have made and synced it
  const int failed = sync_all(disk, folder.fd());
  return there && (failed == EINVAL || failed == EROFS) ? 0 : failed;
}

}  // namespace codeq::disk
