#include "disk/sim_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace codeq::disk {
namespace {

struct World {
  SimDisk disk;
  World() { EXPECT_EQ(disk.make_folder("/d", 0700), 0); }
  int file(const std::string& name) { return disk.open("/d/" + name, O_RDWR | O_CREAT, 0600); }
  void write(int fd, std::string_view bytes, std::uint64_t at = 0) { EXPECT_EQ(write_all(disk, fd, bytes, at), 0); }
  std::string read(const std::string& path) {
    File f(disk, disk.open(path, O_RDONLY, 0));
    if (!f) return "(none)";
    std::string out(100'000, '\0');
    const auto got = disk.read_at(f.fd(), out.data(), out.size(), 0);
    out.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return out;
  }
};

TEST(SimDisk, WhatWasSyncedSurvivesEveryPowerCut) {
  for (std::uint64_t seed = 1; seed < 200; ++seed) {
    World w;
    SeededRng rng(seed);
    const int fd = w.file("a");
    w.write(fd, std::string(10'000, 'a'));
    EXPECT_EQ(w.disk.sync_all(fd), 0);
    EXPECT_EQ(sync_folder(w.disk, "/d"), 0);
    EXPECT_EQ(sync_folder(w.disk, "/"), 0);
    w.write(fd, std::string(9'000, 'b'), 8'192);  // the first two blocks are not touched
    w.disk.power_cut(rng);
    EXPECT_EQ(w.read("/d/a").substr(0, 8'192), std::string(8'192, 'a'));
    EXPECT_GE(w.read("/d/a").size(), 10'000U);
    char byte = 0;
    EXPECT_EQ(w.disk.read_at(fd, &byte, 1, 0), -1);  // its descriptors are gone
  }
}

TEST(SimDisk, WhatWasNotSyncedIsKeptLostOrTornAndNeverAnythingElse) {
  bool kept = false, lost = false, torn = false;
  for (std::uint64_t seed = 1; seed < 300; ++seed) {
    World w;
    SeededRng rng(seed);
    const int fd = w.file("a");
    w.write(fd, std::string(4096, 'a'));
    EXPECT_EQ(w.disk.sync_data(fd), 0);
    EXPECT_EQ(sync_folder(w.disk, "/d"), 0);
    EXPECT_EQ(sync_folder(w.disk, "/"), 0);
    w.write(fd, std::string(4096, 'b'));
    w.disk.power_cut(rng);
    const auto found = w.read("/d/a");
    ASSERT_EQ(found.size(), 4096U);
    EXPECT_EQ(found.find_first_not_of("ab"), std::string::npos);
    const auto bs = std::count(found.begin(), found.end(), 'b');
    EXPECT_EQ(bs % 512, 0);
    kept |= bs == 4096;
    lost |= bs == 0;
    torn |= bs > 0 && bs < 4096;
  }
  EXPECT_TRUE(kept && lost && torn);
}

TEST(SimDisk, NamesComeAndGoInOrderUntilTheirFolderIsSynced) {
  bool both = false, one = false, none = false;
  for (std::uint64_t seed = 1; seed < 100; ++seed) {
    World w;
    SeededRng rng(seed);
    EXPECT_EQ(sync_folder(w.disk, "/"), 0);
    w.file("first");
    w.file("second");
    w.disk.power_cut(rng);
    std::vector<std::string> names;
    EXPECT_EQ(w.disk.list("/d", names), 0);
    both |= names.size() == 2;
    one |= names == std::vector<std::string>{"first"};
    none |= names.empty();
    EXPECT_FALSE(names == std::vector<std::string>{"second"});
  }
  EXPECT_TRUE(both && one && none);
}

TEST(SimDisk, ARenameHappensWhollyOrNotAtAll) {
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    World w;
    SeededRng rng(seed);
    const int old = w.file("current"), next = w.file("new");
    w.write(old, "old");
    w.write(next, "new");
    EXPECT_EQ(w.disk.sync_all(old), 0);
    EXPECT_EQ(w.disk.sync_all(next), 0);
    EXPECT_EQ(sync_folder(w.disk, "/d"), 0);
    EXPECT_EQ(sync_folder(w.disk, "/"), 0);
    EXPECT_EQ(w.disk.rename("/d/new", "/d/current"), 0);
    w.disk.power_cut(rng);
    const auto found = w.read("/d/current");
    EXPECT_TRUE((found == "old" && w.read("/d/new") == "new") || (found == "new" && w.read("/d/new") == "(none)")) << found;
  }
}

TEST(SimDisk, AFailedSyncLooksCleanAndIsLostByAPowerCut) {
  World w;
  SeededRng rng(1);
  const int fd = w.file("a");
  w.write(fd, std::string(4096, 'a'));
  EXPECT_EQ(w.disk.sync_all(fd), 0);
  EXPECT_EQ(sync_folder(w.disk, "/d"), 0);
  EXPECT_EQ(sync_folder(w.disk, "/"), 0);
  w.write(fd, std::string(4096, 'b'));
  w.disk.fail_nth(SimDisk::Call::kSync, 1, EIO);
  EXPECT_EQ(w.disk.sync_data(fd), -1);
  EXPECT_EQ(w.disk.sync_data(fd), 0);  // the lie that fsync is known for
  EXPECT_EQ(w.read("/d/a").front(), 'b');
  w.disk.power_cut(rng);
  EXPECT_EQ(w.read("/d/a"), std::string(4096, 'a'));
}

TEST(SimDisk, FailsTheCallsItWasToldTo) {
  World w;
  const int fd = w.file("a");
  w.disk.fail_nth(2, EIO);
  iovec part{const_cast<char*>("x"), 1};
  EXPECT_EQ(w.disk.write_at(fd, &part, 1, 0), 1);
  EXPECT_EQ(w.disk.write_at(fd, &part, 1, 0), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(w.disk.write_at(fd, &part, 1, 0), 1);
  w.disk.set_capacity(w.disk.used_bytes() + 10);
  EXPECT_EQ(write_all(w.disk, fd, std::string(100, 'x'), 0), ENOSPC);
  w.disk.heal();
  w.disk.set_short_writes(true);
  EXPECT_EQ(write_all(w.disk, fd, std::string(100, 'x'), 0), 0);  // goes on until all is written
  EXPECT_EQ(w.read("/d/a"), std::string(100, 'x'));
  EXPECT_TRUE(w.disk.flip_bit("/d/a", 3, 0));
  EXPECT_EQ(w.read("/d/a")[3], 'y');
  EXPECT_EQ(w.disk.lock(fd), 0);
  EXPECT_EQ(w.disk.lock(w.file("a")), -1);
  w.disk.power_off_at(1);
  EXPECT_EQ(w.disk.write_at(fd, &part, 1, 0), -1);
  EXPECT_EQ(w.disk.sync_data(fd), -1);
  EXPECT_TRUE(w.disk.is_off());
}

}  // namespace
}  // namespace codeq::disk
