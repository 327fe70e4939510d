#include "core/task_table.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace codeq::core {
namespace {

TEST(TaskTable, HoldsWhatAMapWouldHold) {
  TaskTable<std::uint64_t> table;
  std::map<std::uint64_t, std::uint64_t> model;
  SeededRng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    // Neighbours and strays; now and then everything of a page goes.
    const auto sequence = rng.next() % 4 == 0 ? rng.next() % 100'000 : 1000 + rng.next() % 300;
    if (model.contains(sequence)) {
      table.erase(sequence);
      model.erase(sequence);
    } else {
      table.insert(sequence, std::make_unique<std::uint64_t>(sequence * 3));
      model[sequence] = sequence * 3;
    }
    const auto asked = 1000 + rng.next() % 300;
    const auto* found = table.find(asked);
    ASSERT_EQ(found != nullptr, model.contains(asked));
    if (found != nullptr) ASSERT_EQ(*found, model.at(asked));
    ASSERT_EQ(table.size(), model.size());
  }
  std::map<std::uint64_t, std::uint64_t> all;
  table.each([&](std::uint64_t& value) { all[value / 3] = value; });
  EXPECT_EQ(all, model);
  for (const auto& [sequence, value] : model) table.erase(sequence);
  table.erase(5);  // not there
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.find(1000), nullptr);
}

}  // namespace
}  // namespace codeq::core
