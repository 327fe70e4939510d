#include "disk/sim_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace codeq::disk {
namespace {

constexpr std::uint64_t kBlock = 4096, kSector = 512;

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at < path.size()) {
    const auto slash = std::min(path.find('/', at), path.size());
    auto part = path.substr(at, slash - at);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(std::move(part));
    }
    at = slash + 1;
  }
  return parts;
}

int fail_with(int error) {
  errno = error;
  return -1;
}

}  // namespace

SimDisk::SimDisk() : root_(std::make_shared<Node>()) { root_->folder = true; }
SimDisk::~SimDisk() = default;

// ---------------------------------------------------------------- faults

void SimDisk::fail_nth(std::uint64_t nth, int error, bool sticky) {
  const std::scoped_lock lock(mutex_);
  any_ = {.nth = calls_ + nth, .error = error, .sticky = sticky};
}

void SimDisk::fail_nth(Call kind, std::uint64_t nth, int error, bool sticky) {
  const std::scoped_lock lock(mutex_);
  const auto k = static_cast<std::size_t>(kind);
  plans_[k] = {.nth = calls_of_[k] + nth, .error = error, .sticky = sticky};
}

void SimDisk::heal() {
  const std::scoped_lock lock(mutex_);
  any_ = {};
  plans_ = {};
  capacity_ = UINT64_MAX;
  short_writes_ = lying_ = false;
}

void SimDisk::set_short_writes(bool on) {
  const std::scoped_lock lock(mutex_);
  short_writes_ = on;
}
void SimDisk::set_capacity(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  capacity_ = bytes;
}
void SimDisk::set_lying_syncs(bool on) {
  const std::scoped_lock lock(mutex_);
  lying_ = on;
}
void SimDisk::power_off_at(std::uint64_t nth) {
  const std::scoped_lock lock(mutex_);
  off_at_ = calls_ + nth;
}
bool SimDisk::is_off() const {
  const std::scoped_lock lock(mutex_);
  return off_;
}
std::uint64_t SimDisk::calls() const {
  const std::scoped_lock lock(mutex_);
  return calls_;
}
std::uint64_t SimDisk::calls(Call kind) const {
  const std::scoped_lock lock(mutex_);
  return calls_of_[static_cast<std::size_t>(kind)];
}
std::uint64_t SimDisk::failed_calls() const {
  const std::scoped_lock lock(mutex_);
  return failed_;
}
std::uint64_t SimDisk::used_bytes() const {
  const std::scoped_lock lock(mutex_);
  return used();
}

int SimDisk::may(Call kind) {
  const auto k = static_cast<std::size_t>(kind);
  ++calls_;
  ++calls_of_[k];
  if (off_at_ != 0 && calls_ >= off_at_) off_ = true;
  if (off_) return EIO;
  const auto fails = [&](const Plan& plan, std::uint64_t count) {
    return plan.nth != 0 && (plan.sticky ? count >= plan.nth : count == plan.nth);
  };
  int error = 0;
  if (fails(any_, calls_)) error = any_.error;
  if (fails(plans_[k], calls_of_[k])) error = plans_[k].error;
  if (error != 0) ++failed_;
  return error;
}

void SimDisk::cut(Node& node, Rng& rng, std::set<std::uint64_t>& seen) {
  if (!seen.insert(node.number).second) return;  // a second name of the same file
  node.locked_by = -1;
  if (node.folder) {
    const auto kept = node.changes.empty() ? 0 : rng.next() % (node.changes.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) apply(node.durable_names, node.changes[i]);
    node.changes.clear();
    node.names = node.durable_names;
    for (auto& [name, child] : node.names) cut(*child, rng, seen);
    return;
  }
  if (node.size_unsynced && rng.next() % 2 == 0) node.durable.resize(node.now.size(), '\0');
  for (const auto block : node.unsynced) {
    const auto from = block * kBlock;
    if (from >= node.durable.size()) continue;
    const auto size = std::min(kBlock, node.durable.size() - from);
    const auto have = from < node.now.size() ? std::min(size, node.now.size() - from) : 0;
    std::uint64_t begin = 0, end = 0;  // of what is kept of the newer bytes
    switch (rng.next() % 4) {
      case 0: break;  // lost
      case 1: end = have; break;
      case 2: end = std::min(have, kSector * (rng.next() % 8)); break;
      default: begin = std::min(have, kSector * (rng.next() % 8)), end = have;
    }
    if (end > begin) node.durable.replace(from + begin, end - begin, node.now, from + begin, end - begin);
  }
  node.unsynced.clear();
  node.size_unsynced = false;
  node.now = node.durable;
}

