#include "log/local/folder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/rng.h"

namespace codeq::log::local {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLockName = "lock";
constexpr const char* kFormatTemporary = "format.tmp";
constexpr const char* kSegmentTemporary = "segment.tmp";
constexpr std::string_view kSegmentPrefix = "segment-";
constexpr std::size_t kFillBytes = 1U << 20;
constexpr std::size_t kBlockBytes = 4096;

std::string segment_name(std::uint64_t number) { return fmt::format("{}{:012}", kSegmentPrefix, number); }

// The number in a segment's name; nothing for every name that we would not give.
std::optional<std::uint64_t> segment_number(const std::string& name) {
  if (!name.starts_with(kSegmentPrefix)) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kSegmentPrefix.size(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number == 0 || segment_name(number) != name) return std::nullopt;
  return number;
}

Result<std::vector<std::string>> names_in(Disk& disk, const std::string& path) {
  std::vector<std::string> names;
  if (disk.list(path, names) != 0) return system_error(errno, fmt::format("cannot list the log folder {}", path));
  return names;
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What a creation that a crash cut short can leave behind, before `format` arrives.
bool is_unfinished_creation(const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name == kLockName || name == kFormatTemporary || name == kSegmentTemporary || name == segment_name(1);
  });
}

Result<void> make_folder(Disk& disk, const std::string& path) {
  const int failed = disk::make_folders(disk, path, 0700);
  if (failed != 0) return system_error(failed, fmt::format("cannot create the log folder {}", path));
  return {};
}

// Whether nothing but zeros follows the header, so that dropping the file loses nothing.
Result<bool> holds_nothing(Disk& disk, int fd, const std::string& path) {
  struct stat status{};
  if (disk.status(fd, status) != 0) return system_error(errno, fmt::format("cannot read {}", path));
  std::string bytes(kFillBytes, '\0');
  for (off_t at = kSegmentHeaderBytes; at < status.st_size;) {
    const ssize_t got = disk.read_at(fd, bytes.data(), bytes.size(), static_cast<std::uint64_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, fmt::format("cannot read {}", path));
    if (got == 0) break;
    if (const auto size = static_cast<std::size_t>(got); find_used({bytes.data(), size}, 0) < size) return false;
    at += got;
  }
  return true;
}

}  // namespace

std::string Folder::path_of(std::uint64_t segment) const { return path_of(segment_name(segment)); }

