#include "log/local/recovery.h"

#include <fmt/format.h>

#include <deque>
#include <limits>
#include <string>
#include <vector>

namespace codeq::log::local {
namespace {

struct Loaded {
  File file;
  std::string bytes;
};

class Recovery {
 public:
  Recovery(const Folder& folder, Disk& disk, std::uint64_t after, const Log::Visit& visit)
      : folder_(folder),
        disk_(disk),
        after_(after),
        visit_(visit),
        segments_(folder.segments()),
        ends_(segments_.size(), kSegmentHeaderBytes),
        last_groups_(segments_.size(), 0) {
    position_.chain = folder_seed(folder.id());
  }

  Result<std::uint64_t> begins_after() {
    CODEQ_TRY_VOID(load(0, here_));
    CODEQ_TRY_VOID(find_start());
    return start_.group;
  }

  Result<Found> look() {
    CODEQ_TRY_VOID(load(0, here_));
    CODEQ_TRY_VOID(find_start());
    CODEQ_TRY_VOID(walk());
    CODEQ_TRY_VOID(refuse_lost_groups());
    return Found{.after = start_.group, .last_group = position_.group, .torn_tail = !torn_.empty()};
  }

  Result<Recovered> run() {
    CODEQ_TRY_VOID(load(0, here_));
    CODEQ_TRY_VOID(find_start());
    CODEQ_TRY_VOID(walk());
    CODEQ_TRY_VOID(refuse_damage());
    CODEQ_TRY_VOID(write_unsynced_again());
    CODEQ_TRY_VOID(wipe_tail());
    CODEQ_TRY_VOID(visit_groups());
    last_groups_.resize(index_);
    return Recovered{position_, index_, offset_, std::move(here_.file), std::move(last_groups_)};
  }

 private:
  struct Place {
    std::uint64_t group;
    std::size_t index;
    std::uint64_t offset;
  };

  [[nodiscard]] SegmentIdentity identity(std::size_t index) const { return {folder_.id(), segments_[index].number}; }
  [[nodiscard]] std::string path(std::size_t index) const { return folder_.path_of(segments_[index].number); }

  Result<void> load(std::size_t index, Loaded& into) const {
    CODEQ_TRY(into.file, folder_.open_segment(segments_[index]));
    int failed = 0;
    const auto size = segments_[index].bytes;  // bounded: its header agrees
    into.bytes.clear();                        // or growing would copy what is there
    // Not the size that the call is given: libstdc++ 12 gives the new capacity there, which may be twice the old one.
    into.bytes.resize_and_overwrite(size, [&](char* out, std::size_t) {
      failed = read_all(disk_, into.file.fd(), out, size);
      return failed == 0 ? size : 0;
    });
    if (failed != 0) return system_error(failed, fmt::format("cannot read {}", path(index)));
    return {};
  }

  // A log whose first segments were released begins where its first entry says.
  Result<void> find_start() {
    if (segments_.front().number != 1) {
      const auto start = position_before(here_.bytes, identity(0));
      if (!start)
        return fail(Code::kCorrupt,
                    fmt::format("{}, byte {}: the log begins with this segment, but there is no group of it here", path(0),
                                kSegmentHeaderBytes));
      position_ = *start;
    }
    start_ = position_;
    if (start_.group > after_)
      return fail(Code::kCorrupt, fmt::format("{}, byte 0: the file is missing; groups {} to {} are needed, and the log begins "
                                              "with {}",
                                              folder_.path_of(segments_.front().number - 1), after_ + 1, start_.group, path(0)));
    return {};
  }

  // To the place where the next group is not found, neither there nor at the start of the next segment.
  Result<void> walk() {
    while (true) {
      const Step step = read_entry(here_.bytes, identity(index_), offset_, position_);
      if (step.entry) {
        CODEQ_TRY_VOID(take(*step.entry));
        continue;
      }
      why_ = fmt::format("{}, byte {}: {}", path(index_), offset_, step.why);
      if (step.header_is_good || index_ + 1 == segments_.size()) return {};
      CODEQ_TRY_VOID(load(index_ + 1, there_));
      const Step first = read_entry(there_.bytes, identity(index_ + 1), kSegmentHeaderBytes, position_);
      if (!first.entry) {
        const std::string next = fmt::format("{}, byte {}: {}", path(index_ + 1), kSegmentHeaderBytes, first.why);
        why_ = first.header_is_good ? next : fmt::format("{}; nor is it in {}", why_, next);
        return {};
      }
      std::swap(here_, there_);
      ++index_;
      offset_ = kSegmentHeaderBytes;
    }
  }

  Result<void> take(const Entry& entry) {
    move_past(entry, position_);
    // A mark says that its group is durable; whether it is so itself only a later group can tell.
    const std::uint64_t known_by = entry.header.group + (entry.header.kind == EntryKind::kGroup ? 0 : 1);
    unsynced_.push_back({known_by, index_, offset_});
    while (!unsynced_.empty() && unsynced_.front().group <= position_.durable) unsynced_.pop_front();
    last_groups_[index_] = position_.group;
    offset_ = ends_[index_] = entry.end;
    return {};
  }

  Result<void> refuse_damage() {
    CODEQ_TRY_VOID(refuse_lost_groups());
    if (position_.group < after_)
      return fail(Code::kCorrupt,
                  fmt::format("the log ends with group {}, yet its image knows group {}: {}", position_.group, after_, why_));
    return {};
  }

