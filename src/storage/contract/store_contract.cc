#include "storage/contract/store_contract.h"

#include <utility>

namespace codeq::storage {

using core::Table;

void StoreContract::write(std::uint64_t records, const std::vector<core::Row>& rows) {
  const auto written = store().write(at(records), rows);
  ASSERT_TRUE(written) << written.error().message;
}

void StoreContract::flush() {
  const auto flushed = store().flush();
  ASSERT_TRUE(flushed) << flushed.error().message;
}

std::string StoreContract::get(Table table, std::string_view key) {
  const auto value = store().get(table, key);
  if (!value) return "(error: " + value.error().message + ")";
  return value->value_or("(nothing)");
}

std::vector<std::string> StoreContract::keys(Table table, std::string_view from, std::string_view until) {
  std::vector<std::string> found;
  const auto scanned = store().scan(table, from, until, [&](std::string_view key, std::string_view) {
    found.emplace_back(key);
    return true;
  });
  if (!scanned) found.push_back("(error: " + scanned.error().message + ")");
  return found;
}

namespace {

using Keys = std::vector<std::string>;

TEST_P(StoreContract, IsEmptyAtPositionZeroAtFirst) {
  EXPECT_EQ(store().position(), Position{});
  EXPECT_EQ(store().durable(), Position{});
  for (std::size_t table = 0; table < core::kTables; ++table) {
    EXPECT_EQ(keys(static_cast<Table>(table)), Keys{});
    EXPECT_EQ(get(static_cast<Table>(table), "x"), "(nothing)");
  }
}

TEST_P(StoreContract, GivesBackWhatWasWrittenByteForByte) {
  const std::string bytes("\0\xff{\"a\": 1e999}", 15);
  write(1, {put(Table::kBody, bytes, bytes), put(Table::kBody, "empty", "")});
  EXPECT_EQ(get(Table::kBody, bytes), bytes);
  EXPECT_EQ(get(Table::kBody, "empty"), "");
  EXPECT_EQ(get(Table::kBody, "other"), "(nothing)");
  EXPECT_EQ(store().position(), at(1));
}

TEST_P(StoreContract, KeepsTheSameKeyOfEveryTableApart) {
  std::vector<core::Row> rows;
  for (std::size_t i = 0; i < core::kTables; ++i) rows.push_back(put(static_cast<Table>(i), "key", std::to_string(i)));
  write(1, rows);
  write(2, {erase(Table::kLive, "key")});
  for (std::size_t i = 0; i < core::kTables; ++i) {
    const auto table = static_cast<Table>(i);
    EXPECT_EQ(get(table, "key"), table == Table::kLive ? "(nothing)" : std::to_string(i));
  }
}

TEST_P(StoreContract, TheLastOfARowWinsAlsoWithinOneWrite) {
  write(1, {put(Table::kDone, "a", "old"), put(Table::kDone, "a", "new"), put(Table::kDone, "b", "x"),
            erase(Table::kDone, "b"), erase(Table::kDone, "c"), put(Table::kDone, "c", "back")});
  EXPECT_EQ(get(Table::kDone, "a"), "new");
  EXPECT_EQ(get(Table::kDone, "b"), "(nothing)");
  EXPECT_EQ(get(Table::kDone, "c"), "back");
}

TEST_P(StoreContract, ErasingWhatIsNotThereIsNoHarm) {
  write(1, {erase(Table::kQueue, "a")});
  EXPECT_EQ(get(Table::kQueue, "a"), "(nothing)");
}

TEST_P(StoreContract, ARowThatWasPutOnceIsErasedOnceAndMayComeBack) {
  for (std::uint64_t round = 0; round < 5; ++round) {
    write(2 * round + 1, {put(Table::kLive, "a", std::to_string(round))});
    EXPECT_EQ(get(Table::kLive, "a"), std::to_string(round));
    if (round % 2 == 0) flush();
    write(2 * round + 2, {erase_once(Table::kLive, "a")});
    EXPECT_EQ(get(Table::kLive, "a"), "(nothing)");
    if (round % 3 == 0) flush();
  }
  flush();
  restart();
  EXPECT_EQ(get(Table::kLive, "a"), "(nothing)");
  EXPECT_EQ(keys(Table::kLive), Keys{});
}

TEST_P(StoreContract, ARowThatChangesAgainAndAgainLeavesItsNeighboursAlone) {
  const auto left = core::key_of(64), row = core::key_of(65), right = core::key_of(66);
  write(1, {put(Table::kLive, left, "left"), put(Table::kLive, right, "right")});
  for (std::uint64_t round = 0; round < 60; ++round) {
    const auto value = "lease " + std::to_string(round);
    write(round + 2, {put(Table::kLive, row, value)});
    if (round == 40) flush();
    ASSERT_EQ(get(Table::kLive, row), value);
    ASSERT_EQ(keys(Table::kLive), (Keys{left, row, right}));
  }
  write(70, {erase(Table::kLive, row), erase(Table::kLive, left)});
  flush();
  restart();
  EXPECT_EQ(keys(Table::kLive), Keys{right});
  EXPECT_EQ(get(Table::kLive, right), "right");
  write(71, {erase(Table::kLive, right)});
  EXPECT_EQ(keys(Table::kLive), Keys{});
}

TEST_P(StoreContract, NeighboursComeAndGoOneByOneOrTogether) {
  const auto rows_of = [](std::uint64_t from, std::uint64_t until, auto&& make) {
    std::vector<core::Row> rows;
    for (auto i = from; i < until; ++i) rows.push_back(make(core::key_of(i)));
    return rows;
  };
  const auto made = [](const std::string& key) { return put(Table::kBody, key, "body of " + key); };
  const auto erased = [](const std::string& key) { return erase(Table::kBody, key); };
  const auto left = [&](std::uint64_t from, std::uint64_t until) {
    Keys expected;
    for (auto i = from; i < until; ++i) expected.push_back(core::key_of(i));
    return expected;
  };
  write(1, rows_of(0, 100, made));
  write(2, rows_of(100, 101, made));
  EXPECT_EQ(keys(Table::kBody), left(0, 101));
  write(3, rows_of(0, 64, erased));
  EXPECT_EQ(keys(Table::kBody), left(64, 101));
  flush();
  write(4, rows_of(64, 95, erased));
  EXPECT_EQ(keys(Table::kBody), left(95, 101));
  write(5, rows_of(95, 96, erased));
  EXPECT_EQ(get(Table::kBody, core::key_of(96)), "body of " + core::key_of(96));
  EXPECT_EQ(get(Table::kBody, core::key_of(95)), "(nothing)");
  write(6, rows_of(96, 102, erased));
  EXPECT_EQ(keys(Table::kBody), Keys{});
  flush();
  restart();
  EXPECT_EQ(keys(Table::kBody), Keys{});
  EXPECT_EQ(get(Table::kBody, core::key_of(96)), "(nothing)");
}

TEST_P(StoreContract, LargeRowsAmongSmallOnesAreAsAnyOther) {
  const auto first = core::key_of(1), large = core::key_of(2), last = core::key_of(3);
  const std::string big(100'000, 'b'), bigger(150'000, 'c');
  const auto values = [&] {
    std::vector<std::string> found;
    EXPECT_TRUE(store().scan(Table::kDone, {}, {}, [&](std::string_view, std::string_view value) {
      found.emplace_back(value);
      return true;
    }));
    return found;
  };
  write(1, {put(Table::kDone, first, "1"), put(Table::kDone, large, big), put(Table::kDone, last, "3"),
            put(Table::kBody, large, "another table")});
  EXPECT_EQ(get(Table::kDone, large), big);
  EXPECT_EQ(values(), (std::vector<std::string>{"1", big, "3"}));
  flush();
  write(2, {put(Table::kDone, large, bigger)});
  const auto both = store().get_all(Table::kDone, {last, large});
  ASSERT_TRUE(both);
  EXPECT_EQ(*both, (std::vector<std::optional<std::string>>{"3", bigger}));
  write(3, {put(Table::kDone, large, "small")});
  EXPECT_EQ(values(), (std::vector<std::string>{"1", "small", "3"}));
  write(4, {put(Table::kDone, large, big)});
  flush();
  restart();
  EXPECT_EQ(values(), (std::vector<std::string>{"1", big, "3"}));
  write(5, {erase(Table::kDone, large)});
  EXPECT_EQ(get(Table::kDone, large), "(nothing)");
  EXPECT_EQ(values(), (std::vector<std::string>{"1", "3"}));
  EXPECT_EQ(get(Table::kBody, large), "another table");
}

TEST_P(StoreContract, ThePositionMovesWithoutRowsToo) {
  ASSERT_TRUE(store().write({.records = 7, .group = 3, .group_records = 5}, {}));
  EXPECT_EQ(store().position(), (Position{.records = 7, .group = 3, .group_records = 5}));
  flush();
  restart();
  EXPECT_EQ(store().position(), (Position{.records = 7, .group = 3, .group_records = 5}));
}

TEST_P(StoreContract, ScansInByteOrderFromInclusiveUntilExclusive) {
  write(1, {put(Table::kRetire, "b", "2"), put(Table::kRetire, "\xff", "5"), put(Table::kRetire, "a", "1"),
            put(Table::kRetire, "bb", "3"), put(Table::kRetire, "c", "4")});
  EXPECT_EQ(keys(Table::kRetire), (Keys{"a", "b", "bb", "c", "\xff"}));
  EXPECT_EQ(keys(Table::kRetire, "b", "c"), (Keys{"b", "bb"}));
  EXPECT_EQ(keys(Table::kRetire, "ba"), (Keys{"bb", "c", "\xff"}));
  EXPECT_EQ(keys(Table::kRetire, "", "b"), (Keys{"a"}));
  EXPECT_EQ(keys(Table::kRetire, "b", "b"), Keys{});
  EXPECT_EQ(keys(Table::kRetire, "d", "e"), Keys{});
  flush();
  EXPECT_EQ(keys(Table::kRetire, "b", "c"), (Keys{"b", "bb"}));
}

TEST_P(StoreContract, AScanStopsWhenItsVisitorHasEnough) {
  write(1, {put(Table::kOutbox, "a", "1"), put(Table::kOutbox, "b", "2"), put(Table::kOutbox, "c", "3")});
  Keys seen;
  ASSERT_TRUE(store().scan(Table::kOutbox, {}, {}, [&](std::string_view key, std::string_view value) {
    seen.push_back(std::string(key) + "=" + std::string(value));
    return seen.size() < 2;
  }));
  EXPECT_EQ(seen, (Keys{"a=1", "b=2"}));
}

TEST_P(StoreContract, AVisitorMayRead) {
  write(1, {put(Table::kLive, "a", "1"), put(Table::kBody, "a", "body")});
  Keys bodies;
  ASSERT_TRUE(store().scan(Table::kLive, {}, {}, [&](std::string_view key, std::string_view) {
    bodies.push_back(get(Table::kBody, key));
    return true;
  }));
  EXPECT_EQ(bodies, Keys{"body"});
}

// The rows of table key are found by the first 16 bytes alone.
TEST_P(StoreContract, FindsTheKeysThatBeginWithAHash) {
  const std::string hash(16, 'h'), lower = std::string(15, 'h') + 'g', higher = std::string(15, 'h') + 'i';
  const std::string last(16, '\xff');
  const auto rows_of = [&] {
    return std::vector{keys(Table::kKey, hash, higher), keys(Table::kKey, hash, hash + "\xff\xff"),
                       keys(Table::kKey, lower, hash), keys(Table::kKey, last), keys(Table::kKey)};
  };
  const std::vector<Keys> expected{{hash + "1", hash + "2"},
                                   {hash + "1", hash + "2"},
                                   {},
                                   {last + "4"},
                                   {hash + "1", hash + "2", higher + "3", last + "4"}};
  write(1, {put(Table::kKey, hash + "2", "b"), put(Table::kKey, higher + "3", "c"), put(Table::kKey, hash + "1", "a"),
            put(Table::kKey, last + "4", "d")});
  EXPECT_EQ(rows_of(), expected);
  flush();
  EXPECT_EQ(rows_of(), expected);
}

TEST_P(StoreContract, GetsManyRowsInTheOrderOfTheQuestion) {
  write(1, {put(Table::kBody, "a", "1"), put(Table::kBody, "c", "3")});
  flush();
  write(2, {put(Table::kBody, "b", "2"), erase(Table::kBody, "c")});
  const auto values = store().get_all(Table::kBody, {"c", "b", "x", "a", "b"});
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, (std::vector<std::optional<std::string>>{std::nullopt, "2", std::nullopt, "1", "2"}));
  EXPECT_TRUE(store().get_all(Table::kBody, {}).value().empty());
}

TEST_P(StoreContract, NamesOfMetaThatTheStoreKeepsForItselfAreRefusedAndHidden) {
  write(1, {put(Table::kMeta, "clock", "1")});
  for (const std::string& name : {std::string(), std::string("\0x", 2), std::string("\0position", 9)}) {
    const auto refused = store().write(at(2), {put(Table::kMeta, "other", "2"), put(Table::kMeta, name, "x")});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_EQ(get(Table::kMeta, name), "(nothing)");
    EXPECT_EQ(store().get_all(Table::kMeta, {name}).value().front(), std::nullopt);
  }
  EXPECT_EQ(keys(Table::kMeta), Keys{"clock"});
  EXPECT_EQ(store().position(), at(1));
}

TEST_P(StoreContract, NothingIsDurableBeforeAFlushAndEverythingAfterIt) {
  write(1, {put(Table::kLive, "a", "1"), put(Table::kBody, "a", "b")});
  EXPECT_EQ(store().durable(), Position{});
  flush();
  EXPECT_EQ(store().durable(), at(1));
  write(2, {put(Table::kLive, "a", "2"), erase(Table::kBody, "a"), put(Table::kDone, "a", "d")});
  EXPECT_EQ(store().position(), at(2));
  EXPECT_EQ(store().durable(), at(1));
  restart();
  EXPECT_EQ(store().position(), at(1));
  EXPECT_EQ(store().durable(), at(1));
  EXPECT_EQ(get(Table::kLive, "a"), "1");
  EXPECT_EQ(get(Table::kBody, "a"), "b");
  EXPECT_EQ(get(Table::kDone, "a"), "(nothing)");
}

TEST_P(StoreContract, AFlushOfNothingIsNoHarm) {
  flush();
  write(1, {put(Table::kLive, "a", "1")});
  flush();
  flush();
  restart();
  flush();
  EXPECT_EQ(store().durable(), at(1));
  EXPECT_EQ(get(Table::kLive, "a"), "1");
}

TEST_P(StoreContract, StatsNameEveryTable) {
  write(1, {put(Table::kBody, "a", std::string(1000, 'x'))});
  flush();
  const StoreStats stats = store().stats();
  ASSERT_GE(stats.tables.size(), core::kTables);
  const TableStats& body = stats.tables[static_cast<std::size_t>(Table::kBody)];
  EXPECT_EQ(body.name, "body");
  EXPECT_EQ(body.rows, 1U);
  EXPECT_GT(body.bytes, 0U);
  EXPECT_GT(stats.bytes_flushed, 0U);
  EXPECT_FALSE(stats.stalled);
}

}  // namespace
}  // namespace codeq::storage
