#include "log/local/recovery.h"

#include <fmt/format.h>

#include <deque>
#include <string>
#include <vector>

namespace codeq::log::local {
namespace {

constexpr std::size_t kBlockBytes = 4096;

struct Loaded {
  File file;
  std::string bytes;
};

class Recovery {
 public:
  Recovery(const Folder& folder, Disk& disk, const Log::Visit& visit)
      : folder_(folder),
        disk_(disk),
        visit_(visit),
        segments_(folder.segments()),
        ends_(segments_.size(), kSegmentHeaderBytes) {
    position_.chain = folder_seed(folder.id());
  }

  Result<Recovered> run() {
    CODEQ_TRY_VOID(load(0, here_));
    CODEQ_TRY_VOID(walk());
    CODEQ_TRY_VOID(refuse_damage());
    CODEQ_TRY_VOID(write_unsynced_again());
    CODEQ_TRY_VOID(wipe_tail());
    return Recovered{position_, index_, offset_, std::move(here_.file)};
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
    into.bytes.clear();  // or growing would copy what is there
    into.bytes.resize_and_overwrite(segments_[index].bytes,
                                    [&](char* out, std::size_t size) {  // bounded: its header agrees
                                      failed = read_all(into.file.fd(), out, size);
                                      return failed == 0 ? size : 0;
                                    });
    if (failed != 0) return system_error(failed, fmt::format("cannot read {}", path(index)));
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
    if (entry.header.kind == EntryKind::kGroup) {
      CODEQ_TRY_VOID(visit_(entry.header.group, entry.payload));
      unsynced_.push_back({entry.header.group, index_, offset_});
    }
    while (!unsynced_.empty() && unsynced_.front().group <= position_.durable) unsynced_.pop_front();
    offset_ = ends_[index_] = entry.end;
    return {};
  }

  Result<void> refuse_damage() {
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
      if (find_used(bytes, from) < bytes.size()) torn_.push_back(at);
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

  // Zeros over what was dropped, block by block and only where something is: no later scan may find it again.
  Result<void> wipe_tail() {
    static constexpr std::array<char, kBlockBytes> kZeros{};
    for (const std::size_t at : torn_) {
      if (at != index_) CODEQ_TRY_VOID(load(at, there_));
      const Loaded& segment = at == index_ ? here_ : there_;
      const std::string_view bytes = segment.bytes;
      int failed = 0;
      std::size_t from = at == index_ ? offset_ : kSegmentHeaderBytes;
      while (failed == 0 && (from = find_used(bytes, from)) < bytes.size()) {
        const std::size_t size = std::min(kBlockBytes - from % kBlockBytes, bytes.size() - from);
        failed = write_all(disk_, segment.file.fd(), std::string_view(kZeros.data(), size), from);
        from += size;
      }
      if (failed == 0) failed = sync_data(disk_, segment.file.fd());
      if (failed != 0) return system_error(failed, fmt::format("cannot clear the torn tail of {}", path(at)));
    }
    return {};
  }

  const Folder& folder_;
  Disk& disk_;
  const Log::Visit& visit_;
  const std::vector<SegmentFile>& segments_;
  std::vector<std::uint64_t> ends_;  // of the entries of each segment
  std::deque<Place> unsynced_;       // groups that no entry so far calls durable
  std::vector<std::size_t> torn_;    // segments with bytes behind the last kept entry
  std::string why_;
  Loaded here_;
  Loaded there_;
  Position position_;
  std::size_t index_ = 0;
  std::uint64_t offset_ = kSegmentHeaderBytes;
};

}  // namespace

Result<Recovered> recover(const Folder& folder, Disk& disk, const Log::Visit& visit) {
  return Recovery(folder, disk, visit).run();
}

}  // namespace codeq::log::local
