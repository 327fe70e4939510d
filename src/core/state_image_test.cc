// The image of a state: whatever is cut, evicted, read back or restarted from rows, it stays the state that lived in memory.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "core/due_heap.h"
#include "core/test_world.h"

namespace codeq::core {
namespace {

// Rows as a store would have them; notes a broken promise of kEraseOnce.
struct Rows {
  std::array<std::map<std::string, std::string, std::less<>>, kTables> tables;
  std::map<std::pair<Table, std::string>, int> puts;
  bool erase_once_kept = true;

  std::map<std::string, std::string, std::less<>>& of(Table table) { return tables[static_cast<std::size_t>(table)]; }
  void write(const std::vector<Row>& rows) {
    for (const auto& row : rows) {
      auto& count = puts[{row.table, row.key}];
      if (row.op == Row::Op::kPut) {
        of(row.table)[row.key] = row.value;
        ++count;
        continue;
      }
      if (row.op == Row::Op::kEraseOnce && count != 1) erase_once_kept = false;
      of(row.table).erase(row.key);
      count = 0;
    }
  }
};

void load(State& state, Rows& rows, std::uint64_t sequence) {
  if (state.task(sequence) != nullptr) return;
  const auto key = key_of(sequence);
  const auto body = rows.of(Table::kBody).find(key);
  if (body == rows.of(Table::kBody).end()) return;
  const auto live = rows.of(Table::kLive).find(key);
  const bool done = live == rows.of(Table::kLive).end();
  const auto rest = is_whole(body->second) ? std::string() : done ? rows.of(Table::kDone).at(key) : live->second;
  const auto loaded = state.load(sequence, body->second, rest, done);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
}

void load_all(State& state, Rows& rows) {
  for (const auto& [key, body] : rows.of(Table::kBody)) load(state, rows, number_at(key, 0));
}

void apply(State& state, Rows& rows, const Record& record) {
  std::vector<std::uint64_t> names;
  state.names(record, names);
  for (const auto sequence : names)
    if (state.exists_possibly(sequence)) load(state, rows, sequence);
  const auto effects = state.apply(record);
  ASSERT_TRUE(effects.has_value()) << effects.error().message;
}

void restore(State& state, Rows& rows) {
  if (!rows.of(Table::kMeta).contains(kStateKey)) return;
  ASSERT_TRUE(state.restore_meta(rows.of(Table::kMeta).at(kStateKey)).has_value());
  for (const auto& [key, value] : rows.of(Table::kMeta)) {
    if (key >= kTopicRows && key < kTopicRowsEnd) ASSERT_TRUE(state.restore_topic(value).has_value());
    if (key >= kSubscriptionRows && key < kSubscriptionRowsEnd) ASSERT_TRUE(state.restore_subscription(value).has_value());
  }
  for (const auto& [key, value] : rows.of(Table::kQueue)) ASSERT_TRUE(state.restore_queue(key, value).has_value());
  for (const auto& [key, value] : rows.of(Table::kLive)) {
    const auto head = decode_live_head(number_at(key, 0), value);
    ASSERT_TRUE(head.has_value());
    ASSERT_TRUE(state.restore_live(number_at(key, 0), *head).has_value());
  }
  for (const auto& [key, value] : rows.of(Table::kOutbox))
    ASSERT_TRUE(state.restore_delivery(number_at(key, 0), value).has_value());
  for (const auto sequence : state.restore_needs()) load(state, rows, sequence);
  ASSERT_TRUE(state.restore_end().has_value());
}

TEST(StateImage, CutsEvictionsAndRestartsNeverShowInTheState) {
  const char* chosen = std::getenv("CODEQ_SEED");
  const std::uint64_t base = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 100;
  for (std::uint64_t seed = base; seed < base + (chosen != nullptr ? 1 : 40); ++seed) {
    SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
    const auto history = random_history(seed, 300);
    SeededRng rng(seed);
    State state;
    Rows rows;
    std::uint64_t image_records = 0;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const auto record = decode_group(history[i].first);
      ASSERT_TRUE(record.has_value());
      apply(state, rows, record->front());
      if (!state.cutting() && rng.next() % 8 == 0) state.begin_cut();
      if (state.cutting() && state.encode_cut(rng.next() % 4)) {
        auto cut = state.take_cut();
        rows.write(*cut.rows);
        if (rng.next() % 2 == 0) state.cut_written();  // or only with the last of its tasks
        image_records = cut.records;
        for (const auto sequence : cut.sequences) {
          state.settled(sequence);
          if (rng.next() % 2 == 0) state.evict(sequence);
        }
        state.cut_written();
      }
      if (rng.next() % 40 != 0) continue;
      State restarted;
      restore(restarted, rows);
      ASSERT_EQ(restarted.records(), image_records);
      if (image_records > 0) {
        State same;
        restore(same, rows);
        load_all(same, rows);
        ASSERT_EQ(same.digest(), history[image_records - 1].second) << "the image of " << image_records << " records";
      }
      for (auto j = image_records; j <= i; ++j) apply(restarted, rows, decode_group(history[j].first)->front());
      Rows latest = rows;
      restarted.begin_cut();  // so that what was just retired is not read back
      restarted.encode_cut(SIZE_MAX);
      latest.write(*restarted.take_cut().rows);
      load_all(restarted, latest);
      ASSERT_EQ(restarted.digest(), history[i].second) << "restarted after record " << i << " from " << image_records;
    }
    while (!state.cutting()) state.begin_cut();
    while (!state.encode_cut(100)) {
    }
    rows.write(*state.take_cut().rows);
    if (state.changed()) {
      state.begin_cut();
      state.encode_cut(SIZE_MAX);
      rows.write(*state.take_cut().rows);
    }
    load_all(state, rows);
    EXPECT_EQ(state.digest(), history.back().second);
    EXPECT_TRUE(rows.erase_once_kept);
  }
}

TEST(StateImage, NothingOfATaskStaysBehind) {
  World w;
  Rows rows;
  const auto save = [&] {
    w.state.begin_cut();
    w.state.encode_cut(SIZE_MAX);
    rows.write(*w.state.take_cut().rows);
  };
  must(w.create({.webhook = "http://example.com/hook", .idempotency_key = "k", .content_hash = 1}));
  save();
  const auto& task = must(w.claim(kAlice));
  save();
  const auto delivery = w.submit(kAlice, task)->delivery;
  save();
  ASSERT_TRUE(w.state.apply(WebhookRecord{.time_ns = w.now, .delivery_id = delivery, .attempts_max = 1}));
  save();
  w.now = task.retire_ns;
  ASSERT_TRUE(w.state.apply(RetireBatchRecord{.time_ns = w.now, .entries = {w.state.retire_entry(task)}}));
  save();
  for (std::size_t table = 0; table < kTables; ++table) {
    if (static_cast<Table>(table) != Table::kMeta) EXPECT_TRUE(rows.tables[table].empty()) << "table " << table;
  }
  EXPECT_EQ(w.state.tasks_in_memory(), 0U);
}

TEST(StateImage, ATaskThatEndsBeforeItsFirstRowHasOneRowEvenWhenItsCommitComesLater) {
  World w;
  Rows rows;
  const auto save = [&] {
    w.state.begin_cut();
    w.state.encode_cut(SIZE_MAX);
    auto cut = w.state.take_cut();
    rows.write(*cut.rows);
    for (const auto sequence : cut.sequences) w.state.settled(sequence);
  };
  const auto counts = [&] {
    return std::array{rows.of(Table::kBody).size(), rows.of(Table::kLive).size(), rows.of(Table::kDone).size(),
                      rows.of(Table::kRetire).size()};
  };
  must(w.create({}));
  const auto& task = must(w.claim(kAlice));
  const auto sequence = task.info->id.sequence;
  ASSERT_TRUE(w.submit(kAlice, task).has_value());
  save();
  EXPECT_EQ(counts(), (std::array<std::size_t, 4>{1, 0, 0, 1}));
  EXPECT_FALSE(w.state.evict(sequence)) << "events of it wait for their commit";
  ASSERT_TRUE(w.state.apply(DurableRecord{.time_ns = w.now, .upto = w.state.records(), .durable_ns = w.now + 5}));
  save();
  EXPECT_EQ(counts(), (std::array<std::size_t, 4>{1, 0, 0, 1}));
  const auto whole = w.state.digest();
  ASSERT_TRUE(w.state.evict(sequence));
  load(w.state, rows, sequence);
  EXPECT_EQ(w.state.digest(), whole);

  // Cut short it is damage, wherever that is.
  const auto row = rows.of(Table::kBody).begin()->second;
  ASSERT_TRUE(is_whole(row));
  for (std::size_t cut = 0; cut < row.size(); ++cut) {
    Task into;
    EXPECT_FALSE(decode_body(sequence, std::string_view(row).substr(0, cut), into).has_value()) << cut;
  }
  // Without its payload everything else is there.
  Task into;
  ASSERT_TRUE(decode_body(sequence, row, into, false).has_value());
  EXPECT_EQ(into.place, Place::kDone);
  EXPECT_EQ(into.payload, nullptr);
  EXPECT_EQ(into.result->result_json, w.state.task(sequence)->result->result_json);
}

struct Packing {
  World w;
  Rows rows;
  // A task that has ended, with its commit.
  std::uint64_t ended() {
    must(w.create({}));
    const auto& task = must(w.claim(kAlice));
    const auto sequence = task.info->id.sequence;
    EXPECT_TRUE(w.submit(kAlice, task).has_value());
    EXPECT_NE(w.state.peek(sequence), nullptr) << "its commit is still under way";
    EXPECT_TRUE(w.state.apply(DurableRecord{.time_ns = w.now, .upto = w.state.records(), .durable_ns = w.now + 5}));
    return sequence;
  }
  Cut cut() {
    w.state.begin_cut();
    w.state.encode_cut(SIZE_MAX);
    return w.state.take_cut();
  }
  void written(const Cut& cut) {
    rows.write(*cut.rows);
    w.state.cut_written();
    for (const auto sequence : cut.sequences) w.state.settled(sequence);
  }
  void retire(std::uint64_t sequence) {
    const auto entry = w.state.retire_entry(*w.state.task(sequence));
    w.now = entry.retire_ns;
    ASSERT_TRUE(w.state.apply(RetireBatchRecord{.time_ns = w.now, .entries = {entry}}));
  }
};

TEST(StateImage, ATaskThatHasEndedIsKeptAsItsRowUntilTheStoreHasIt) {
  Packing p;
  auto& state = p.w.state;
  const auto first = p.ended();
  EXPECT_EQ(state.peek(first), nullptr);
  EXPECT_EQ(state.tasks_in_memory(), 1U);
  const auto kept = state.digest();

  // Whoever asks gets it as it was, and it goes into the next cut all the same.
  const auto* task = state.task(first);
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->place, Place::kDone);
  EXPECT_EQ(task->timeline.events().back().end_ns, p.w.now + 5);
  EXPECT_EQ(state.peek(first), task);
  EXPECT_EQ(state.digest(), kept);
  EXPECT_FALSE(state.evict(first)) << "the store does not have it";