Result<std::unique_ptr<Folder>> Folder::open(const fs::path& path, std::uint64_t first_segment_bytes, Disk& disk) {
  const std::string text = path.string();
  CODEQ_TRY_VOID(make_folder(disk, text));
  std::unique_ptr<Folder> folder(new Folder(path, disk));
  folder->folder_ = File(disk, disk.open(text, O_RDONLY | O_DIRECTORY, 0));
  if (!folder->folder_) return system_error(errno, fmt::format("cannot open the log folder {}", path.string()));

  // Whose folder is it? Asked before anything is written, the lock's file included.
  CODEQ_TRY(const auto names, names_in(disk, text));
  if (has(names, kFormatName)) {
    CODEQ_TRY_VOID(folder->load_format());
  } else if (!is_unfinished_creation(names)) {
    if (std::any_of(names.begin(), names.end(), [](const auto& name) { return segment_number(name).has_value(); })) {
      return fail(Code::kCorrupt, fmt::format("{} is missing, but the log folder has segments: it was left untouched",
                                              folder->path_of(kFormatName)));
    }
    return fail(
        Code::kInvalidArgument,
        fmt::format("the folder {} is not empty and holds no log of ours: it was left untouched", path.string()));
  }

  folder->lock_ = File(disk, disk.open(folder->path_of(kLockName), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (!folder->lock_) return system_error(errno, fmt::format("cannot open {}", folder->path_of(kLockName)));
  if (disk.lock(folder->lock_.fd()) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(Code::kUnavailable,
                  fmt::format("the log folder {} is already in use by another process", path.string()));
    return system_error(errno, fmt::format("cannot lock {}", folder->path_of(kLockName)));
  }
  SystemRng rng;
  folder->incarnation_ = rng.next();
  CODEQ_TRY_VOID(folder->load_or_create(first_segment_bytes));
  return folder;
}

Result<std::unique_ptr<Folder>> Folder::look(const fs::path& path, Disk& disk) {
  const std::string text = path.string();
  std::unique_ptr<Folder> folder(new Folder(path, disk));
  folder->looking_ = true;
  struct stat status{};
  if (disk.status(folder->path_of(kFormatName), status) != 0)
    return fail(Code::kInvalidArgument, fmt::format("there is no log of ours in {}", text));
  if (disk.status(folder->path_of(kLockName), status) == 0) {  // a copy has none
    folder->lock_ = File(disk, disk.open(folder->path_of(kLockName), O_RDONLY | O_NOFOLLOW, 0));
    if (!folder->lock_) return system_error(errno, fmt::format("cannot open {}", folder->path_of(kLockName)));
    if (disk.lock(folder->lock_.fd()) != 0)
      return fail(Code::kUnavailable, fmt::format("the log folder {} is in use by another process", text));
  }
  CODEQ_TRY_VOID(folder->load_format());
  CODEQ_TRY(const auto names, names_in(disk, text));
  CODEQ_TRY_VOID(folder->list_segments(names));
  return folder;
}

Result<void> Folder::load_or_create(std::uint64_t first_segment_bytes) {
  CODEQ_TRY(auto names, names_in(disk_, path_.string()));  // again: another process may have been here before we held the lock
  if (!has(names, kFormatName)) {
    CODEQ_TRY_VOID(create(names, first_segment_bytes));
    CODEQ_TRY(names, names_in(disk_, path_.string()));
  }
  CODEQ_TRY_VOID(load_format());
  for (const char* leftover : {kFormatTemporary, kSegmentTemporary}) {
    if (has(names, leftover) && disk_.unlink(path_of(leftover)) != 0)
      return system_error(errno, fmt::format("cannot remove {}", path_of(leftover)));
  }
  // What is here may have been renamed by a process that died, or failed, before it could sync the folder.
  if (const int failed = sync_all(disk_, folder_.fd()); failed != 0)
    return system_error(failed, fmt::format("cannot sync the log folder {}", path_.string()));
  return list_segments(names);
}

Result<void> Folder::create(const std::vector<std::string>& names, std::uint64_t first_segment_bytes) {
  if (has(names, segment_name(1))) {
    const File first(disk_, disk_.open(path_of(1), O_RDONLY | O_NOFOLLOW, 0));
    if (!first) return system_error(errno, fmt::format("cannot open {}", path_of(1)));
    CODEQ_TRY(const bool nothing, holds_nothing(disk_, first.fd(), path_of(1)));
    if (!nothing)
      return fail(Code::kCorrupt, fmt::format("{} is missing, but {} holds records: it was left untouched",
                                              path_of(kFormatName), path_of(1)));
  }
  SystemRng rng;
  for (std::size_t at = 0; at < id_.size(); at += 8) {
    const std::uint64_t draw = rng.next();
    std::memcpy(id_.data() + at, &draw, 8);
  }
  CODEQ_TRY([[maybe_unused]] const SegmentFile first, create_segment(1, first_segment_bytes));
  // Last of all, so that a folder with `format` is a whole one.
  File file(disk_, disk_.open(path_of(kFormatTemporary), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  if (!file) return system_error(errno, fmt::format("cannot create {}", path_of(kFormatTemporary)));
  const auto bytes = encode_format_file(id_);
  const int failed = write_all(disk_, file.fd(), std::string_view(bytes.data(), bytes.size()), 0);
  if (failed != 0) return system_error(failed, fmt::format("cannot write {}", path_of(kFormatTemporary)));
  return put_in_place(std::move(file), kFormatTemporary, kFormatName);
}

Result<void> Folder::load_format() {
  const File file(disk_, disk_.open(path_of(kFormatName), O_RDONLY | O_NOFOLLOW, 0));
  if (!file) return system_error(errno, fmt::format("cannot open {}", path_of(kFormatName)));
  struct stat status{};
  if (disk_.status(file.fd(), status) != 0) return system_error(errno, fmt::format("cannot read {}", path_of(kFormatName)));
  std::array<char, 2 * kFormatFileBytes> bytes{};  // larger than the file may be, so that a longer one is seen
  const auto size = std::min<std::uint64_t>(static_cast<std::uint64_t>(status.st_size), bytes.size());
  if (const int failed = read_all(disk_, file.fd(), bytes.data(), size); failed != 0)
    return system_error(failed, fmt::format("cannot read {}", path_of(kFormatName)));
  const auto format = parse_format_file({bytes.data(), size});
  if (!format) {
    return fail(
        Code::kCorrupt,
        fmt::format(
            "{}, byte 0: these {} bytes are not the format file of a log, or are damaged: the folder was left untouched",
            path_of(kFormatName), status.st_size));
  }
  if (format->version != kFormatVersion) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{}, byte 8: the log has format {}, this program knows format {}: the folder was left untouched",
                    path_of(kFormatName), format->version, kFormatVersion));
  }
  id_ = format->folder;
  return {};
}

Result<void> Folder::list_segments(const std::vector<std::string>& names) {
  segments_.clear();
  for (const std::string& name : names) {  // sorted, and so by number as long as twelve digits are enough
    const auto number = segment_number(name);
    if (!number) continue;
    const std::uint64_t expected = segments_.empty() ? *number : segments_.back().number + 1;  // released ones are gone
    if (*number != expected)
      return fail(Code::kCorrupt,
                  fmt::format("{}, byte 0: the file is missing, but {} is there", path_of(expected), path_of(name)));
    struct stat status{};
    if (disk_.status(path_of(name), status) != 0)
      return system_error(errno, fmt::format("cannot read {}", path_of(name)));
    segments_.push_back({*number, static_cast<std::uint64_t>(status.st_size)});
  }
  if (segments_.empty()) return fail(Code::kCorrupt, fmt::format("{}, byte 0: the file is missing", path_of(1)));
  return {};
}

Result<File> Folder::open_segment(const SegmentFile& segment) const {
  const std::string path = path_of(segment.number);
  File file(disk_, disk_.open(path, (looking_ ? O_RDONLY : O_RDWR) | O_NOFOLLOW, 0));
  if (!file) return system_error(errno, fmt::format("cannot open {}", path));
  std::array<char, kSegmentHeaderBytes> header{};
  const auto size = std::min<std::uint64_t>(segment.bytes, header.size());
  if (const int failed = read_all(disk_, file.fd(), header.data(), size); failed != 0)
    return system_error(failed, fmt::format("cannot read {}", path));
  const auto bytes = parse_segment_header({header.data(), size}, {id_, segment.number});
  if (!bytes)
    return fail(Code::kCorrupt,
                fmt::format("{}, byte 0: this is not the header of segment {} of this log, or it is damaged", path,
                            segment.number));
  if (*bytes != segment.bytes) {
    return fail(Code::kCorrupt,
                fmt::format("{}, byte {}: the file ends here, its header says {} bytes", path, segment.bytes, *bytes));
  }
  return file;
}

Result<SegmentFile> Folder::create_segment(std::uint64_t number, std::uint64_t bytes, const std::stop_token& stop) {
  File file(disk_, disk_.open(path_of(kSegmentTemporary), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  if (!file) return system_error(errno, fmt::format("cannot create {}", path_of(kSegmentTemporary)));
  // Synced piece by piece: one sync of it all would hold up the appends that share the disk. Written block by block: the
  // system keeps what is written at once together in memory, and an append would dirty all of it.
  static constexpr std::array<char, kBlockBytes> kZeros{};
  const auto header = encode_segment_header({id_, number}, bytes, incarnation_);
  int failed = 0;
  for (std::uint64_t at = 0; failed == 0 && !stop.stop_requested() && at < bytes;) {
    const auto piece = std::min<std::uint64_t>(kBlockBytes, bytes - at);
    failed = write_all(disk_, file.fd(), std::string_view(kZeros.data(), piece), at);
    if (failed == 0 && at == 0) failed = write_all(disk_, file.fd(), std::string_view(header.data(), header.size()), 0);
    at += piece;
    if (failed == 0 && at % kFillBytes == 0 && at < bytes) failed = sync_data(disk_, file.fd());  // the last: put_in_place
  }
  if (failed != 0 || stop.stop_requested()) {
    disk_.unlink(path_of(kSegmentTemporary));  // gives its room back
    if (failed == 0) return fail(Code::kUnavailable, "the log is closing");
    return system_error(failed, fmt::format("cannot prepare {} with {} bytes", path_of(number), bytes));
  }
  CODEQ_TRY_VOID(put_in_place(std::move(file), kSegmentTemporary, segment_name(number)));
  return SegmentFile{number, bytes};
}

Result<SegmentFile> Folder::recycle_segment(const SegmentFile& old, std::uint64_t number) {
  // Out of the line first: a file under its old name with a new header would be damage.
  if (disk_.rename(path_of(old.number), path_of(kSegmentTemporary)) != 0)
    return system_error(errno, fmt::format("cannot take {} out of use", path_of(old.number)));
  if (const int failed = sync_all(disk_, folder_.fd()); failed != 0)
    return system_error(failed, fmt::format("cannot sync the log folder {}", path_.string()));
  File file(disk_, disk_.open(path_of(kSegmentTemporary), O_RDWR | O_NOFOLLOW, 0));
  if (!file) return system_error(errno, fmt::format("cannot open {}", path_of(kSegmentTemporary)));
  const auto header = encode_segment_header({id_, number}, old.bytes, incarnation_);
  if (const int failed = write_all(disk_, file.fd(), std::string_view(header.data(), header.size()), 0); failed != 0)
    return system_error(failed, fmt::format("cannot write {}", path_of(kSegmentTemporary)));
  CODEQ_TRY_VOID(put_in_place(std::move(file), kSegmentTemporary, segment_name(number)));
  return SegmentFile{number, old.bytes};
}

Result<void> Folder::remove_segment(const SegmentFile& old) {
  if (disk_.unlink(path_of(old.number)) != 0)
    return system_error(errno, fmt::format("cannot remove {}", path_of(old.number)));
  // The order of removals must not change on the way to the disk: numbers stay without a gap.
  if (const int failed = sync_all(disk_, folder_.fd()); failed != 0)
    return system_error(failed, fmt::format("cannot sync the log folder {}", path_.string()));
  return {};
}

bool Folder::has_segment(std::uint64_t number) const {
  struct stat status{};
  return disk_.status(path_of(number), status) == 0;
}

Result<void> Folder::put_in_place(File file, const char* temporary, const std::string& name) {
  int failed = sync_all(disk_, file.fd());
  if (failed == 0 && disk_.rename(path_of(temporary), path_of(name)) != 0) failed = errno;
  if (failed == 0) failed = sync_all(disk_, folder_.fd());
  if (failed != 0) return system_error(failed, fmt::format("cannot put {} in place", path_of(name)));
  return {};
}

}  // namespace codeq::log::local
