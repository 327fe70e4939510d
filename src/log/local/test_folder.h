// For the tests of this folder: a temporary log folder, its files, and disks that misbehave.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "log/local/local_log.h"

namespace codeq::log::local {

class TestFolder {
 public:
  TestFolder() {
    // In memory where the system has such a folder: these tests open logs by the thousand.
    const std::filesystem::path base =
        ::access("/dev/shm", W_OK) == 0 ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    std::string pattern = (base / "codeq-log-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(root_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  [[nodiscard]] std::filesystem::path path() const { return root_ / "log"; }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return path() / name; }

  // What a killed process leaves: the files as they are, while the log is still open.
  void become_copy_of(const TestFolder& other) const {
    std::filesystem::remove_all(path());
    std::filesystem::create_directories(path());
    for (const auto& entry : std::filesystem::directory_iterator(other.path())) {
      if (entry.path().extension() != ".tmp")
        std::filesystem::copy_file(entry.path(), path() / entry.path().filename());
    }
  }

 private:
  std::filesystem::path root_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);  // a new file: some file systems wait for the device when one is cut and written again
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Does not wait for the device; for tests that open thousands of logs.
class HastyDisk final : public Disk {
 public:
  int sync_data(int) override { return 0; }
  int sync_all(int) override { return 0; }
};

using Groups = std::vector<std::string>;

// Replays into `groups`, checking that the numbers are 1, 2, 3, ...
inline Result<void> replay_into(Log& log, Groups& groups) {
  groups.clear();
  return log.replay(0, [&](std::uint64_t number, std::string_view records) -> Result<void> {
    groups.emplace_back(records);
    EXPECT_EQ(number, groups.size());
    return {};
  });
}

}  // namespace codeq::log::local