  const auto second = p.ended();
  ASSERT_NE(state.find({.sequence = second, .random = state.task(first)->info->id.random}, kTenant, p.w.now), nullptr);
  EXPECT_NE(state.peek(second), nullptr) << "a look-up by id gets it back as well";
  const auto another = p.ended();
  auto cut = p.cut();
  EXPECT_EQ(state.peek(another), nullptr);
  const auto third = p.ended();  // belongs to the next one
  ASSERT_NE(state.task(another), nullptr) << "the cut is still under way";
  EXPECT_FALSE(state.evict(another));
  p.written(cut);
  EXPECT_EQ(p.rows.of(Table::kBody).size(), 3U);
  for (const auto sequence : {first, second, another}) EXPECT_TRUE(state.evict(sequence));
  EXPECT_EQ(state.task(another), nullptr);
  load(state, p.rows, another);
  EXPECT_EQ(state.task(another)->result->result_json, state.task(third)->result->result_json);

  cut = p.cut();
  p.rows.write(*cut.rows);
  state.cut_written();
  EXPECT_EQ(state.task(state.last_sequence() + 1), nullptr);
  const auto fourth = p.ended();
  for (const auto sequence : cut.sequences) state.settled(sequence);
  EXPECT_NE(state.task(fourth), nullptr) << "what the written cut does not have stays";
}

