#include "log/local/local_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/plant.h"
#include "base/thread_name.h"
#include "log/local/crc32c.h"
#include "log/local/recovery.h"

namespace codeq::log {

using namespace local;  // the insides of this class, and nobody else's

namespace {

constexpr std::uint64_t kGrowth = 8;
constexpr std::uint64_t kFirstSegmentBytesMin = kSegmentHeaderBytes + 2 * kEntryHeaderBytes;

Result<void> check(const LocalLogOptions& options) {
  if (options.folder.empty()) return fail(Code::kInvalidArgument, "the log needs a folder");
  if (options.first_segment_bytes < kFirstSegmentBytesMin || options.segment_bytes < options.first_segment_bytes ||
      options.segment_bytes > kSegmentBytesMax / 2 || options.group_bytes_max > kSegmentBytesMax / 2) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("log segments of {} to {} bytes with groups of at most {} bytes: outside what the format can hold",
                    options.first_segment_bytes, options.segment_bytes, options.group_bytes_max));
  }
  if (options.durability == LocalLogOptions::Durability::kInterval && options.interval.count() < 1) {
    return fail(Code::kInvalidArgument, "the log's sync interval must be at least 1 ms");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<LocalLog>> LocalLog::open(LocalLogOptions options) {
  CODEQ_TRY_VOID(check(options));
  options.first_segment_bytes = aligned(options.first_segment_bytes);
  options.segment_bytes = aligned(options.segment_bytes);
  Disk& disk = options.disk != nullptr ? *options.disk : Disk::real();
  CODEQ_TRY(auto folder, Folder::open(options.folder, options.first_segment_bytes, disk));
  return std::unique_ptr<LocalLog>(new LocalLog(std::move(options), disk, std::move(folder)));
}

LocalLog::LocalLog(LocalLogOptions options, Disk& disk, std::unique_ptr<Folder> folder)
    : options_(std::move(options)), disk_(disk), folder_(std::move(folder)) {}

LocalLog::~LocalLog() {
  preparer_ = {};  // asks it to stop and waits
  syncer_ = {};
  if (replayed_ && !is_broken_.load() && sync()) static_cast<void>(mark_durable());
}

Result<void> LocalLog::replay(std::uint64_t after, const Visit& visit) {
  CODEQ_TRY_VOID(refuse_if_broken());
  if (replayed_) return broken({Code::kInternal, "the log is replayed twice"});
  auto recovered = recover(*folder_, disk_, after, visit);
  if (!recovered) return broken(std::move(recovered).error());

  const auto& segments = folder_->segments();
  position_ = recovered->position;
  segment_ = segments[recovered->index];
  offset_ = recovered->offset;
  file_ = std::move(recovered->file);
  for (std::size_t at = 0; at < recovered->index; ++at)
    closed_.push_back({segments[at], recovered->last_groups[at]});
  active_bytes_ = segment_.bytes;
  active_used_ = offset_ > kSegmentHeaderBytes;
  tail_ = {.group = position_.group, .segment = segment_.number, .bytes = segment_.bytes, .offset = offset_};
  spares_.assign(segments.begin() + static_cast<std::ptrdiff_t>(recovered->index) + 1, segments.end());
  written_ = durable_ = position_.group;  // recovery has synced what it kept
  replayed_ = true;
  CODEQ_TRY_VOID(mark_durable());

  if (options_.prepare_ahead) preparer_ = std::jthread([this](const std::stop_token& stop) {
    name_thread("log-prepare");
    prepare_segments(stop);
  });
  want_segment(segment_.number + 1);
  if (options_.durability == LocalLogOptions::Durability::kInterval) {
    syncer_ = std::jthread([this](const std::stop_token& stop) {
      name_thread("log-sync");
      sync_every_interval(stop);
    });
  }
  return {};
}

Result<std::uint64_t> LocalLog::append(std::string_view records) {
  if (!replayed_) CODEQ_TRY_VOID(replay(0, [](std::uint64_t, std::string_view) { return Result<void>{}; }));
  CODEQ_TRY_VOID(refuse_if_broken());
  if (records.size() > options_.group_bytes_max) {
    return fail(Code::kInvalidArgument, fmt::format("a log group of {} bytes is over the bound of {}", records.size(),
                                                    options_.group_bytes_max));
  }
  const std::uint64_t needed = entry_bytes(records.size()) + kEntryHeaderBytes;  // a mark must find room behind it
  if (segment_.bytes - offset_ < needed) CODEQ_TRY_VOID(go_to_next_segment(needed));
  CODEQ_TRY_VOID(write_entry(EntryKind::kGroup, records));
  written_.store(position_.group, std::memory_order_release);
  if (options_.durability == LocalLogOptions::Durability::kSync) CODEQ_TRY_VOID(sync_active());
  return position_.group;
}

Result<void> LocalLog::write_entry(EntryKind kind, std::string_view payload) {
  static constexpr std::array<char, 8> kPadding{};
  const EntryHeader header{
      .kind = kind,
      .group = position_.group + (kind == EntryKind::kGroup ? 1 : 0),
      .durable = durable_.load(std::memory_order_acquire),
      .incarnation = folder_->incarnation(),
      .offset = static_cast<std::uint32_t>(offset_),
      .payload_bytes = static_cast<std::uint32_t>(payload.size()),
      .payload_crc = crc32c(payload),
      .chain = position_.chain,
  };
  std::array<char, kEntryHeaderBytes> bytes{};
  const std::uint32_t crc = encode_entry_header(header, {folder_->id(), segment_.number}, bytes);
  const std::uint64_t end = offset_ + entry_bytes(payload.size());
  const std::size_t padding = end - offset_ - kEntryHeaderBytes - payload.size();
  // iovec serves reads too and so has no const; pwritev does not write through it.
  std::array<iovec, 3> parts{{{bytes.data(), bytes.size()},
                              {const_cast<char*>(payload.data()), payload.size()},
                              {const_cast<char*>(kPadding.data()), padding}}};
  if (const int failed = write_all(disk_, file_.fd(), parts, offset_); failed != 0) {
    return broken(
        system_error(failed, fmt::format("cannot write {}, byte {}", folder_->path_of(segment_.number), offset_))
            .error());
  }
  {
    const std::lock_guard lock(prepare_mutex_);
    active_used_ = true;
    tail_ = {.group = header.group, .segment = segment_.number, .bytes = segment_.bytes, .offset = end};
  }
  position_ = {header.group, header.durable, crc, kind == EntryKind::kMark && header.durable == header.group};
  offset_ = end;
  return {};
}

// Says on disk that the last group is durable, as the next group's header would.
Result<void> LocalLog::mark_durable() {
  if (position_.group == 0 || position_.marked) return {};
  CHECK(segment_.bytes - offset_ >= kEntryHeaderBytes);
  CODEQ_TRY_VOID(write_entry(EntryKind::kMark, {}));
  if (const int failed = sync_data(disk_, file_.fd()); failed != 0) {
    return broken(system_error(failed, fmt::format("cannot sync {}", folder_->path_of(segment_.number))).error());
  }
  return {};
}

Result<void> LocalLog::sync() {
  CODEQ_TRY_VOID(refuse_if_broken());
  return sync_active();
}

Result<void> LocalLog::sync_active() {
  const std::lock_guard lock(sync_mutex_);
  CODEQ_TRY_VOID(refuse_if_broken());  // another thread's sync may have failed while we waited
  const std::uint64_t target = written_.load(std::memory_order_acquire);
  if (durable_.load(std::memory_order_acquire) >= target) return {};
  // One try: after a failed sync the system may call lost pages clean, and a second sync would lie.
  if (const int failed = planted(Plant::kDroppedSync) ? 0 : sync_data(disk_, file_.fd()); failed != 0) {
    return broken(system_error(failed, fmt::format("cannot sync the log folder {}", options_.folder.string())).error());
  }
  durable_.store(target, std::memory_order_release);
  return {};
}

Result<void> LocalLog::go_to_next_segment(std::uint64_t needed) {
  CODEQ_TRY_VOID(sync_active());  // so a sync of the active segment is always a sync of everything
  auto next = take_segment(segment_.number + 1, kSegmentHeaderBytes + needed);
  if (!next) return broken(std::move(next).error());
  auto file = folder_->open_segment(*next);
  if (!file) return broken(std::move(file).error());
  {
    const std::lock_guard lock(sync_mutex_);
    file_ = *std::move(file);
  }
  {
    const std::lock_guard lock(prepare_mutex_);
    closed_.push_back({segment_, position_.group});
    active_bytes_ = next->bytes;
    active_used_ = false;
  }
  segment_ = *next;
  offset_ = kSegmentHeaderBytes;
  if (options_.prepare_ahead) {
    want_segment(segment_.number + 1);
  } else {
    std::unique_lock lock(prepare_mutex_);
    while (releasable() > options_.spare_segments && remove_released(lock)) {
    }
  }
  return {};
}

// Lets go of `lock` meanwhile; false: the file could not be removed.
bool LocalLog::remove_released(std::unique_lock<std::mutex>& lock) {
  const Closed old = closed_.front();
  closed_.pop_front();
  lock.unlock();
  const auto removed = folder_->remove_segment(old.file);
  if (!removed && removed.error().code == Code::kIo) static_cast<void>(broken(removed.error()));
  lock.lock();
  if (removed) return true;
  if (folder_->has_segment(old.file.number)) closed_.push_front(old);
  released_ = 0;  // nothing is lost but room; it will be tried again when more is released
  return false;
}

Result<SegmentFile> LocalLog::take_segment(std::uint64_t number, std::uint64_t bytes_min) {
  std::unique_lock lock(prepare_mutex_);
  wanted_ = 0;
  prepare_changed_.wait(lock, [this] { return !preparing_; });  // it began earlier, so it ends earlier than we would
  if (!spares_.empty() && spares_.front().number == number) {
    const SegmentFile spare = spares_.front();
    spares_.erase(spares_.begin());
    if (spare.bytes >= bytes_min) return spare;
  }
  preparing_ = true;  // the preparer leaves the folder alone meanwhile
  lock.unlock();
  auto made = make_segment(number, std::max(usual_bytes(number), aligned(bytes_min)));
  lock.lock();
  preparing_ = false;
  return made;
}

Result<SegmentFile> LocalLog::make_segment(std::uint64_t number, std::uint64_t bytes, const std::stop_token& stop) {
  std::optional<Closed> old;
  {
    const std::lock_guard lock(prepare_mutex_);
    if (releasable() > 0 && closed_.front().file.bytes == bytes) {
      old = closed_.front();
      closed_.pop_front();
    }
  }
  if (!old) return folder_->create_segment(number, bytes, stop);
  auto made = folder_->recycle_segment(old->file, number);
  if (!made && folder_->has_segment(old->file.number)) {  // numbers go without a gap, so it stays the next to go
    const std::lock_guard lock(prepare_mutex_);
    closed_.push_front(*old);
  }
  return made;
}

// The last entry before the next one must stay: its number and its checksum are what the next one continues.
std::size_t LocalLog::releasable() const {
  if (holds_ > 0) return 0;
  std::size_t count = 0;
  while (count < closed_.size() && closed_[count].last_group <= released_ &&
         (active_used_ || count + 1 < closed_.size()))
    ++count;
  return count;
}

Result<std::uint64_t> LocalLog::begins_after() const { return local::begins_after(*folder_, disk_); }

void LocalLog::release(std::uint64_t group) {
  const std::lock_guard lock(prepare_mutex_);
  if (group <= released_) return;
  released_ = group;
  if (releasable() > options_.spare_segments) prepare_changed_.notify_all();
}

LocalLog::Hold::Hold(LocalLog& log) : log_(log) {
  const std::lock_guard lock(log_.prepare_mutex_);
  ++log_.holds_;
}

LocalLog::Hold::~Hold() {
  const std::lock_guard lock(log_.prepare_mutex_);
  if (--log_.holds_ == 0) log_.prepare_changed_.notify_all();
}

LocalLog::CopyList LocalLog::files_to_copy(std::uint64_t after) const {
  const std::lock_guard lock(prepare_mutex_);
  CHECK(holds_ > 0);
  CopyList list{.last_group = tail_.group, .files = {}};
  const auto name = [this](std::uint64_t number) {
    return std::filesystem::path(folder_->path_of(number)).filename().string();
  };
  list.files.push_back({.name = std::string(Folder::kFormatName), .bytes = kFormatFileBytes, .bytes_to_copy = kFormatFileBytes});
  // The last group stays whatever the store has: its number and checksum are what the next one continues.
  for (const auto& closed : closed_)
    if (closed.file.number < tail_.segment && (closed.last_group > after || closed.last_group == tail_.group))
      list.files.push_back({.name = name(closed.file.number), .bytes = closed.file.bytes, .bytes_to_copy = closed.file.bytes});
  list.files.push_back({.name = name(tail_.segment), .bytes = tail_.bytes, .bytes_to_copy = tail_.offset});
  return list;
}

LocalLog::Stats LocalLog::stats() const {
  const std::lock_guard lock(prepare_mutex_);
  Stats stats{.segments = 1 + closed_.size() + spares_.size(),
              .bytes = active_bytes_,
              .released_segments = releasable(),
              .spare_segments = spares_.size()};
  for (const auto& closed : closed_) stats.bytes += closed.file.bytes;
  for (const auto& spare : spares_) stats.bytes += spare.bytes;
  return stats;
}

std::uint64_t LocalLog::usual_bytes(std::uint64_t segment) const {
  std::uint64_t bytes = options_.first_segment_bytes;
  for (std::uint64_t i = 1; i < segment && bytes < options_.segment_bytes; ++i) bytes *= kGrowth;
  return std::min(bytes, options_.segment_bytes);
}

void LocalLog::want_segment(std::uint64_t number) {
  const std::lock_guard lock(prepare_mutex_);
  if (!spares_.empty()) return;
  wanted_ = number;
  prepare_changed_.notify_all();
}

void LocalLog::prepare_segments(const std::stop_token& stop) {
  std::unique_lock lock(prepare_mutex_);
  while (true) {
    prepare_changed_.wait(lock, stop, [this] {
      return !preparing_ && (wanted_ != 0 || releasable() > options_.spare_segments);
    });
    if (stop.stop_requested()) return;
    preparing_ = true;
    if (wanted_ != 0) {
      const std::uint64_t number = std::exchange(wanted_, 0);
      lock.unlock();
      const auto made = make_segment(number, usual_bytes(number), stop);
      lock.lock();
      // A failure is not the log's end: there may be room by the time an append needs the segment, and it says so if not.
      // But after a failed sync of the folder no later one could be trusted.
      if (made)
        spares_.push_back(*made);
      else if (made.error().code == Code::kIo)
        static_cast<void>(broken(made.error()));
    } else {
      static_cast<void>(remove_released(lock));
    }
    preparing_ = false;
    prepare_changed_.notify_all();
  }
}

void LocalLog::sync_every_interval(const std::stop_token& stop) {
  std::mutex never_contended;
  std::unique_lock lock(never_contended);
  while (!stop.stop_requested() && !is_broken_.load()) {
    interval_changed_.wait_for(lock, stop, options_.interval, [] { return false; });
    static_cast<void>(sync_active());  // an error stays with the log: the next append answers it
  }
}

Result<void> LocalLog::refuse_if_broken() const {
  if (!is_broken_.load(std::memory_order_acquire)) [[likely]]
    return {};
  const std::lock_guard lock(error_mutex_);
  return std::unexpected<Error>(*error_);
}

std::unexpected<Error> LocalLog::broken(Error error) {
  const std::lock_guard lock(error_mutex_);
  if (!error_) error_ = std::move(error);
  is_broken_.store(true, std::memory_order_release);
  return std::unexpected<Error>(*error_);
}

}  // namespace codeq::log
