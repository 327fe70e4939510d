#include "storage/check.h"

#include <string>
#include <unordered_set>
#include <vector>

#include "core/state.h"

namespace codeq::storage {
namespace {

using core::Table;

constexpr std::size_t kTogether = 512;

struct Check {
  const Store& store;
  const std::function<void(std::uint64_t)>& progress;
  RowCounts counts{};
  std::unordered_set<std::uint32_t> queues{};
  std::uint64_t looked_at = 0;

  static std::unexpected<Error> wrong(const char* table, std::uint64_t number, const char* what) {
    return fail(Code::kCorrupt, std::string("table ") + table + ", row " + std::to_string(number) + ": " + what);
  }

  template <class F>
  Result<void> each(Table table, F&& look) const {
    Result<void> outcome;
    CODEQ_TRY_VOID(store.scan(table, {}, {}, [&](std::string_view key, std::string_view value) {
      outcome = look(key, value);
      return outcome.has_value();
    }));
    return outcome;
  }

  // Rows of live or done, with their bodies.
  template <class F>
  Result<void> tasks(Table table, const char* name, F&& look) {
    std::vector<std::string> keys, values;
    const auto flush = [&]() -> Result<void> {
      CODEQ_TRY(const auto bodies, store.get_all(Table::kBody, keys));
      for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto sequence = core::number_at(keys[i], 0);
        if (!bodies[i]) return wrong(name, sequence, "its row in table body is missing");
        core::Task task;
        CODEQ_TRY_VOID(core::decode_body(sequence, *bodies[i], task));
        if (task.whole) return wrong(name, sequence, "all of it is in table body as well");
        CODEQ_TRY_VOID(look(sequence, values[i], task));
      }
      looked_at += keys.size();
      if (progress) progress(looked_at);
      keys.clear();
      values.clear();
      return {};
    };
    CODEQ_TRY_VOID(each(table, [&](std::string_view key, std::string_view value) -> Result<void> {
      if (key.size() != 8) return wrong(name, 0, "a key that is not 8 bytes");
      keys.emplace_back(key);
      values.emplace_back(value);
      return keys.size() < kTogether ? Result<void>{} : flush();
    }));
    return flush();
  }

  Result<void> run() {
    CODEQ_TRY_VOID(each(Table::kQueue, [&](std::string_view key, std::string_view) -> Result<void> {
      if (key.size() != 4) return wrong("queue", 0, "a key that is not 4 bytes");
      queues.insert(static_cast<std::uint32_t>(core::number_at(std::string(4, '\0') + std::string(key), 0)));
      ++counts.queues;
      return {};
    }));
    const auto live = [&](std::uint64_t sequence, const std::string& value, core::Task& task) -> Result<void> {
      CODEQ_TRY(const auto head, core::decode_live_head(sequence, value));
      CODEQ_TRY_VOID(core::decode_live(sequence, value, task));
      if (!queues.contains(head.queue)) return wrong("live", sequence, "its queue is missing");
      ++(task.place == core::Place::kLeased ? counts.leased : counts.waiting);
      return {};
    };
    CODEQ_TRY_VOID(tasks(Table::kLive, "live", live));
    const auto done = [&](std::uint64_t sequence, const std::string& value, core::Task& task) -> Result<void> {
      CODEQ_TRY_VOID(core::decode_done(sequence, value, task));
      ++counts.finished;
      return {};
    };
    CODEQ_TRY_VOID(tasks(Table::kDone, "done", done));
    std::uint64_t bodies = 0, retiring = 0;
    CODEQ_TRY_VOID(each(Table::kBody, [&](std::string_view key, std::string_view value) -> Result<void> {
      ++bodies;
      if (!core::is_whole(value)) return {};
      core::Task task;
      ++counts.finished;
      return core::decode_body(core::number_at(key, 0), value, task);
    }));
    if (bodies != counts.waiting + counts.leased + counts.finished)
      return fail(Code::kCorrupt, "table body has " + std::to_string(bodies) + " rows for " +
                                      std::to_string(counts.waiting + counts.leased + counts.finished) + " tasks");
    const auto retire = [&](std::string_view key, std::string_view value) -> Result<void> {
      CODEQ_TRY(const auto entry, core::decode_retire(key, value));
      if (!queues.contains(entry.queue)) return wrong("retire", entry.sequence, "its queue is missing");
      ++retiring;
      return {};
    };
    CODEQ_TRY_VOID(each(Table::kRetire, retire));
    if (retiring != counts.finished)
      return fail(Code::kCorrupt, "table retire has " + std::to_string(retiring) + " rows for " +
                                      std::to_string(counts.finished) + " finished tasks");
    const auto outbox = [&](std::string_view key, std::string_view value) -> Result<void> {
      core::Delivery delivery;
      CODEQ_TRY_VOID(core::decode_delivery(core::number_at(key, 0), value, delivery));
      CODEQ_TRY(const auto task, store.get(Table::kDone, core::key_of(delivery.sequence)));
      if (!task) return wrong("outbox", core::number_at(key, 0), "its task is missing");
      ++counts.deliveries;
      return {};
    };
    CODEQ_TRY_VOID(each(Table::kOutbox, outbox));
    const auto named = [&](std::string_view key, std::string_view value) -> Result<void> {
      if (key.starts_with(core::kTopicRows)) {
        CODEQ_TRY_VOID(core::decode_topic(value));
        ++counts.topics;
      } else if (key.starts_with(core::kSubscriptionRows)) {
        CODEQ_TRY_VOID(core::decode_subscription(value));
        ++counts.subscriptions;
      }
      return {};
    };
    CODEQ_TRY_VOID(each(Table::kMeta, named));
    return each(Table::kKey, [&](std::string_view key, std::string_view) -> Result<void> {
      if (key.size() != 24) return wrong("key", 0, "a key that is not 24 bytes");
      ++counts.keys;
      return {};
    });
  }
};

}  // namespace

Result<RowCounts> check_tables(const Store& store, const std::function<void(std::uint64_t)>& progress) {
  Check check{.store = store, .progress = progress};
  CODEQ_TRY_VOID(check.run());
  return check.counts;
}

}  // namespace codeq::storage
