// What every store refuses or takes for granted, in one place.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/store.h"

namespace codeq::storage {

// Names of meta rows are text: a first byte of 0 is kept for the store's own rows.
inline bool is_reserved(core::Table table, std::string_view key) {
  return table == core::Table::kMeta && (key.empty() || key.front() == '\0');
}

inline Result<void> check_rows(const std::vector<core::Row>& rows) {
  for (const core::Row& row : rows) {
    if (is_reserved(row.table, row.key)) {
      return fail(Code::kInvalidArgument, "the name of a meta row is empty or begins with a zero byte");
    }
  }
  return {};
}

// An image moves on along its log, or stays; it never goes back.
inline bool follows(const Position& next, const Position& last) {
  return next.records >= last.records && next.group >= last.group && next.group_records >= last.group_records &&
         next.group_records <= next.records;
}

std::string_view table_name(core::Table table);

}  // namespace codeq::storage
