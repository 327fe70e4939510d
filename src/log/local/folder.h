// The log's folder: whose it is, who uses it, which segments it has, and how a segment comes into it.
//
//   lock                   held with flock(2) for as long as the folder is open
//   format                 magic, version, folder id; its arrival makes the folder ours
//   segment-000000000001   and so on, without a gap; the lowest ones go once they are released
//   *.tmp                  under way, or left over from a crash; removed at the next open
//
// Errors   kUnavailable      another process holds the lock
//          kInvalidArgument  the folder holds something else, or a newer version's log; not one byte was changed
//          kCorrupt          damaged: the message has the file, the byte offset and what is wrong
//          kDiskFull, kIo    what the system said
// Threads  create, recycle and remove_segment from one thread at a time; the rest is constant after open
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "disk/disk.h"
#include "log/local/format.h"

namespace codeq::log::local {

using disk::Disk;
using disk::File;
using disk::read_all;
using disk::sync_all;
using disk::sync_data;
using disk::system_error;
using disk::write_all;

struct SegmentFile {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
};

class Folder {
 public:
  static constexpr const char* kFormatName = "format";
  // To look at a folder that no process uses (kUnavailable), and change nothing in it. kInvalidArgument: no log is there.
  static Result<std::unique_ptr<Folder>> look(const std::filesystem::path& path, Disk& disk);
  // Makes the folder with a first segment of `first_segment_bytes` when it is not there or empty.
  static Result<std::unique_ptr<Folder>> open(const std::filesystem::path& path, std::uint64_t first_segment_bytes,
                                              Disk& disk);

  [[nodiscard]] const FolderId& id() const { return id_; }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }  // random, new with every open
  [[nodiscard]] const std::vector<SegmentFile>& segments() const { return segments_; }  // as found by open, by number
  [[nodiscard]] std::string path_of(std::uint64_t segment) const;  // for messages

  // Writes a segment full of zeros under another name, syncs it, renames it into place and syncs the folder. It
  // takes the place of a segment of that number. kUnavailable: `stop` was requested; nothing is left of it.
  Result<SegmentFile> create_segment(std::uint64_t number, std::uint64_t bytes, const std::stop_token& stop = {});

  // Gives the lowest segment of all, whose groups nobody needs, a new number and header; its old bytes stay. A crash on
  // the way costs the file, which is then removed at the next open.
  Result<SegmentFile> recycle_segment(const SegmentFile& old, std::uint64_t number);
  // Removes the lowest segment of all.
  Result<void> remove_segment(const SegmentFile& old);

  [[nodiscard]] bool has_segment(std::uint64_t number) const;

  // Opens a segment for writing and checks its header against its name, its size and this folder.
  Result<File> open_segment(const SegmentFile& segment) const;

 private:
  Folder(std::filesystem::path path, Disk& disk) : path_(std::move(path)), disk_(disk) {}
  Result<void> load_or_create(std::uint64_t first_segment_bytes);
  Result<void> create(const std::vector<std::string>& names, std::uint64_t first_segment_bytes);
  Result<void> load_format();
  Result<void> list_segments(const std::vector<std::string>& names);
  Result<void> put_in_place(File file, const char* temporary, const std::string& name);
  [[nodiscard]] std::string path_of(const std::string& name) const { return (path_ / name).string(); }

  std::filesystem::path path_;
  Disk& disk_;
  bool looking_ = false;  // no file is opened for writing
  File folder_;
  File lock_;
  FolderId id_{};
  std::uint64_t incarnation_ = 0;
  std::vector<SegmentFile> segments_;
};

}  // namespace codeq::log::local
