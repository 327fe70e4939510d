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

TEST(TaskTable, AMarkTakesATasksPlaceAndGivesItBack) {
  TaskTable<int> table;
  table.insert(7, std::make_unique<int>(70));
  table.insert(8, std::make_unique<int>(80));
  EXPECT_EQ(table.mark_of(7), 0U);
  table.mark(7, 3);
  EXPECT_EQ(table.find(7), nullptr);
  EXPECT_EQ(table.mark_of(7), 3U);
  table.mark(7, 4);  // it is elsewhere now
  EXPECT_EQ(table.size(), 2U);
  std::map<std::uint64_t, std::uint32_t> marks;
  table.each_mark([&](std::uint64_t sequence, std::uint32_t mark) { marks[sequence] = mark; });
  EXPECT_EQ(marks, (std::map<std::uint64_t, std::uint32_t>{{7, 4}}));
  table.insert(7, std::make_unique<int>(71));
  EXPECT_EQ(*table.find(7), 71);
  EXPECT_EQ(table.mark_of(7), 0U);
  EXPECT_EQ(table.size(), 2U);
  table.mark(7, 5);
  table.erase(8);
  EXPECT_EQ(table.size(), 1U);
  table.erase(7);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.mark_of(7), 0U);
}

}  // namespace
}  // namespace codeq::core
