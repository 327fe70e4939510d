// What every store promises, asked of every store. A store joins with one line in its own test file:
//
//   INSTANTIATE_TEST_SUITE_P(Rocks, StoreContract, ::testing::Values(Kind{"Rocks", [] { return ...; }}), name_of_kind);
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/store.h"

namespace codeq::storage {

// A store that starts empty, and whose power can be cut.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Store& store() = 0;  // another one after a restart
  virtual void restart() = 0;  // the power is cut and comes back: what is not durable is gone
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Subject>()> make;
};

inline std::string name_of_kind(const ::testing::TestParamInfo<Kind>& info) { return info.param.name; }

class StoreContract : public ::testing::TestWithParam<Kind> {
 protected:
  Store& store() { return subject_->store(); }
  void restart() { subject_->restart(); }

  void write(std::uint64_t records, const std::vector<core::Row>& rows);
  void flush();
  std::string get(core::Table table, std::string_view key);  // "(nothing)" if it is not there
  std::vector<std::string> keys(core::Table table, std::string_view from = {}, std::string_view until = {});

 private:
  std::unique_ptr<Subject> subject_ = GetParam().make();
};

// The position after so many records, one record a group.
inline Position at(std::uint64_t records) { return {records, records, records}; }

inline core::Row put(core::Table table, std::string key, std::string value) {
  return {table, core::Row::Op::kPut, std::move(key), std::move(value)};
}
inline core::Row erase(core::Table table, std::string key) {
  return {table, core::Row::Op::kErase, std::move(key), {}};
}
inline core::Row erase_once(core::Table table, std::string key) {
  return {table, core::Row::Op::kEraseOnce, std::move(key), {}};
}

}  // namespace codeq::storage
