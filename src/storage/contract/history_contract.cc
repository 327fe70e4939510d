// Random histories against a map.
#include "storage/contract/model_testing.h"
#include "storage/contract/store_contract.h"

#include <cstdlib>
#include <optional>
#include <utility>

namespace codeq::storage {

using core::Table;

void Model::apply(const Position& next, const std::vector<core::Row>& rows) {
  for (const core::Row& row : rows) {
    Rows& table = tables[static_cast<std::size_t>(row.table)];
    if (row.op == core::Row::Op::kPut) {
      table[row.key] = row.value;
    } else {
      table.erase(row.key);
    }
  }
  position = next;
}

// As core makes them, so that tables which keep neighbours together have some.
std::string random_key(Rng& rng, Table table) {
  const auto number = rng.next() % 30;
  switch (table) {
    case Table::kLive:
    case Table::kBody:
    case Table::kDone: return core::key_of(number * (1 + number % 3));
    case Table::kRetire: return core::retire_key(static_cast<std::int64_t>(number % 7) << 23, number);
    case Table::kKey: return std::string(16, static_cast<char>('0' + number % 10)) + std::to_string(number);
    default: return "key-" + std::to_string(number);
  }
}

std::vector<core::Row> random_rows(Rng& rng, const Model& model, std::size_t value_bytes) {
  std::vector<core::Row> rows;
  std::map<std::string, bool> live;  // rows of live that this very write has touched, and whether they are there now
  for (std::uint64_t i = rng.next() % 8; i > 0; --i) {
    const auto table = static_cast<Table>(rng.next() % core::kTables);
    const auto key = random_key(rng, table);
    std::size_t bytes = rng.next() % (value_bytes + 1);
    // Where large values stand elsewhere, those too; fewer where a history is long anyway.
    if (rng.next() % (value_bytes <= 40 ? 16 : 64) == 0) bytes += 4096;
    const std::string value(bytes, static_cast<char>('a' + rng.next() % 26));
    if (table == Table::kLive) {
      const auto touched = live.find(key);
      const bool there =
          touched != live.end() ? touched->second : model.tables[static_cast<std::size_t>(table)].contains(key);
      rows.push_back({table, there ? core::Row::Op::kEraseOnce : core::Row::Op::kPut, key, there ? "" : value});
      live[key] = !there;
    } else if (rng.next() % 3 == 0) {
      rows.push_back({table, core::Row::Op::kErase, key, {}});
    } else {
      rows.push_back({table, core::Row::Op::kPut, key, value});
    }
  }
  return rows;
}

Result<Model> read_all(const Store& store) {
  Model model;
  for (std::size_t table = 0; table < core::kTables; ++table) {
    CODEQ_TRY_VOID(store.scan(static_cast<Table>(table), {}, {}, [&](std::string_view key, std::string_view value) {
      model.tables[table].emplace(key, value);
      return true;
    }));
  }
  model.position = store.position();
  return model;
}

std::uint64_t seed_of_test(std::uint64_t fallback) {
  const char* const seed = std::getenv("CODEQ_SEED");
  return seed == nullptr ? fallback : std::strtoull(seed, nullptr, 10);
}

namespace {

TEST_P(StoreContract, AnswersLikeAMapThroughAnyHistoryWithRestarts) {
  const std::uint64_t seed = seed_of_test(20);
  SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
  SeededRng rng(seed);
  Model model, durable;
  for (std::uint64_t step = 1; step <= 1500; ++step) {
    const std::uint64_t draw = rng.next() % 100;
    if (draw < 1) {
      ASSERT_NO_FATAL_FAILURE(restart());
      model = durable;
      ASSERT_EQ(store().position(), model.position) << "step " << step;
      ASSERT_EQ(read_all(store()).value(), model) << "step " << step;
    } else if (draw < 3) {
      ASSERT_NO_FATAL_FAILURE(flush());
      durable = model;
      ASSERT_EQ(store().durable(), model.position);
    } else {
      const auto rows = random_rows(rng, model);
      const std::uint64_t records = model.position.records + rng.next() % 3;
      ASSERT_NO_FATAL_FAILURE(write(records, rows));
      model.apply(at(records), rows);
    }
    const std::size_t table = rng.next() % core::kTables;
    const auto key = random_key(rng, static_cast<Table>(table));
    const auto expected = model.tables[table].find(key);
    ASSERT_EQ(get(static_cast<Table>(table), key),
              expected == model.tables[table].end() ? "(nothing)" : expected->second);
    // Any part of a table, and many rows at once.
    auto from = random_key(rng, static_cast<Table>(table)), until = random_key(rng, static_cast<Table>(table));
    if (until < from) std::swap(from, until);
    const auto& rows_of_table = model.tables[table];
    std::vector<std::string> between, asked;
    for (auto row = rows_of_table.lower_bound(from); row != rows_of_table.end() && row->first < until; ++row)
      between.push_back(row->first);
    ASSERT_EQ(keys(static_cast<Table>(table), from, until), between) << "step " << step;
    std::vector<std::optional<std::string>> answers;
    for (int i = 0; i < 5; ++i) {
      asked.push_back(random_key(rng, static_cast<Table>(table)));
      const auto row = rows_of_table.find(asked.back());
      answers.push_back(row == rows_of_table.end() ? std::nullopt : std::optional(row->second));
    }
    ASSERT_EQ(store().get_all(static_cast<Table>(table), asked).value(), answers) << "step " << step;
    if (step % 50 == 0) { ASSERT_EQ(read_all(store()).value(), model) << "step " << step; }
  }
}

}  // namespace
}  // namespace codeq::storage
