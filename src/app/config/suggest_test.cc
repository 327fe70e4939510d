#include "app/config/suggest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace codeq::app {
namespace {

constexpr std::array<std::string_view, 4> kKnown{"port", "durability", "retentionSeconds", "env"};

TEST(Suggest, ASlipOfTheFingerFindsItsName) {
  EXPECT_EQ(nearest("prot", kKnown), "port");
  EXPECT_EQ(nearest("durabilty", kKnown), "durability");
  EXPECT_EQ(nearest("RETENTIONSECONDS", kKnown), "retentionSeconds");
  EXPECT_EQ(nearest("retentionSecs", kKnown), "retentionSeconds");
}

TEST(Suggest, AnotherWordFindsNothing) {
  EXPECT_EQ(nearest("xyz", kKnown), std::nullopt);
  EXPECT_EQ(nearest("", kKnown), std::nullopt);
  EXPECT_EQ(nearest(std::string(1000, 'a'), kKnown), std::nullopt);
}

}  // namespace
}  // namespace codeq::app
