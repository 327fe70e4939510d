// What the store in memory does for tests, beyond the contract of all stores.
#include "storage/memory/memory_store.h"

#include <gtest/gtest.h>

#include <vector>

namespace codeq::storage {
namespace {

using core::Row;
using core::Table;

Position at(std::uint64_t records) { return {records, records, records}; }
std::vector<Row> rows(const std::string& value) {
  return {{Table::kMeta, Row::Op::kPut, "a", value}, {Table::kBody, Row::Op::kPut, "a", value}};
}
std::string get(const MemoryStore& store, Table table) { return store.get(table, "a").value().value_or("(nothing)"); }

TEST(MemoryStore, ThePlannedWriteFailsAndEveryLaterOneUntilTheCrash) {
  MemoryStore store;
  store.fail_write(2, {Code::kDiskFull, "no room"});
  ASSERT_TRUE(store.write(at(1), rows("1")));
  const auto failed = store.write(at(2), rows("2"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kDiskFull);
  EXPECT_EQ(store.write(at(2), rows("2")).error().message, "no room");
  EXPECT_EQ(store.flush().error().code, Code::kDiskFull);
  EXPECT_EQ(get(store, Table::kBody), "1");
  EXPECT_EQ(store.position(), at(1));
  store.crash();
  EXPECT_EQ(store.position(), Position{});
  EXPECT_EQ(get(store, Table::kBody), "(nothing)");
  EXPECT_TRUE(store.write(at(1), rows("1")));
  EXPECT_TRUE(store.flush());
}

TEST(MemoryStore, AFailedFlushKeepsNothingOfItself) {
  MemoryStore store;
  ASSERT_TRUE(store.write(at(1), rows("1")));
  ASSERT_TRUE(store.flush());
  ASSERT_TRUE(store.write(at(2), rows("2")));
  store.fail_flush(1, {Code::kIo, "input/output error"}, 4);
  EXPECT_EQ(store.flush().error().code, Code::kIo);
  EXPECT_EQ(store.durable(), at(1));
  store.crash();
  EXPECT_EQ(get(store, Table::kMeta), "1");
  EXPECT_EQ(get(store, Table::kBody), "1");
}

TEST(MemoryStore, WithoutAtomicFlushACrashInBetweenLeavesThePositionAheadOfTheRows) {
  MemoryStore store({.atomic_flush = false, .flush_every = 0, .on_durable = {}});
  ASSERT_TRUE(store.write(at(1), rows("1")));
  ASSERT_TRUE(store.flush());
  ASSERT_TRUE(store.write(at(2), rows("2")));
  store.fail_flush(1, {Code::kIo, "input/output error"}, 1);
  EXPECT_FALSE(store.flush());
  store.crash();
  EXPECT_EQ(store.position(), at(2));
  EXPECT_EQ(get(store, Table::kMeta), "2");
  EXPECT_EQ(get(store, Table::kBody), "1");
}

TEST(MemoryStore, AStoreThatFlushesByItselfTellsSo) {
  std::vector<std::uint64_t> told;
  MemoryStore store({.atomic_flush = true, .flush_every = 3, .on_durable = [&](Position position) {
                       told.push_back(position.records);
                     }});
  for (std::uint64_t records = 1; records <= 7; ++records) ASSERT_TRUE(store.write(at(records), rows("x")));
  EXPECT_EQ(told, (std::vector<std::uint64_t>{3, 6}));
  ASSERT_TRUE(store.flush());
  EXPECT_EQ(told, (std::vector<std::uint64_t>{3, 6, 7}));
}

TEST(MemoryStoreDeathTest, ErasingOnceARowThatWasPutTwiceIsABugOfOurs) {
  MemoryStore store;
  ASSERT_TRUE(store.write(at(1), rows("1")));
  ASSERT_TRUE(store.write(at(2), rows("2")));
  const std::vector<Row> once{{Table::kBody, Row::Op::kEraseOnce, "a", {}}};
  EXPECT_DEATH((void)store.write(at(3), once), "puts == 1");
}

}  // namespace
}  // namespace codeq::storage
