// A disk in memory that forgets like a real one: for tests of what a power cut, a failing call or a bad sector can do.
//
// Shape    folders, files and hard links under absolute paths. What was written is seen at once and kept by a power cut
//          only after a sync: of the file for its bytes (in blocks of 4 KiB) and its size, of the folder for its names
// Power    `power_cut` decides with its draws, for every block written since the last sync: kept, lost, or torn at a
//          sector; for every folder: the first so many changes of its names (in their order) are kept; then all open
//          descriptors and locks are gone. What was synced is always kept
// Errors   a failed sync leaves its blocks looking clean, as Linux does: they are read until a power cut, then lost
// Threads  any
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "disk/disk.h"

namespace codeq::disk {

class SimDisk final : public Disk {
 public:
  enum class Call : std::uint8_t { kOpen, kWrite, kSync, kRename, kTruncate, kUnlink, kMakeFolder, kLink };
  static constexpr std::size_t kCalls = 8;

  SimDisk();
  ~SimDisk() override;

  // --- faults ---
  // The n-th call (1: the next) that changes something, of one kind or of all, fails with `error`; also every later one
  // of those if it is `sticky`.
  void fail_nth(std::uint64_t nth, int error, bool sticky = false);
  void fail_nth(Call kind, std::uint64_t nth, int error, bool sticky = false);
  void heal();                              // no more failures, room again, syncs tell the truth
  void set_short_writes(bool on);           // a write takes half of what it was given
  void set_capacity(std::uint64_t bytes);   // of all files; beyond it ENOSPC
  void set_lying_syncs(bool on);            // a sync says yes and does nothing
  // From the n-th changing call on nothing works any more (EIO) and nothing is changed: the moment of a power cut.
  void power_off_at(std::uint64_t nth);
  [[nodiscard]] bool is_off() const;
  void power_cut(Rng& rng);
  void process_killed();  // what was written stays; open descriptors and locks are gone, and the disk works again
  // Flips one bit of a file, in what is read and in what is durable. False: there is no such byte.
  bool flip_bit(const std::string& path, std::uint64_t byte, unsigned bit);

  [[nodiscard]] std::uint64_t calls() const;  // that change something, so far
  [[nodiscard]] std::uint64_t calls(Call kind) const;
  [[nodiscard]] std::uint64_t failed_calls() const;
  [[nodiscard]] std::uint64_t used_bytes() const;
  [[nodiscard]] std::vector<std::string> files() const;  // all paths, sorted

  int open(const std::string& path, int flags, mode_t mode) override;
  int close(int fd) override;
  ssize_t read_at(int fd, void* out, std::size_t bytes, std::uint64_t offset) override;
  ssize_t write_at(int fd, const iovec* parts, int count, std::uint64_t offset) override;
  int sync_data(int fd) override;
  int sync_all(int fd) override;
  int truncate(int fd, std::uint64_t bytes) override;
  int status(const std::string& path, struct stat& out) override;
  int status(int fd, struct stat& out) override;
  int rename(const std::string& from, const std::string& to) override;
  int link(const std::string& from, const std::string& to) override;
  int unlink(const std::string& path) override;
  int make_folder(const std::string& path, mode_t mode) override;
  int remove_folder(const std::string& path) override;
  int list(const std::string& path, std::vector<std::string>& names) override;
  int lock(int fd) override;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;
  struct Change {  // of a folder's names; both sides of a rename are one
    std::string removed, added;
    NodePtr node;
  };
  struct Node {
    std::uint64_t number = 0;
    bool folder = false;
    std::string now, durable;             // of a file
    std::set<std::uint64_t> unsynced;     // blocks
    bool size_unsynced = false;
    int locked_by = -1;
    Names names, durable_names;           // of a folder
    std::vector<Change> changes;          // since its last sync
  };
  struct Open {
    NodePtr node;
    int flags = 0;
  };
  struct Plan {
    std::uint64_t nth = 0;  // 0: none
    int error = 0;
    bool sticky = false;
  };

  NodePtr find(const std::string& path) const;
  NodePtr parent_of(const std::string& path, std::string& name) const;
  NodePtr node_of(int fd) const;
  int may(Call kind);  // 0, or the errno it fails with
  static void apply(Names& names, const Change& change);
  int change(const NodePtr& folder, Change change);
  int sync(int fd);
  void cut(Node& node, Rng& rng, std::set<std::uint64_t>& seen);
  [[nodiscard]] std::uint64_t used() const;

  mutable std::mutex mutex_;
  NodePtr root_;
  std::map<int, Open> open_;
  int next_fd_ = 1000;  // never mistaken for one of the system's
  std::uint64_t next_node_ = 1;
  std::uint64_t calls_ = 0, failed_ = 0;
  std::array<std::uint64_t, kCalls> calls_of_{};
  Plan any_;
  std::array<Plan, kCalls> plans_{};
  std::uint64_t off_at_ = 0, capacity_ = UINT64_MAX, used_ = 0;
  bool off_ = false, short_writes_ = false, lying_ = false;
};

}  // namespace codeq::disk