void SimDisk::power_cut(Rng& rng) {
  const std::scoped_lock lock(mutex_);
  std::set<std::uint64_t> seen;
  cut(*root_, rng, seen);
  open_.clear();
  off_ = false;
  off_at_ = 0;
}

void SimDisk::process_killed() {
  const std::scoped_lock lock(mutex_);
  const auto unlock = [](const auto& self, Node& node) -> void {
    node.locked_by = -1;
    for (auto& [name, child] : node.names) self(self, *child);
  };
  unlock(unlock, *root_);
  open_.clear();
  off_ = false;
  off_at_ = 0;
}

bool SimDisk::flip_bit(const std::string& path, std::uint64_t byte, unsigned bit) {
  const std::scoped_lock lock(mutex_);
  const auto node = find(path);
  if (!node || node->folder || byte >= node->now.size()) return false;
  const auto mask = static_cast<char>(1U << (bit % 8));
  node->now[byte] = static_cast<char>(node->now[byte] ^ mask);
  if (byte < node->durable.size()) node->durable[byte] = static_cast<char>(node->durable[byte] ^ mask);
  return true;
}

// ---------------------------------------------------------------- paths

SimDisk::NodePtr SimDisk::find(const std::string& path) const {
  NodePtr node = root_;
  for (const auto& part : parts_of(path)) {
    if (!node->folder) return nullptr;
    const auto it = node->names.find(part);
    if (it == node->names.end()) return nullptr;
    node = it->second;
  }
  return node;
}

SimDisk::NodePtr SimDisk::parent_of(const std::string& path, std::string& name) const {
  auto parts = parts_of(path);
  if (parts.empty()) return nullptr;
  name = std::move(parts.back());
  parts.pop_back();
  NodePtr node = root_;
  for (const auto& part : parts) {
    const auto it = node->names.find(part);
    if (it == node->names.end() || !it->second->folder) return nullptr;
    node = it->second;
  }
  return node;
}

SimDisk::NodePtr SimDisk::node_of(int fd) const {
  const auto it = open_.find(fd);
  return it == open_.end() ? nullptr : it->second.node;
}

void SimDisk::apply(Names& names, const Change& change) {
  if (!change.removed.empty()) names.erase(change.removed);
  if (!change.added.empty()) names[change.added] = change.node;
}

int SimDisk::change(const NodePtr& folder, Change change) {
  apply(folder->names, change);
  folder->changes.push_back(std::move(change));
  return 0;
}

std::uint64_t SimDisk::used() const {
  std::set<std::uint64_t> seen;
  std::uint64_t bytes = 0;
  const auto add = [&](const auto& self, const Node& node) -> void {
    if (!seen.insert(node.number).second) return;
    bytes += node.now.size();
    for (const auto& [name, child] : node.names) self(self, *child);
  };
  add(add, *root_);
  return bytes;
}

std::vector<std::string> SimDisk::files() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> found;
  const auto add = [&](const auto& self, const Node& node, const std::string& path) -> void {
    if (!node.folder) found.push_back(path);
    for (const auto& [name, child] : node.names) self(self, *child, path + '/' + name);
  };
  add(add, *root_, "");
  return found;
}

// ---------------------------------------------------------------- calls

