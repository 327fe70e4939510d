#include "app/backup/sums.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

const std::string kHash(64, 'a');

std::string list(const std::vector<std::string>& paths) {
  std::string text;
  for (const auto& path : paths) text += kHash + "  " + path + "\n";
  return text;
}

TEST(Sums, WhatIsWrittenIsRead) {
  const std::vector<Sum> sums{{kHash, "log/format"}, {kHash, "store/000012.sst"}, {kHash, "backup.json"}};
  const auto read = parse_sums(format_sums(sums));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(*read, sums);
}

TEST(Sums, NoPathLeavesTheBackup) {
  for (const char* path : {"../x", "log/../../x", "/etc/passwd", "log/", "log/a/b", "log/.", "log/..", "store/.hidden", "other", ""})
    EXPECT_FALSE(parse_sums(list({"log/format", "backup.json", path})).has_value()) << path;
}

TEST(Sums, WhatIsNoListIsRefusedWithItsLine) {
  const auto damaged = parse_sums(list({"log/format"}) + "nonsense\n");
  ASSERT_FALSE(damaged.has_value());
  EXPECT_NE(damaged.error().message.find("line 2"), std::string::npos) << damaged.error().message;
  EXPECT_FALSE(parse_sums("").has_value());
  EXPECT_FALSE(parse_sums(list({"log/format", "log/format", "backup.json"})).has_value());
  EXPECT_FALSE(parse_sums(list({"backup.json"})).has_value());
  EXPECT_FALSE(parse_sums(list({"log/format", "backup.json"}).substr(0, 140)).has_value()) << "cut short";
}

}  // namespace
}  // namespace codeq::app
