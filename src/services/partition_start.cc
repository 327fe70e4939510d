// A partition's start and end: from the store and the log to a state, and back.
#include <utility>

#include "services/partition.h"
#include "base/thread_name.h"

namespace codeq::services {

using core::Table;

Result<RecoveryReport> Partition::start() {
  CODEQ_TRY(const auto saved, restore());
  CODEQ_TRY(const auto position, replay(saved));
  time_.start(state_.clock(), state_.last_time_ns());
  stamp_ns_ = time_.stamp();
  reader_ = std::make_unique<Reader>([this](Reader::Then then) { hand_back(std::move(then)); }, options_.threaded);
  image_ = std::make_unique<Image>(
      deps_.store, deps_.log, ImageOptions{.log_bytes_max = options_.log_bytes_max, .threaded = options_.threaded},
      position,
      [this](std::vector<std::uint64_t> sequences) {
        hand_back([this, sequences = std::move(sequences)]() mutable {
          to_settle_ = std::move(sequences);
          settling_ = true;
        });
      },
      deps_.on_failure);
  committer_ = std::make_unique<Committer>(
      deps_.log, time_, deps_.tracer, deps_.metrics.commits, deps_.on_failure,
      [this](std::uint64_t upto, std::uint64_t group, std::uint64_t bytes) { image_->committed(upto, group, bytes); },
      options_.threaded);
  // What the last groups made durable was not noted any more: their spans end with the last record we know of.
  if (state_.has_open_events()) {
    const core::DurableRecord durable{
        .time_ns = stamp_ns_, .upto = state_.records(), .durable_ns = state_.last_time_ns()};
    if (auto noted = apply(durable, true); !noted) return std::unexpected<Error>(noted.error());
  }
  for (const auto& [id, delivery] : state_.deliveries()) {
    last_delivery_ = std::max(last_delivery_, id);
    if (!delivery.failed) outbox_.schedule(id, delivery.host, delivery.due_ns);
  }
  report_.waiting = state_.waiting();
  report_.leased = state_.leases().size();
  disk_low_ = deps_.disk_low && deps_.disk_low();
  started_ = true;
  if (options_.threaded) thread_ = std::jthread([this] {
    name_thread("partition");
    run();
  });
  return report_;
}

// The state as the store has it.
Result<storage::Position> Partition::restore() {
  const auto& store = deps_.store;
  const auto position = store.position();
  if (position == storage::Position{}) return position;
  CODEQ_TRY(const auto meta, store.get(Table::kMeta, core::kStateKey));
  if (!meta) return fail(Code::kCorrupt, "the store has a position but no state: its table meta is damaged");
  CODEQ_TRY_VOID(state_.restore_meta(*meta));
  if (state_.records() != position.records)
    return fail(Code::kCorrupt, "the store's position and its state disagree: " + std::to_string(position.records) +
                                    " and " + std::to_string(state_.records()) + " records");
  Result<void> outcome;
  const auto each = [&](Table table, auto&& restore_row) -> Result<void> {
    auto scanned = store.scan(table, {}, {}, [&](std::string_view key, std::string_view value) {
      outcome = restore_row(key, value);
      return outcome.has_value();
    });
    return scanned ? outcome : scanned;
  };
  const auto each_named = [&](std::string_view from, std::string_view until, auto&& restore_row) -> Result<void> {
    auto scanned = store.scan(Table::kMeta, from, until, [&](std::string_view, std::string_view value) {
      outcome = restore_row(value);
      return outcome.has_value();
    });
    return scanned ? outcome : scanned;
  };
  CODEQ_TRY_VOID(each_named(core::kTopicRows, core::kTopicRowsEnd,
                            [&](std::string_view value) { return state_.restore_topic(value); }));
  CODEQ_TRY_VOID(each_named(core::kSubscriptionRows, core::kSubscriptionRowsEnd,
                            [&](std::string_view value) { return state_.restore_subscription(value); }));
  CODEQ_TRY_VOID(each(Table::kQueue, [&](auto key, auto value) { return state_.restore_queue(key, value); }));
  CODEQ_TRY_VOID(each(Table::kLive, [&](auto key, auto value) -> Result<void> {
    const auto sequence = core::number_at(key, 0);
    CODEQ_TRY(const auto head, core::decode_live_head(sequence, value));
    return state_.restore_live(sequence, head);
  }));
  CODEQ_TRY_VOID(each(Table::kOutbox, [&](auto key, auto value) {
    return state_.restore_delivery(core::number_at(key, 0), value);
  }));
  CODEQ_TRY_VOID(load_now(state_.restore_needs()));
  CODEQ_TRY_VOID(state_.restore_end());
  return position;
}

// What the log has beyond it. Returns the position after the last record, for which the log is durable.
Result<storage::Position> Partition::replay(const storage::Position& from) {
  auto position = from;
  auto number = from.group_records;
  std::vector<std::uint64_t> names;
  const auto take = [&](std::uint64_t group, std::string_view bytes) -> Result<void> {
    CODEQ_TRY(const auto records, core::decode_group(bytes));
    for (const auto& record : records) {
      if (++number <= from.records) continue;  // the store has it
      names.clear();
      state_.names(record, names);
      CODEQ_TRY_VOID(load_now(names));
      if (auto effects = apply(record, false); !effects || effects->duplicate)
        return fail(Code::kCorrupt, "group " + std::to_string(group) + " of the log holds a record that does not fit: " +
                                        (effects ? "a replay of a create" : effects.error().message));
    }
    ++report_.groups;
    report_.records += records.size();
    position = {.records = std::max(number, from.records), .group = group, .group_records = number};
    if (state_.dirty_bytes() >= options_.cut_bytes && number >= from.records) return save_now(position);
    return {};
  };
  CODEQ_TRY_VOID(deps_.log.replay(from.group, take));
  if (position.records != state_.records() || position.group_records < from.records)
    return fail(Code::kCorrupt, "the log ends with record " + std::to_string(position.group_records) +
                                    ", the store has seen " + std::to_string(from.records));
  return position;
}

Result<void> Partition::load_now(const std::vector<std::uint64_t>& sequences) {
  const auto& store = deps_.store;
  for (const auto sequence : sequences) {
    if (state_.task(sequence) != nullptr || !state_.exists_possibly(sequence)) continue;
    const auto key = core::key_of(sequence);
    CODEQ_TRY(const auto body, store.get(Table::kBody, key));
    if (!body) continue;
    if (core::is_whole(*body)) {
      CODEQ_TRY_VOID(state_.load(sequence, *body, {}, true));
      continue;
    }
    CODEQ_TRY(auto rest, store.get(Table::kLive, key));
    const bool done = !rest;
    if (done) {
      CODEQ_TRY(rest, store.get(Table::kDone, key));
    }
    if (!rest) continue;
    CODEQ_TRY_VOID(state_.load(sequence, *body, *rest, done));
  }
  return {};
}

Result<void> Partition::save_now(const storage::Position& position) {
  state_.begin_cut();
  state_.encode_cut(SIZE_MAX);
  auto cut = state_.take_cut();
  CODEQ_TRY_VOID(deps_.store.write(position, *cut.rows));
  state_.cut_written();
  for (const auto sequence : cut.sequences) {
    state_.settled(sequence);
    const auto* task = state_.peek(sequence);
    if (task != nullptr && (task->finished() || state_.clean_bytes() > options_.ready_bytes_max))
      state_.evict(sequence);
  }
  return {};
}

// The partition's thread has ended its last round: everything goes to the image.
void Partition::save_last() {
  for (const auto& sweep : std::exchange(sweeps_, {})) give_up(*sweep);
  for (auto& waiter : std::exchange(cut_waiters_, {})) waiter.then(false);
  if (state_.cutting()) {
    state_.encode_cut(SIZE_MAX);
    image_->offer(state_.take_cut());
  }
  if (state_.changed()) {
    state_.begin_cut();
    state_.encode_cut(SIZE_MAX);
    image_->offer(state_.take_cut());
  }
  must_commit_ = must_commit_ || !group_.records.empty();
  flush();
}

// Without threads: what `run` does on its way out.
void Partition::drive_to_end() {
  std::vector<Queued> commands;
  std::vector<Command> returned;
  bool stopping = false;
  do {
    while (reader_->step()) {
    }
    stopping = take(commands, returned);
    round(commands, returned);
  } while (!stopping || reads_under_way_ > 0);
  save_last();
}

}  // namespace codeq::services