int SimDisk::open(const std::string& path, int flags, mode_t) {
  const std::scoped_lock lock(mutex_);
  auto node = find(path);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (off_) return fail_with(EIO);
  if (!node) {
    if ((flags & O_CREAT) == 0) return fail_with(ENOENT);
    std::string name;
    const auto folder = parent_of(path, name);
    if (!folder) return fail_with(ENOENT);
    if (const int error = may(Call::kOpen); error != 0) return fail_with(error);
    node = std::make_shared<Node>();
    node->number = next_node_++;
    change(folder, {.removed = {}, .added = name, .node = node});
  } else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
    return fail_with(EEXIST);
  } else if (node->folder ? writes : (flags & O_DIRECTORY) != 0) {
    return fail_with(node->folder ? EISDIR : ENOTDIR);
  } else if (writes) {
    if (const int error = may(Call::kOpen); error != 0) return fail_with(error);
  }
  if (writes && (flags & O_TRUNC) != 0 && !node->now.empty()) {
    for (std::uint64_t block = 0; block * kBlock < node->now.size(); ++block) node->unsynced.insert(block);
    node->now.clear();
    node->size_unsynced = true;
  }
  open_[next_fd_] = {.node = node, .flags = flags};
  return next_fd_++;
}

int SimDisk::close(int fd) {
  const std::scoped_lock lock(mutex_);
  const auto it = open_.find(fd);
  if (it == open_.end()) return 0;  // a power cut closed it
  if (it->second.node->locked_by == fd) it->second.node->locked_by = -1;
  open_.erase(it);
  return 0;
}

ssize_t SimDisk::read_at(int fd, void* out, std::size_t bytes, std::uint64_t offset) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node || off_) return fail_with(EIO);
  if (node->folder) return fail_with(EISDIR);
  if (offset >= node->now.size()) return 0;
  const auto size = std::min<std::uint64_t>(bytes, node->now.size() - offset);
  std::memcpy(out, node->now.data() + offset, size);
  return static_cast<ssize_t>(size);
}

ssize_t SimDisk::write_at(int fd, const iovec* parts, int count, std::uint64_t offset) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node) return fail_with(EIO);
  if (const int error = may(Call::kWrite); error != 0) return fail_with(error);
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  if (short_writes_ && bytes.size() > 1) bytes.resize(bytes.size() / 2);
  const auto end = offset + bytes.size();
  if (end > node->now.size()) {
    if (capacity_ != UINT64_MAX && used() + (end - node->now.size()) > capacity_) return fail_with(ENOSPC);
    for (auto block = node->now.size() / kBlock; block * kBlock < end; ++block) node->unsynced.insert(block);
    node->now.resize(end, '\0');
    node->size_unsynced = true;
  }
  node->now.replace(offset, bytes.size(), bytes);
  for (auto block = offset / kBlock; block * kBlock < end; ++block) node->unsynced.insert(block);
  return static_cast<ssize_t>(bytes.size());
}

int SimDisk::sync(int fd) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node) return fail_with(EIO);
  const int error = may(Call::kSync);
  if (off_) return fail_with(error);
  if (error != 0) {
    node->unsynced.clear();  // they look clean from now on, and are not on the disk
    return fail_with(error);
  }
  if (lying_) return 0;
  if (node->folder) {
    node->durable_names = node->names;
    node->changes.clear();
    return 0;
  }
  node->durable.resize(node->now.size(), '\0');
  node->size_unsynced = false;
  for (const auto block : node->unsynced) {
    const auto from = block * kBlock;
    if (from >= node->now.size()) continue;
    const auto size = std::min(kBlock, node->now.size() - from);
    node->durable.replace(from, size, node->now, from, size);
  }
  node->unsynced.clear();
  return 0;
}

int SimDisk::sync_data(int fd) { return sync(fd); }
int SimDisk::sync_all(int fd) { return sync(fd); }

int SimDisk::truncate(int fd, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node) return fail_with(EIO);
  if (const int error = may(Call::kTruncate); error != 0) return fail_with(error);
  const auto old = node->now.size();
  if (bytes > old && capacity_ != UINT64_MAX && used() + (bytes - old) > capacity_) return fail_with(ENOSPC);
  for (auto block = std::min<std::uint64_t>(bytes, old) / kBlock; block * kBlock < std::max<std::uint64_t>(bytes, old); ++block)
    node->unsynced.insert(block);
  node->now.resize(bytes, '\0');
  node->size_unsynced = true;
  return 0;
}