  Result<void> refuse_lost_groups() {
    const std::uint64_t missing = position_.group + 1;
    for (std::size_t at = index_; at < segments_.size(); ++at) {
      if (at != index_) CODEQ_TRY_VOID(load(at, there_));
      const std::string& bytes = at == index_ ? here_.bytes : there_.bytes;
      const std::uint64_t from = at == index_ ? offset_ : kSegmentHeaderBytes;
      if (const auto proof = find_proof(bytes, identity(at), from, missing)) {
        return fail(Code::kCorrupt,
                    fmt::format("group {} is damaged: {}; yet the header at {}, byte {} (group {}) calls it durable",
                                missing, why_, path(at), proof->offset, proof->group));
      }
      if (find_header(bytes, identity(at), from)) torn_.push_back(at);
    }
    return {};
  }

  // A sync that failed in an earlier process leaves pages that look clean and are not on disk: what nothing calls
  // durable is written again, so that this process's sync means it.
  Result<void> write_unsynced_again() {
    if (unsynced_.empty()) return {};
    const Place first = unsynced_.front();
    for (std::size_t at = first.index; at <= index_; ++at) {
      if (at != index_) CODEQ_TRY_VOID(load(at, there_));
      const Loaded& segment = at == index_ ? here_ : there_;
      const std::uint64_t from = at == first.index ? first.offset : kSegmentHeaderBytes;
      const auto bytes = std::string_view(segment.bytes).substr(from, ends_[at] - from);
      int failed = write_all(disk_, segment.file.fd(), bytes, from);
      if (failed == 0) failed = sync_data(disk_, segment.file.fd());
      if (failed != 0) return system_error(failed, fmt::format("cannot write {}", path(at)));
    }
    return {};
  }

  // Zeros over the headers of what was dropped: no later scan may find it again. (Without its header an entry is nothing.)
  Result<void> wipe_tail() {
    static constexpr std::array<char, kEntryHeaderBytes> kZeros{};
    for (const std::size_t at : torn_) {
      if (at != index_) CODEQ_TRY_VOID(load(at, there_));
      const Loaded& segment = at == index_ ? here_ : there_;
      const std::uint64_t from = at == index_ ? offset_ : kSegmentHeaderBytes;
      int failed = 0;
      for (auto header = find_header(segment.bytes, identity(at), from); header && failed == 0;
           header = find_header(segment.bytes, identity(at), *header + 8))
        failed = write_all(disk_, segment.file.fd(), std::string_view(kZeros.data(), kZeros.size()), *header);
      if (failed == 0) failed = sync_data(disk_, segment.file.fd());
      if (failed != 0) return system_error(failed, fmt::format("cannot clear the torn tail of {}", path(at)));
    }
    return {};
  }

  // Once all of it is checked and durable.
  Result<void> visit_groups() {
    Position position = start_;
    for (std::size_t at = 0; at <= index_; ++at) {
      if (last_groups_[at] <= after_) continue;
      if (at != index_) CODEQ_TRY_VOID(load(at, there_));
      const std::string& bytes = at == index_ ? here_.bytes : there_.bytes;
      if (position.group < last_groups_[at]) {
        const auto start = position_before(bytes, identity(at));
        if (start) position = *start;
      }
      std::uint64_t offset = kSegmentHeaderBytes;
      while (offset < ends_[at]) {
        const Step step = read_entry(bytes, identity(at), offset, position);
        if (!step.entry)
          return fail(Code::kCorrupt, fmt::format("{}, byte {}: changed while it was read", path(at), offset));
        move_past(*step.entry, position);
        offset = step.entry->end;
        if (step.entry->header.kind == EntryKind::kGroup && position.group > after_)
          CODEQ_TRY_VOID(visit_(position.group, step.entry->payload));
      }
    }
    return {};
  }

  const Folder& folder_;
  Disk& disk_;
  const std::uint64_t after_;
  const Log::Visit& visit_;
  const std::vector<SegmentFile>& segments_;
  std::vector<std::uint64_t> ends_;         // of the entries of each segment
  std::vector<std::uint64_t> last_groups_;  // in each segment; 0: none
  std::deque<Place> unsynced_;       // entries that may not be durable
  std::vector<std::size_t> torn_;    // segments with bytes behind the last kept entry
  std::string why_;
  Loaded here_;
  Loaded there_;
  Position start_;  // before the first entry that is there
  Position position_;
  std::size_t index_ = 0;
  std::uint64_t offset_ = kSegmentHeaderBytes;
};

}  // namespace

Result<Recovered> recover(const Folder& folder, Disk& disk, std::uint64_t after, const Log::Visit& visit) {
  return Recovery(folder, disk, after, visit).run();
}

Result<Found> look(const Folder& folder, Disk& disk) {
  const Log::Visit nobody;
  return Recovery(folder, disk, std::numeric_limits<std::uint64_t>::max(), nobody).look();
}

Result<std::uint64_t> begins_after(const Folder& folder, Disk& disk) {
  const Log::Visit nobody;
  return Recovery(folder, disk, std::numeric_limits<std::uint64_t>::max(), nobody).begins_after();
}

}  // namespace codeq::log::local
