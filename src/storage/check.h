// Reads every row of a store and says whether they fit together.
//
// Errors   kCorrupt with the table and the row's number; the store's own
// Cost     reads everything once, and looks up the body of every task: about 5 us a task
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "storage/store.h"

namespace codeq::storage {

struct RowCounts {
  std::uint64_t queues = 0, waiting = 0, leased = 0, finished = 0, keys = 0, deliveries = 0,
                topics = 0, subscriptions = 0;
};
// `progress` hears of tasks looked at so far, now and then.
Result<RowCounts> check_tables(const Store& store, const std::function<void(std::uint64_t tasks)>& progress);

}  // namespace codeq::storage