TEST(StateImage, AnEndedTaskThatRetiresBeforeTheStoreHasItLeavesNothingBehind) {
  Packing p;
  auto& state = p.w.state;
  const auto first = p.ended();
  p.retire(first);  // before the cut
  p.written(p.cut());
  const auto second = p.ended();
  const auto cut = p.cut();
  p.retire(second);  // while the cut is under way
  EXPECT_EQ(state.task(second), nullptr);
  p.written(cut);
  p.written(p.cut());
  for (const auto table : {Table::kBody, Table::kDone, Table::kLive, Table::kRetire, Table::kQueue})
    EXPECT_TRUE(p.rows.of(table).empty()) << static_cast<int>(table);
  EXPECT_EQ(state.tasks_in_memory(), 0U);
}

// What waits for a webhook goes on changing, and what died may come back: those have rows of their own.
TEST(StateImage, ATaskWithAWebhookAndADeadOneHaveTheirEndInARowOfItsOwn) {
  World w;
  must(w.create({.webhook = "http://example.com/hook"}));
  ASSERT_TRUE(w.submit(kAlice, must(w.claim(kAlice))).has_value());
  must(w.create({.max_attempts = 1}));
  ASSERT_TRUE(w.nack(kAlice, must(w.claim(kAlice)), 0).has_value());
  w.state.begin_cut();
  w.state.encode_cut(SIZE_MAX);
  Rows rows;
  rows.write(*w.state.take_cut().rows);
  EXPECT_EQ(rows.of(Table::kDone).size(), 2U);
  for (const auto& [key, body] : rows.of(Table::kBody)) EXPECT_FALSE(is_whole(body));
}

