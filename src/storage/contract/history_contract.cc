// Random histories against a map.
#include "storage/contract/model_testing.h"
#include "storage/contract/store_contract.h"

#include <cstdlib>

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

std::vector<core::Row> random_rows(Rng& rng, const Model& model, std::size_t value_bytes) {
  std::vector<core::Row> rows;
  std::map<std::string, bool> live;  // rows of live that this very write has touched, and whether they are there now
  for (std::uint64_t i = rng.next() % 8; i > 0; --i) {
    const auto table = static_cast<Table>(rng.next() % core::kTables);
    std::string key = "key-" + std::to_string(rng.next() % 30);
    if (table == Table::kKey) key = std::string(16, key.back()) + key;
    const std::string value(rng.next() % (value_bytes + 1), static_cast<char>('a' + rng.next() % 26));
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
    std::string key = "key-" + std::to_string(rng.next() % 30);
    if (static_cast<Table>(table) == Table::kKey) key = std::string(16, key.back()) + key;
    const auto expected = model.tables[table].find(key);
    ASSERT_EQ(get(static_cast<Table>(table), key),
              expected == model.tables[table].end() ? "(nothing)" : expected->second);
    if (step % 50 == 0) { ASSERT_EQ(read_all(store()).value(), model) << "step " << step; }
  }
}

}  // namespace
}  // namespace codeq::storage
