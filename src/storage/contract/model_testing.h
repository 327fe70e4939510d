// What a store should hold: one map per table, and random histories of it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "storage/store.h"

namespace codeq::storage {

struct Model {
  using Rows = std::map<std::string, std::string>;
  std::array<Rows, core::kTables> tables;
  Position position;
  bool operator==(const Model&) const = default;

  void apply(const Position& next, const std::vector<core::Row>& rows);
};

// The next write of a history: some rows over a small space of keys; rows of `live` are put and erased once in turn, as
// the rule of kEraseOnce wants it. Values are `value_bytes` long at most.
std::vector<core::Row> random_rows(Rng& rng, const Model& model, std::size_t value_bytes = 40);

// Everything that `store` shows, read by scans.
Result<Model> read_all(const Store& store);

// CODEQ_SEED, or `fallback`.
std::uint64_t seed_of_test(std::uint64_t fallback);

}  // namespace codeq::storage