TEST(StateImage, ABadRowIsRefusedAndNotRead) {
  World w;
  const auto& task = must(w.create({.idempotency_key = "k", .content_hash = 1}));
  must(w.claim(kAlice));
  const auto body = encode_body(task), live = encode_live(task);
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    Task into;
    EXPECT_FALSE(decode_body(1, std::string_view(body).substr(0, cut), into).has_value());
  }
  for (std::size_t cut = 0; cut < live.size(); ++cut) {
    Task into;
    ASSERT_TRUE(decode_body(1, body, into).has_value());
    EXPECT_FALSE(decode_live(1, std::string_view(live).substr(0, cut), into).has_value());
  }
}

TEST(DueHeap, TheFirstDueComeInOrderWithoutTakingThem) {
  DueHeap heap;
  SeededRng rng(3);
  std::vector<DueHeap::Entry> model;
  for (std::uint64_t i = 0; i < 500; ++i) {
    model.emplace_back(static_cast<std::int64_t>(rng.next() % 100), i);
    heap.push(model.back().first, i);
  }
  std::sort(model.begin(), model.end());
  EXPECT_EQ(heap.sorted(), model);
  const auto due = heap.due(40, 50);
  ASSERT_EQ(due.size(), 50U);
  for (std::size_t i = 0; i < due.size(); ++i) EXPECT_EQ(due[i], model[i].second);
  for (const auto& entry : model) {
    EXPECT_EQ(heap.top(), entry);
    heap.pop();
  }
  EXPECT_TRUE(heap.due(100, 5).empty());
}

}  // namespace
}  // namespace codeq::core
