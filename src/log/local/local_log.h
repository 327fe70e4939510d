// The segment log: one group, one write, one fdatasync. Bytes in docs/formats/log.md, promises in src/log/README.md.
//
// Errors   open, replay: kUnavailable (folder in use), kInvalidArgument (not our folder, or a newer format), kCorrupt
//          append: kInvalidArgument for a group over the bound, which changes nothing; kDiskFull or kIo from the
//          system, after which every call answers the same error until the process starts again
// Threads  open, replay, append: one thread. sync: any
// Cost     append: 1 pwritev and with kSync 1 fdatasync (about 0.2 ms on a good SSD); no allocation, except at a
//          segment's end; start: reads all segments (about 1 GB/s), then at most three small writes
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "log/local/folder.h"
#include "log/log.h"

namespace codeq::log {

struct LocalLogOptions {
  std::filesystem::path folder;  // made (0700, parents too) when it is not there
  enum class Durability : std::uint8_t {
    kSync,      // append returns after fdatasync: an acknowledged group survives a power cut
    kInterval,  // a thread syncs every `interval`: a power cut takes back at most that, a killed process nothing
    kNone,      // the system decides when; a killed process loses nothing
  } durability = Durability::kSync;
  std::chrono::milliseconds interval{100};
  std::uint64_t first_segment_bytes = std::uint64_t{1} << 20;  // small: an empty folder is ready at once
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;       // each segment is 8 times the last one, up to this
  std::size_t group_bytes_max = std::size_t{64} << 20;         // a larger group than a segment gets one of its own
  std::size_t spare_segments = 1;  // released ones that are kept to be used again
  bool prepare_ahead = true;       // by a thread; false: append makes its next segment itself (deterministic tests)
  disk::Disk* disk = nullptr;                                  // borrowed; null: the real one
};

class LocalLog final : public Log {
 public:
  static Result<std::unique_ptr<LocalLog>> open(LocalLogOptions options);
  // Syncs, and marks the last group as durable: after a clean stop even the newest group's damage is noticed.
  ~LocalLog() override;
  LocalLog(const LocalLog&) = delete;
  LocalLog& operator=(const LocalLog&) = delete;

  Result<void> replay(std::uint64_t after, const Visit& visit) override;
  void release(std::uint64_t group) override;
  Result<std::uint64_t> append(std::string_view records) override;
  Result<void> sync() override;

  // While somebody holds it, no segment is released. Any thread.
  class Hold {
   public:
    explicit Hold(LocalLog& log);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    LocalLog& log_;
  };
  // The files that a copy of the log needs so that it has every group after `after` that was appended before this call,
  // from the lowest on. Any thread, after replay, under a Hold.
  struct CopiedFile {
    std::string name;                  // in the folder
    std::uint64_t bytes = 0;           // of the file
    std::uint64_t bytes_to_copy = 0;   // the rest of the copy is zeros: it is being written here
  };
  struct CopyList {
    std::uint64_t last_group = 0;
    std::vector<CopiedFile> files;
  };
  [[nodiscard]] CopyList files_to_copy(std::uint64_t after) const;

  // The group before the first one that is still here; 0 with all of them. Reads one segment.
  [[nodiscard]] Result<std::uint64_t> begins_after() const;
  [[nodiscard]] const std::filesystem::path& folder() const { return options_.folder; }
  [[nodiscard]] const local::FolderId& id() const { return folder_->id(); }
  struct Stats {
    std::uint64_t segments = 0, bytes = 0;              // all files
    std::uint64_t released_segments = 0;                // of them: wait to be used again
    std::uint64_t spare_segments = 0;                   // of them: ready for the next groups
  };
  [[nodiscard]] Stats stats() const;  // any thread
  // The newest group that a power cut cannot take back. Any thread.
  [[nodiscard]] std::uint64_t durable_group() const { return durable_.load(std::memory_order_acquire); }

 private:
  LocalLog(LocalLogOptions options, disk::Disk& disk, std::unique_ptr<local::Folder> folder);

  Result<void> refuse_if_broken() const;
  std::unexpected<Error> broken(Error error);
  Result<void> write_entry(local::EntryKind kind, std::string_view payload);
  Result<void> mark_durable();
  Result<void> sync_active();
  Result<void> go_to_next_segment(std::uint64_t entry_bytes);
  Result<local::SegmentFile> take_segment(std::uint64_t number, std::uint64_t bytes_min);
  [[nodiscard]] std::uint64_t usual_bytes(std::uint64_t segment) const;
  void want_segment(std::uint64_t number);
  Result<local::SegmentFile> make_segment(std::uint64_t number, std::uint64_t bytes, const std::stop_token& stop = {});
  [[nodiscard]] std::size_t releasable() const;  // closed segments that nobody needs; with prepare_mutex_ held
  bool remove_released(std::unique_lock<std::mutex>& lock);
  void prepare_segments(const std::stop_token& stop);
  void sync_every_interval(const std::stop_token& stop);

  const LocalLogOptions options_;
  disk::Disk& disk_;
  const std::unique_ptr<local::Folder> folder_;

  // Of the appending thread alone.
  bool replayed_ = false;
  local::Position position_;
  local::SegmentFile segment_;
  std::uint64_t offset_ = 0;

  std::atomic<std::uint64_t> written_{0};  // groups handed to the system
  std::atomic<std::uint64_t> durable_{0};
  std::mutex sync_mutex_;  // held during a sync, and to change file_
  disk::File file_;       // the segment that is appended to

  std::atomic<bool> is_broken_{false};
  mutable std::mutex error_mutex_;
  std::optional<Error> error_;  // the first one

  mutable std::mutex prepare_mutex_;
  std::condition_variable_any prepare_changed_;
  std::uint64_t wanted_ = 0;    // number of the segment to prepare, 0: none
  bool preparing_ = false;
  std::vector<local::SegmentFile> spares_;  // in place and empty, lowest number first
  struct Closed {
    local::SegmentFile file;
    std::uint64_t last_group;
  };
  std::deque<Closed> closed_;       // before the active one, lowest number first
  std::uint64_t released_ = 0;      // groups up to this one are not needed any more
  std::size_t holds_ = 0;           // copies under way
  struct Tail {                     // after the newest group
    std::uint64_t group = 0, segment = 0, bytes = 0, offset = 0;
  };
  Tail tail_;
  std::uint64_t active_bytes_ = 0;
  bool active_used_ = false;        // there is an entry in the active segment

  std::condition_variable_any interval_changed_;
  std::jthread preparer_;
  std::jthread syncer_;
};

}  // namespace codeq::log
