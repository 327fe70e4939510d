#include "services/parked.h"

#include <gtest/gtest.h>

namespace codeq::services {
namespace {

struct ParkedTest : testing::Test {
  Parked parked;
  const std::string key = core::queue_key("acme", "render");
  void park(CallId id, std::string worker, std::vector<std::string> commands, std::string tenant = "acme") {
    parked.park(id, ParkedClaim{.caller = {.tenant = std::move(tenant), .subject = std::move(worker), .request = {}},
                                .ask = {.commands = std::move(commands)},
                                .done = {},
                                .deadline_ns = 1});
  }
};

TEST_F(ParkedTest, OfManyWorkersOnlyThoseThatAreAskedForAreFound_EachOnceAndTheOldestClaimFirst) {
  CallId id = 0;
  for (int i = 0; i < 50; ++i) {
    park(++id, "stranger-" + std::to_string(i), {"render"});
    park(++id, "stranger-" + std::to_string(i), {});
  }
  park(++id, "bob", {"render"});               // 101
  park(++id, "alice", {"else", "Render"});     // 102
  park(++id, "alice", {});                     // 103
  park(++id, "bob", {});                       // 104
  park(++id, "alice", {"render"}, "globex");   // 105
  core::Queue::Holders few{{"alice", 1}, {"bob", 2}, {"carol", 1}}, many = few;
  for (int i = 0; i < 200; ++i) many.emplace("busy-" + std::to_string(i), 1);
  for (const auto& holders : {few, many})
    EXPECT_EQ(parked.firsts_of(key, "acme", holders), (std::set<CallId>{101, 102}));
  EXPECT_EQ(parked.first_for(key, "acme"), 1U);
  EXPECT_EQ(parked.first_of(key, "acme", "alice", 102), 103U);
  EXPECT_EQ(parked.first_of(key, "acme", "alice", 103), std::nullopt);
  EXPECT_EQ(parked.first_of(key, "acme", "ali"), std::nullopt);
  EXPECT_EQ(parked.first_of(core::queue_key("globex", "render"), "globex", "alice"), 105U);
  ASSERT_TRUE(parked.take_claim(102).has_value());
  ASSERT_TRUE(parked.take_claim(101).has_value());
  for (const auto& holders : {few, many})
    EXPECT_EQ(parked.firsts_of(key, "acme", holders), (std::set<CallId>{103, 104}));
}

TEST_F(ParkedTest, AClaimThatNamesACommandTwiceIsTakenWhole) {
  park(1, "alice", {"render", "RENDER"});
  ASSERT_TRUE(parked.take_claim(1).has_value());
  EXPECT_EQ(parked.first_for(key, "acme"), std::nullopt);
  EXPECT_EQ(parked.first_of(key, "acme", "alice"), std::nullopt);
  EXPECT_EQ(parked.size(), 0U);
}

}  // namespace
}  // namespace codeq::services
