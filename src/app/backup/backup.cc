#include "app/backup/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <vector>

#include "app/backup/look.h"
#include "app/backup/sums.h"
#include "app/version.h"
#include "disk/disk.h"
#include "log/local/local_log.h"
#include "services/partition.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::app {
namespace {

namespace fs = std::filesystem;
using disk::Disk;
using disk::File;
using disk::system_error;

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::uint64_t kTellEveryBytes = std::uint64_t{16} << 20;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(const char* bytes, std::size_t size) { EVP_DigestUpdate(context_.get(), bytes, size); }
  std::string hex() {
    std::array<unsigned char, 32> digest{};
    EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
    std::string text;
    for (const auto byte : digest) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

struct Piece {  // one file of a copy
  std::string from, to;
  std::string name;      // in the list
  std::uint64_t bytes = 0, bytes_to_copy = 0;
};

class Copier {
 public:
  using Check = std::function<Result<void>()>;  // whether to go on, asked between pieces
  Copier(Check check, const OnBackupProgress& progress) : check_(std::move(check)), progress_(progress) {}

  void expect(std::uint64_t bytes) { at_.bytes_total += bytes; }
  // Returns its checksum.
  Result<std::string> copy(const Piece& piece) {
    const File from(disk_, disk_.open(piece.from, O_RDONLY | O_NOFOLLOW, 0));
    if (!from) return system_error(errno, "cannot open " + piece.from);
    const File to(disk_, disk_.open(piece.to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (!to) return system_error(errno, "cannot create " + piece.to);
    Sha256 sum;
    for (std::uint64_t at = 0; at < piece.bytes;) {
      if (check_) CODEQ_TRY_VOID(check_());
      const auto have = at < piece.bytes_to_copy ? std::min<std::uint64_t>(kPieceBytes, piece.bytes_to_copy - at) : 0;
      const auto size = have != 0 ? have : std::min<std::uint64_t>(kPieceBytes, piece.bytes - at);
      if (have == 0)
        std::memset(buffer_.data(), 0, size);
      else
        CODEQ_TRY_VOID(read(from, piece.from, at, size));
      sum.add(buffer_.data(), size);
      if (const int failed = disk::write_all(disk_, to.fd(), std::string_view(buffer_.data(), size), at); failed != 0)
        return system_error(failed, "cannot write " + piece.to);
      at += size;
      tell(size);
    }
    if (const int failed = disk::sync_all(disk_, to.fd()); failed != 0)
      return system_error(failed, "cannot sync " + piece.to);
    return sum.hex();
  }
  Result<std::string> sum_of(const std::string& path, std::uint64_t bytes) {
    const File from(disk_, disk_.open(path, O_RDONLY | O_NOFOLLOW, 0));
    if (!from) return system_error(errno, "cannot open " + path);
    Sha256 sum;
    for (std::uint64_t at = 0; at < bytes;) {
      const auto size = std::min<std::uint64_t>(kPieceBytes, bytes - at);
      CODEQ_TRY_VOID(read(from, path, at, size));
      sum.add(buffer_.data(), size);
      at += size;
      tell(size);
    }
    return sum.hex();
  }
  [[nodiscard]] std::uint64_t bytes() const { return at_.bytes_done; }

 private:
  Result<void> read(const File& file, const std::string& path, std::uint64_t at, std::size_t size) {
    for (std::size_t got = 0; got < size;) {
      const auto now = disk_.read_at(file.fd(), buffer_.data() + got, size - got, at + got);
      if (now < 0 && errno == EINTR) continue;
      if (now < 0) return system_error(errno, "cannot read " + path);
      if (now == 0) return fail(Code::kIo, path + " became shorter while it was read");
      got += static_cast<std::size_t>(now);
    }
    return {};
  }
  void tell(std::uint64_t bytes) {
    at_.bytes_done += bytes;
    if (progress_ && (at_.bytes_done - told_ >= kTellEveryBytes || at_.bytes_done == at_.bytes_total)) {
      told_ = at_.bytes_done;
      progress_(at_);
    }
  }

  Disk& disk_ = Disk::real();
  const Check check_;
  const OnBackupProgress& progress_;
  BackupProgress at_;
  std::uint64_t told_ = 0;
  std::vector<char> buffer_ = std::vector<char>(kPieceBytes);
};

Result<std::uint64_t> size_of(const std::string& path) {
  struct stat status{};
  if (Disk::real().status(path, status) != 0) return system_error(errno, "cannot read " + path);
  return static_cast<std::uint64_t>(status.st_size);
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  std::vector<std::string> names;
  if (Disk::real().list(path, names) != 0) return system_error(errno, "cannot list " + path);
  return names;
}

Result<void> make_folder(const std::string& path) {
  if (Disk::real().make_folder(path, 0700) == 0) return {};
  if (errno == EEXIST) return fail(Code::kInvalidArgument, path + " is in the way");
  return system_error(errno, "cannot make " + path);
}

Result<void> sync_folder(const std::string& path) {
  if (const int failed = disk::sync_folder(Disk::real(), path); failed != 0) return system_error(failed, "cannot sync " + path);
  return {};
}

std::string above(const std::string& path) { return fs::path(path).parent_path().string(); }

// Begins `to` under another name.
Result<std::string> begin_folder(const std::string& to) {
  std::error_code error;
  if (!fs::path(to).is_absolute() || fs::path(to).filename().empty())
    return fail(Code::kInvalidArgument, "not the absolute path of a folder: " + to);
  if (fs::exists(fs::symlink_status(to, error))) return fail(Code::kInvalidArgument, to + " is in the way");
  const auto partial = to + ".partial";
  if (fs::exists(fs::symlink_status(partial, error)))
    return fail(Code::kInvalidArgument, partial + " is in the way: left by a run that did not end, remove it");
  CODEQ_TRY_VOID(make_folder(partial));
  return partial;
}

// Removes what was begun, unless it became whole.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  Result<void> becomes(const std::string& to) {
    for (const auto& folder : {path_ + "/log", path_ + "/store", path_}) CODEQ_TRY_VOID(sync_folder(folder));
    if (Disk::real().rename(path_, to) != 0) return system_error(errno, fmt::format("cannot rename {} to {}", path_, to));
    path_.clear();
    return sync_folder(above(to));
  }

 private:
  std::string path_;
};

Result<std::string> write_file(const std::string& path, std::string_view text) {
  Disk& disk = Disk::real();
  const File file(disk, disk.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (!file) return system_error(errno, "cannot create " + path);
  int failed = disk::write_all(disk, file.fd(), text, 0);
  if (failed == 0) failed = disk::sync_all(disk, file.fd());
  if (failed != 0) return system_error(failed, "cannot write " + path);
  Sha256 sum;
  sum.add(text.data(), text.size());
  return sum.hex();
}

std::uint64_t bytes_of(const std::vector<Piece>& pieces) {
  std::uint64_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.bytes;
  return bytes;
}

Result<void> copy_all(const std::vector<Piece>& pieces, Copier& copier, std::vector<Sum>& sums) {
  for (const auto& piece : pieces) {
    CODEQ_TRY(auto sum, copier.copy(piece));
    sums.push_back({std::move(sum), piece.name});
  }
  return {};
}

// `to` and its place, canonical: nothing is made in a folder that is being copied.
Result<void> refuse_inside(const std::string& folder, const std::string& to) {
  std::error_code error;
  const auto place = fs::weakly_canonical(fs::path(to).parent_path(), error);
  const auto inside = fs::weakly_canonical(folder, error);
  const auto [end, ignored] = std::mismatch(inside.begin(), inside.end(), place.begin(), place.end());
  if (end == inside.end()) return fail(Code::kInvalidArgument, fmt::format("{} is inside {}", to, folder));
  return {};
}

// Room for `bytes` at `path`, and what must stay free there.
Result<void> refuse_without_room(const std::string& path, std::uint64_t bytes, std::uint64_t reserve) {
  struct statvfs room{};
  if (statvfs(path.c_str(), &room) != 0) return {};
  const auto free = room.f_bavail * room.f_frsize;
  if (free >= bytes + reserve) return {};
  return fail(Code::kDiskFull, fmt::format("{} has {} MiB of room, {} MiB are needed{}", path, free >> 20U, bytes >> 20U,
                                           reserve != 0 ? fmt::format(" beside the reserve of {} MiB", reserve >> 20U) : ""));
}

Result<BackupReport> finish_backup(const std::string& partial, const std::string& to, Unfinished& unfinished,
                                   std::vector<Sum> sums, BackupReport report, const Copier& copier) {
  std::array<char, 32> now{};
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  std::strftime(now.data(), now.size(), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
  const auto about = fmt::format(
      "{{\"format\":1,\"codeq\":\"{}\",\"createdAt\":\"{}\",\"records\":{},\"lastGroup\":{},\"files\":{},\"bytes\":{}}}\n",
      kVersion, now.data(), report.records, report.last_group, sums.size(), copier.bytes());
  CODEQ_TRY(auto about_sum, write_file(partial + "/backup.json", about));
  sums.push_back({std::move(about_sum), "backup.json"});
  CODEQ_TRY_VOID(write_file(partial + "/SHA256SUMS", format_sums(sums)));
  CODEQ_TRY_VOID(unfinished.becomes(to));
  report.path = to;
  report.files = sums.size();
  report.bytes = copier.bytes();
  return report;
}

// The files of the store in `from`, to be copied into `folder`.
Result<void> add_store(const std::string& from, const std::string& folder, std::vector<Piece>& pieces) {
  CODEQ_TRY(const auto names, names_in(from));
  for (const auto& name : names) {
    if (name == "LOCK" || name == "lock" || name.starts_with("LOG")) continue;  // of a process, not of the store
    CODEQ_TRY(const auto bytes, size_of(from + "/" + name));
    pieces.push_back(
        {.from = from + "/" + name, .to = folder + "/" + name, .name = "store/" + name, .bytes = bytes, .bytes_to_copy = bytes});
  }
  return {};
}

Result<std::string> read_file(const std::string& path, std::uint64_t bytes_max) {
  CODEQ_TRY(const auto size, size_of(path));
  if (size > bytes_max) return fail(Code::kCorrupt, path + " is too long to be one of ours");
  std::string text(size, '\0');
  Disk& disk = Disk::real();
  const File file(disk, disk.open(path, O_RDONLY | O_NOFOLLOW, 0));
  if (!file) return system_error(errno, "cannot open " + path);
  if (const int failed = disk::read_all(disk, file.fd(), text.data(), text.size()); failed != 0)
    return system_error(failed, "cannot read " + path);
  return text;
}

// The list, checked against what is there.
Result<std::vector<Piece>> read_backup(const std::string& from, std::vector<Sum>& sums) {
  const auto list = from + "/SHA256SUMS";
  if (!size_of(list)) return fail(Code::kInvalidArgument, from + " is no backup of ours: it has no SHA256SUMS");
  CODEQ_TRY(const auto text, read_file(list, kSumsBytesMax));
  auto parsed = parse_sums(text);
  if (!parsed) return fail(Code::kCorrupt, list + ": " + parsed.error().message);
  sums = *std::move(parsed);
  CODEQ_TRY(const auto about, read_file(from + "/backup.json", 64U << 10U));
  if (!about.starts_with(R"({"format":1,)"))
    return fail(Code::kInvalidArgument, from + " has a backup.json that this version does not know: it may be from a newer one");
  std::vector<Piece> pieces;
  std::set<std::string> listed;
  for (const auto& sum : sums) {
    listed.insert(sum.path);
    auto bytes = size_of(from + "/" + sum.path);
    if (!bytes) return fail(Code::kCorrupt, fmt::format("{}/{} is missing", from, sum.path));
    pieces.push_back({.from = from + "/" + sum.path, .to = {}, .name = sum.path, .bytes = *bytes, .bytes_to_copy = *bytes});
  }
  for (const char* folder : {"log", "store"}) {
    CODEQ_TRY(const auto names, names_in(from + "/" + folder));
    for (const auto& name : names)
      if (!listed.contains(std::string(folder) + "/" + name))
        return fail(Code::kCorrupt, fmt::format("{}/{}/{} is not in the list of files", from, folder, name));
  }
  return pieces;
}

std::unexpected<Error> differs(const Piece& piece) {
  return fail(Code::kCorrupt, piece.from + " is damaged: its SHA-256 is not the one in the list of files");
}

}  // namespace

void clear_backup_staging(const std::string& data) {
  std::error_code ignored;
  fs::remove_all(data + "/backup.staging", ignored);
}

Result<BackupReport> back_up_running(const BackupSource& from, const std::string& to, const std::function<bool()>& cancelled,
                                     const OnBackupProgress& progress) {
  CODEQ_TRY_VOID(refuse_inside(from.data, to));
  CODEQ_TRY(const auto partial, begin_folder(to));
  Unfinished unfinished(partial);
  CODEQ_TRY_VOID(make_folder(partial + "/log"));
  CODEQ_TRY_VOID(make_folder(partial + "/store"));
  struct stat here{}, there{};
  const bool one_disk = ::stat(from.data.c_str(), &here) == 0 && ::stat(partial.c_str(), &there) == 0 && here.st_dev == there.st_dev;
  const auto reserve = one_disk ? from.reserve_bytes : 0;
  const auto go_on = [&]() -> Result<void> {
    if (cancelled()) return fail(Code::kUnavailable, "the backup was called off");
    return refuse_without_room(partial, 0, reserve);
  };
  Copier copier(go_on, progress);
  std::vector<Sum> sums;
  storage::Position position;
  std::uint64_t last_group = 0;
  const std::string staging = from.data + "/backup.staging";
  clear_backup_staging(from.data);
  CODEQ_TRY_VOID(make_folder(staging));
  Unfinished staged(staging);
  std::vector<Piece> store_pieces;
  {
    const log::LocalLog::Hold hold(from.log);  // before the store's copy: its groups must still be there afterwards
    auto done = std::make_shared<std::promise<Result<storage::Position>>>();
    auto copied = done->get_future();
    from.partition.on_image_thread(
        [done, &store = from.store, path = staging + "/store"] { done->set_value(store.checkpoint(path)); });
    done.reset();
    try {
      CODEQ_TRY(position, copied.get());
    } catch (const std::future_error&) {  // the thread has ended
      return fail(Code::kUnavailable, "the broker is stopping");
    }
    const auto list = from.log.files_to_copy(position.group);
    last_group = list.last_group;
    std::vector<Piece> pieces;
    for (const auto& file : list.files)
      pieces.push_back({.from = from.log.folder().string() + "/" + file.name,
                        .to = partial + "/log/" + file.name,
                        .name = "log/" + file.name,
                        .bytes = file.bytes,
                        .bytes_to_copy = file.bytes_to_copy});
    CODEQ_TRY_VOID(add_store(staging + "/store", partial + "/store", store_pieces));
    const auto bytes = bytes_of(pieces) + bytes_of(store_pieces);
    CODEQ_TRY_VOID(refuse_without_room(partial, bytes, reserve));
    copier.expect(bytes);
    CODEQ_TRY_VOID(copy_all(pieces, copier, sums));
  }
  CODEQ_TRY_VOID(copy_all(store_pieces, copier, sums));
  return finish_backup(partial, to, unfinished, std::move(sums), {.records = position.records, .last_group = last_group}, copier);
}

Result<BackupReport> back_up_stopped(const std::string& data, const std::string& to, const OnBackupProgress& progress) {
  CODEQ_TRY(const auto opened, look_into_data(data));  // holds its lock
  CODEQ_TRY_VOID(refuse_inside(data, to));
  CODEQ_TRY(const auto partial, begin_folder(to));
  Unfinished unfinished(partial);
  CODEQ_TRY_VOID(make_folder(partial + "/log"));
  CODEQ_TRY_VOID(make_folder(partial + "/store"));
  std::vector<Piece> pieces;
  CODEQ_TRY(const auto names, names_in(data + "/log"));
  for (const auto& name : names) {
    if (name != log::local::Folder::kFormatName && !name.starts_with("segment-")) continue;
    if (name.ends_with(".tmp")) continue;
    CODEQ_TRY(const auto bytes, size_of(data + "/log/" + name));
    pieces.push_back({.from = data + "/log/" + name,
                      .to = partial + "/log/" + name,
                      .name = "log/" + name,
                      .bytes = bytes,
                      .bytes_to_copy = bytes});
  }
  CODEQ_TRY_VOID(add_store(data + "/store", partial + "/store", pieces));
  CODEQ_TRY_VOID(refuse_without_room(partial, bytes_of(pieces), 0));
  Copier copier({}, progress);
  copier.expect(bytes_of(pieces));
  std::vector<Sum> sums;
  CODEQ_TRY_VOID(copy_all(pieces, copier, sums));
  return finish_backup(partial, to, unfinished, std::move(sums),
                       {.records = opened.store->position().records, .last_group = opened.found.last_group}, copier);
}

Result<BackupReport> verify_backup(const std::string& from, const OnBackupProgress& progress) {
  std::vector<Sum> sums;
  CODEQ_TRY(const auto pieces, read_backup(from, sums));
  Copier copier({}, progress);
  for (const auto& piece : pieces) copier.expect(piece.bytes);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    CODEQ_TRY(const auto sum, copier.sum_of(pieces[i].from, pieces[i].bytes));
    if (sum != sums[i].sha256) return differs(pieces[i]);
  }
  return BackupReport{.path = from, .files = pieces.size(), .bytes = copier.bytes()};
}

Result<BackupReport> restore(const std::string& from, const std::string& data, const OnBackupProgress& progress) {
  std::vector<Sum> sums;
  CODEQ_TRY(auto pieces, read_backup(from, sums));
  CODEQ_TRY_VOID(refuse_inside(from, data));
  std::error_code error;
  if (fs::is_directory(fs::symlink_status(data, error)) && fs::is_empty(data, error) && !error) fs::remove(data, error);
  CODEQ_TRY(const auto partial, begin_folder(data));
  Unfinished unfinished(partial);
  CODEQ_TRY_VOID(make_folder(partial + "/log"));
  CODEQ_TRY_VOID(make_folder(partial + "/store"));
  Copier copier({}, progress);
  for (const auto& piece : pieces) copier.expect(piece.bytes);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    auto& piece = pieces[i];
    if (piece.name == "backup.json") {
      CODEQ_TRY(const auto sum, copier.sum_of(piece.from, piece.bytes));
      if (sum != sums[i].sha256) return differs(piece);
      continue;
    }
    piece.to = partial + "/" + piece.name;
    CODEQ_TRY(const auto sum, copier.copy(piece));
    if (sum != sums[i].sha256) return differs(piece);
  }
  CODEQ_TRY_VOID(unfinished.becomes(data));
  return BackupReport{.path = data, .files = pieces.size(), .bytes = copier.bytes()};
}

}  // namespace codeq::app
