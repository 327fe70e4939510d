#include "storage/store.h"

#include <utility>

#include "storage/rules.h"

namespace codeq::storage {

Result<std::vector<std::optional<std::string>>> Store::get_all(core::Table table,
                                                               const std::vector<std::string>& keys) const {
  std::vector<std::optional<std::string>> values;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    CODEQ_TRY(auto value, get(table, key));
    values.push_back(std::move(value));
  }
  return values;
}

std::string_view table_name(core::Table table) {
  switch (table) {
    case core::Table::kMeta: return "meta";
    case core::Table::kQueue: return "queue";
    case core::Table::kLive: return "live";
    case core::Table::kBody: return "body";
    case core::Table::kDone: return "done";
    case core::Table::kKey: return "key";
    case core::Table::kRetire: return "retire";
    case core::Table::kOutbox: return "outbox";
  }
  return "unknown";
}

}  // namespace codeq::storage