int SimDisk::status(const std::string& path, struct stat& out) {
  const std::scoped_lock lock(mutex_);
  if (off_) return fail_with(EIO);
  const auto node = find(path);
  if (!node) return fail_with(ENOENT);
  out = {};
  out.st_mode = node->folder ? (S_IFDIR | 0700) : (S_IFREG | 0600);
  out.st_size = static_cast<off_t>(node->now.size());
  out.st_ino = node->number;
  return 0;
}

int SimDisk::status(int fd, struct stat& out) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node || off_) return fail_with(EIO);
  out = {};
  out.st_mode = node->folder ? (S_IFDIR | 0700) : (S_IFREG | 0600);
  out.st_size = static_cast<off_t>(node->now.size());
  out.st_ino = node->number;
  return 0;
}

int SimDisk::rename(const std::string& from, const std::string& to) {
  const std::scoped_lock lock(mutex_);
  std::string old_name, new_name;
  const auto old_folder = parent_of(from, old_name), new_folder = parent_of(to, new_name);
  const auto node = find(from);
  if (!node || !old_folder || !new_folder) return fail_with(off_ ? EIO : ENOENT);
  if (const int error = may(Call::kRename); error != 0) return fail_with(error);
  if (old_folder == new_folder) return change(old_folder, {.removed = old_name, .added = new_name, .node = node});
  change(new_folder, {.removed = {}, .added = new_name, .node = node});
  return change(old_folder, {.removed = old_name, .added = {}, .node = nullptr});
}

int SimDisk::link(const std::string& from, const std::string& to) {
  const std::scoped_lock lock(mutex_);
  std::string name;
  const auto node = find(from), folder = parent_of(to, name);
  if (!node || !folder) return fail_with(off_ ? EIO : ENOENT);
  if (folder->names.contains(name)) return fail_with(EEXIST);
  if (const int error = may(Call::kLink); error != 0) return fail_with(error);
  return change(folder, {.removed = {}, .added = name, .node = node});
}

int SimDisk::unlink(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  std::string name;
  const auto folder = parent_of(path, name);
  const auto node = find(path);
  if (!node || !folder) return fail_with(off_ ? EIO : ENOENT);
  if (node->folder) return fail_with(EISDIR);
  if (const int error = may(Call::kUnlink); error != 0) return fail_with(error);
  return change(folder, {.removed = name, .added = {}, .node = nullptr});
}

int SimDisk::make_folder(const std::string& path, mode_t) {
  const std::scoped_lock lock(mutex_);
  std::string name;
  const auto folder = parent_of(path, name);
  if (!folder) return fail_with(off_ ? EIO : parts_of(path).empty() ? EEXIST : ENOENT);
  if (folder->names.contains(name)) return fail_with(EEXIST);
  if (const int error = may(Call::kMakeFolder); error != 0) return fail_with(error);
  auto node = std::make_shared<Node>();
  node->number = next_node_++;
  node->folder = true;
  return change(folder, {.removed = {}, .added = name, .node = std::move(node)});
}

int SimDisk::remove_folder(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  std::string name;
  const auto folder = parent_of(path, name);
  const auto node = find(path);
  if (!node || !folder) return fail_with(off_ ? EIO : ENOENT);
  if (!node->folder) return fail_with(ENOTDIR);
  if (!node->names.empty()) return fail_with(ENOTEMPTY);
  if (const int error = may(Call::kUnlink); error != 0) return fail_with(error);
  return change(folder, {.removed = name, .added = {}, .node = nullptr});
}

int SimDisk::list(const std::string& path, std::vector<std::string>& names) {
  const std::scoped_lock lock(mutex_);
  names.clear();
  const auto node = find(path);
  if (!node || off_) return fail_with(off_ ? EIO : ENOENT);
  if (!node->folder) return fail_with(ENOTDIR);
  for (const auto& [name, child] : node->names) names.push_back(name);
  return 0;
}

int SimDisk::lock(int fd) {
  const std::scoped_lock lock(mutex_);
  const auto node = node_of(fd);
  if (!node || off_) return fail_with(EIO);
  if (node->locked_by >= 0 && node->locked_by != fd) return fail_with(EWOULDBLOCK);
  node->locked_by = fd;
  return 0;
}

}  // namespace codeq::disk
