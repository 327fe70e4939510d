// What every store promises, asked of every store. A store joins with one line in its own test file:
//
//   INSTANTIATE_TEST_SUITE_P(Rocks, StoreContract, ::testing::Values(MakeStore{...}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "storage/store.h"

namespace codeq::storage {

using MakeStore = std::function<std::unique_ptr<Store>()>;  // a new, empty store

class StoreContract : public ::testing::TestWithParam<MakeStore> {
 protected:
  std::unique_ptr<Store> store_ = GetParam()();
};

}  // namespace codeq::storage
