// The state as rows: which tasks are in memory, what changed since the last image, and the way back from rows.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/plant.h"
#include "core/codec.h"
#include "core/state.h"

namespace codeq::core {
namespace {

constexpr std::uint8_t kVersion = 1;
// A mark says where a packed task's row is: in `packed_`, or in the rows of a cut; the index counts from 1.
constexpr std::uint32_t kInCut = 1U << 31U, kOddCut = 1U << 30U, kMarkIndex = kOddCut - 1;
constexpr std::uint8_t kPausedQueue = 2;  // version of a queue's row with what only a paused one has

std::string joined(std::string_view a, std::string_view b) {
  std::string key;
  key.reserve(a.size() + 1 + b.size());
  key.append(a).push_back('\0');
  key.append(b);
  return key;
}

// About what it takes in memory, strings and allocator included.
std::size_t bytes_of(const Task& task) {
  const auto& info = *task.info;
  return sizeof(Task) + sizeof(TaskInfo) + 160 + info.tenant.size() + info.command.size() + info.webhook.size() +
         info.trace.tracestate.size() + info.trace.baggage.size() + (task.payload ? task.payload->size() : 0) +
         (task.result ? task.result->result_json.size() + sizeof(TaskResult) : 0) + task.error.size() +
         task.timeline.kept() * sizeof(Event);
}

std::unexpected<Error> damaged(const char* what) {
  return fail(Code::kCorrupt, std::string("a row of the store cannot be read: ") + what);
}

}  // namespace

// ---------------------------------------------------------------- in memory or not

void State::names(const Record& record, std::vector<std::uint64_t>& sequences) const {
  std::visit(
      [&](const auto& r) {
        if constexpr (requires { r.owner; }) {
          sequences.push_back(r.owner.sequence);
        } else if constexpr (requires { r.sequence; }) {
          sequences.push_back(r.sequence);
        } else if constexpr (requires { r.delivery_id; }) {
          if (const auto* known = delivery(r.delivery_id)) sequences.push_back(known->sequence);
        } else if constexpr (requires { r.entries; }) {
          for (const auto& entry : r.entries)
            if (const auto* known = delivery(entry.delivery); known != nullptr && !known->failed)
              sequences.push_back(entry.sequence);
        }
      },
      record);
}

Queue* State::queue_of(std::string_view tenant, std::string_view command) const {
  if (seen_queue_ != nullptr && seen_queue_->tenant == tenant &&
      (seen_queue_->label == command || seen_queue_->command == command))
    return seen_queue_;
  const auto it = queues_.find(queue_key(tenant, command));
  return it == queues_.end() ? nullptr : seen_queue_ = it->second.get();
}

Queue* State::queue_by_id(std::uint32_t id) {
  const auto it = queues_by_id_.find(id);
  return it == queues_by_id_.end() ? nullptr : it->second;
}

Task* State::holder(const std::string& tenant, const std::string& idempotency_key) {
  const auto it = keys_.find(joined(tenant, idempotency_key));
  return it == keys_.end() ? nullptr : task(it->second);
}

void State::hold(const Task& task) { keys_[joined(task.info->tenant, task.info->idempotency_key)] = task.info->id.sequence; }

void State::cold_heads(const Queue& queue, std::size_t count, std::vector<std::uint64_t>& sequences) const {
  for (auto level = queue.ready.rbegin(); level != queue.ready.rend() && count > 0; ++level) {
    level->each_first(count, [&](std::uint64_t sequence) {
      if (tasks_.find(sequence) == nullptr) sequences.push_back(sequence);
    });
    count -= std::min(count, level->size());
  }
}

Result<Task*> State::load(std::uint64_t sequence, std::string_view body, std::string_view rest, bool done) {
  CHECK(tasks_.find(sequence) == nullptr);
  auto loaded = std::make_unique<Task>();
  CODEQ_TRY_VOID(decode_body(sequence, body, *loaded));
  if (!loaded->whole) {
    CODEQ_TRY_VOID(done ? decode_done(sequence, rest, *loaded) : decode_live(sequence, rest, *loaded));
  }
  auto& task = *loaded;
  task.body_written = true;
  if (planted(Plant::kLostSpanContext)) task.claim_span = {};
  task.queue = queue_of(task.info->tenant, task.info->command);
  if (task.queue == nullptr) return damaged("a task without its queue");
  if (restoring_)
    for (const auto& open : open_)
      if (open.sequence == sequence) ++task.open_events;
  tasks_.insert(sequence, std::move(loaded));
  count_clean(task);
  return &task;
}

bool State::evictable(const Task& task) const {
  return task.dirty_in == 0 && !task.in_cut && task.open_events == 0;
}

bool State::evict(std::uint64_t sequence) {
  const auto* found = tasks_.find(sequence);
  if (found == nullptr || !evictable(*found)) return false;
  const auto& task = *found;
  clean_bytes_ -= task.counted_bytes;
  if (!task.info->idempotency_key.empty())
    if (const auto key = keys_.find(joined(task.info->tenant, task.info->idempotency_key));
        key != keys_.end() && key->second == sequence)
      keys_.erase(key);
  tasks_.erase(sequence);
  return true;
}

void State::count_clean(Task& task) {
  if (task.counted_bytes != 0 || !evictable(task)) return;
  task.counted_bytes = bytes_of(task);
  clean_bytes_ += task.counted_bytes;
}

// ---------------------------------------------------------------- what changed

void State::touch(Task& task) {
  if (task.dirty_in == cut_number_) return;
  if (task.dirty_in != 0) encode(task);  // the cut under way has it as it was until now
  clean_bytes_ -= std::exchange(task.counted_bytes, 0);
  task.dirty_in = cut_number_;
  dirty_.push_back(task.info->id.sequence);
  task.dirty_bytes = bytes_of(task) + 2 * sizeof(Event);
  dirty_bytes_ += task.dirty_bytes;
}

void State::put(Table table, std::string key, std::string value) {
  dirty_bytes_ += sizeof(Row) + key.size() + value.size();
  changes_.push_back({.table = table, .op = Row::Op::kPut, .key = std::move(key), .value = std::move(value)});
}

void State::erase(Table table, std::string key) {
  dirty_bytes_ += sizeof(Row) + key.size();
  changes_.push_back({.table = table, .op = Row::Op::kErase, .key = std::move(key), .value = {}});
}

void State::put_delivery(std::uint64_t id) {
  put(Table::kOutbox, key_of(id), encode_delivery(deliveries_.at(id)));
}

void State::mark_changed(Queue& queue) {
  if (std::exchange(queue.changed, true)) return;
  changed_queues_.push_back(queue.id);
}

void State::encode(Task& task) {
  const auto key = key_of(task.info->id.sequence);
  auto& rows = *cut_.rows;
  if (!std::exchange(task.body_written, true) || task.whole)
    rows.push_back({.table = Table::kBody, .op = Row::Op::kPut, .key = key, .value = encode_body(task)});
  if (task.whole) {
    // that was all
  } else if (task.finished()) {
    if (const auto writes = std::exchange(task.live_writes, 0); writes > 0)
      rows.push_back({.table = Table::kLive,
                      .op = writes == 1 ? Row::Op::kEraseOnce : Row::Op::kErase,
                      .key = key,
                      .value = {}});
    rows.push_back({.table = Table::kDone, .op = Row::Op::kPut, .key = key, .value = encode_done(task)});
  } else {
    ++task.live_writes;
    rows.push_back({.table = Table::kLive, .op = Row::Op::kPut, .key = key, .value = encode_live(task)});
  }
  cut_.sequences.push_back(task.info->id.sequence);
  task.dirty_in = 0;
  task.in_cut = true;
}

void State::begin_cut() {
  CHECK(!cutting_ && to_encode_.empty());
  cutting_ = true;
  ++cut_number_;
  cut_ = {.records = records_, .sequences = {}};
  auto& rows = *cut_.rows;
  rows = std::exchange(changes_, {});
  to_encode_ = std::exchange(dirty_, {});
  std::sort(to_encode_.begin(), to_encode_.end());  // so that most rows go in behind the last one of their table
  encoded_ = 0;
  dirty_bytes_ = 0;
  for (const auto id : std::exchange(changed_queues_, {})) {
    auto* queue = queue_by_id(id);
    if (queue == nullptr) {
      rows.push_back({.table = Table::kQueue, .op = Row::Op::kErase, .key = queue_row_key(id), .value = {}});
      continue;
    }
    queue->changed = false;
    std::string value;
    Writer io(value);
    const bool paused = queue->paused && !planted(Plant::kForgottenPause);
    io(paused ? kPausedQueue : kVersion);
    io(queue->tenant);
    io(queue->command);
    io(queue->label);
    io(queue->finished);
    io(queue->dead);
    if (paused) io(paused);
    io.end();
    rows.push_back({.table = Table::kQueue, .op = Row::Op::kPut, .key = queue_row_key(id), .value = std::move(value)});
  }
  rows.push_back({.table = Table::kMeta, .op = Row::Op::kPut, .key = kStateKey, .value = encode_meta()});
  auto packed = std::exchange(packed_, {});
  if (packed.empty()) return;
  packed_.reserve(packed.size());  // the next one will be about as large
  std::sort(packed.begin(), packed.end(), [](const Packed& a, const Packed& b) { return a.sequence < b.sequence; });
  auto& kept = cut_rows_[(cut_number_ - 1) % 2];
  CHECK(kept == nullptr);
  kept = cut_.rows;
  rows.reserve(rows.size() + packed.size() + to_encode_.size());
  for (auto& one : packed) {
    if (one.row.empty()) continue;
    rows.push_back({.table = Table::kBody, .op = Row::Op::kPut, .key = key_of(one.sequence), .value = std::move(one.row)});
    cut_.sequences.push_back(one.sequence);
    tasks_.mark(one.sequence, kInCut | ((cut_number_ - 1) % 2 != 0 ? kOddCut : 0) | static_cast<std::uint32_t>(rows.size()));
  }
}

bool State::encode_cut(std::size_t tasks) {
  for (; tasks > 0 && encoded_ < to_encode_.size(); --tasks, ++encoded_) {
    auto* found = tasks_.find(to_encode_[encoded_]);
    // Gone, kept as its row, or changed meanwhile: then it was encoded just before.
    if (found != nullptr && found->dirty_in != 0 && found->dirty_in != cut_number_) encode(*found);
  }
  return encoded_ == to_encode_.size();
}

Cut State::take_cut() {
  CHECK(cutting_ && encoded_ == to_encode_.size());
  cutting_ = false;
  to_encode_ = {};
  return std::exchange(cut_, {});
}

std::shared_ptr<const std::vector<Row>> State::cut_written() {
  std::shared_ptr<const std::vector<Row>> written;
  for (auto& rows : cut_rows_)
    if (rows != nullptr && rows != cut_.rows) written = std::exchange(rows, nullptr);
  return written;
}

void State::settled(std::uint64_t sequence) {
  auto* found = tasks_.find(sequence);
  if (found == nullptr) {
    if ((tasks_.mark_of(sequence) & kInCut) != 0) tasks_.erase(sequence);
    return;
  }
  found->in_cut = false;
  count_clean(*found);
}

// ---------------------------------------------------------------- ended tasks as their rows

bool State::can_pack(const Task& task) const {
  return task.whole && !task.body_written && !task.in_cut && task.open_events == 0 && task.dirty_in == cut_number_ &&
         task.info->idempotency_key.empty() && packed_.size() < kInCut;
}

void State::pack(Task& task) {
  const auto sequence = task.info->id.sequence;
  auto& row = packed_.emplace_back(Packed{.sequence = sequence, .row = encode_body(task)}).row;
  dirty_bytes_ += sizeof(Row) + sizeof(Packed) + row.size();
  dirty_bytes_ -= std::min(task.dirty_bytes, dirty_bytes_);
  tasks_.mark(sequence, static_cast<std::uint32_t>(packed_.size()));
}

const std::string* State::packed_row(std::uint32_t mark) const {
  if ((mark & kInCut) == 0) return &packed_[mark - 1].row;
  const auto& rows = cut_rows_[(mark & kOddCut) != 0 ? 1 : 0];
  return rows == nullptr ? nullptr : &(*rows)[(mark & kMarkIndex) - 1].value;
}

Task* State::unpack(std::uint64_t sequence) {
  const auto mark = tasks_.mark_of(sequence);
  const auto* row = mark == 0 ? nullptr : packed_row(mark);
  if (row == nullptr) return nullptr;
  auto loaded = load(sequence, *row, {}, true);
  CHECK(loaded.has_value());  // we have written it
  auto& task = **loaded;
  if ((mark & kInCut) != 0) {
    clean_bytes_ -= std::exchange(task.counted_bytes, 0);
    task.in_cut = true;
    return &task;
  }
  // As it was when it was packed: changed, for the next cut to encode.
  packed_[mark - 1].row = {};
  task.body_written = false;
  touch(task);
  return &task;
}

// ---------------------------------------------------------------- the scalars, and the way back

std::string State::encode_meta() const {
  std::string out;
  Writer io(out);
  io(kVersion);
  io(last_sequence_);
  io(records_);
  io(last_time_ns_);
  io(clock_.time_ns);
  io(clock_.steady_ns);
  io(clock_.boot_id);
  io(last_queue_id_);
  io(std::uint64_t{open_.size()});
  for (const auto& open : open_) {
    io(open.record);
    io(open.sequence);
    io(open.ordinal);
    io(open.claim);
    io(open.span.bytes);
  }
  io.end();
  return out;
}

Result<void> State::restore_meta(std::string_view value) {
  CHECK(records_ == 0);
  restoring_ = true;
  Reader io(value);
  std::uint8_t version = 0;
  std::uint64_t open_count = 0;
  io(version);
  io(last_sequence_);
  io(records_);
  io(last_time_ns_);
  io(clock_.time_ns);
  io(clock_.steady_ns);
  io(clock_.boot_id);
  io(last_queue_id_);
  io(open_count);
  if (open_count > io.left()) io.fail();
  for (std::uint64_t i = 0; io.ok() && i < open_count; ++i) {
    auto& open = open_.emplace_back();
    io(open.record);
    io(open.sequence);
    io(open.ordinal);
    io(open.claim);
    io(open.span.bytes);
  }
  if (!io.ok() || !io.at_end() || version != kVersion) return damaged("table meta, state");
  return {};
}

Result<void> State::restore_queue(std::string_view key, std::string_view value) {
  auto queue = std::make_unique<Queue>();
  Reader io(value);
  std::uint8_t version = 0;
  io(version);
  io(queue->tenant);
  io(queue->command);
  io(queue->label);
  io(queue->finished);
  io(queue->dead);
  if (version == kPausedQueue) io(queue->paused);
  if (!io.ok() || !io.at_end() || version < kVersion || version > kPausedQueue || key.size() != 4)
    return damaged("table queue");
  queue->id = static_cast<std::uint32_t>(number_at(std::string(4, '\0') + std::string(key), 0));
  queues_by_id_[queue->id] = queue.get();
  auto text = queue_key(queue->tenant, queue->command);
  if (const auto topic = topics_.find(text); topic != topics_.end()) queue->topic = &topic->second;
  seen_queue_ = nullptr;
  queues_[std::move(text)] = std::move(queue);
  return {};
}

Result<void> State::restore_live(std::uint64_t sequence, const LiveHead& head) {
  auto* queue = queue_by_id(head.queue);
  if (queue == nullptr) return damaged("table live: a task without its queue");
  switch (static_cast<Place>(head.place)) {
    case Place::kReady: {
      auto& level = queue->ready[static_cast<std::size_t>(head.priority)];
      auto& line = restored_[&level];
      if (!line.positions.empty() && head.ready_position < line.positions.back()) line.in_order = false;
      line.positions.push_back(head.ready_position);
      level.push_back(sequence);
      count_ready(*queue);
      break;
    }
    case Place::kDelayed:
      delayed_.push(head.due_ns, sequence);
      ++queue->delayed;
      break;
    case Place::kLeased: {
      auto& line = restored_[&queue->ready[static_cast<std::size_t>(head.priority)]];
      line.leased_to = std::max(line.leased_to, head.ready_position);
      ++queue->in_progress;
      count_holder(*queue, head.worker);
      leases_.insert({head.due_ns, sequence});
      break;
    }
    default: return damaged("table live: a finished task");
  }
  return {};
}

Result<void> State::restore_delivery(std::uint64_t id, std::string_view value) {
  Delivery delivery;
  CODEQ_TRY_VOID(decode_delivery(id, value, delivery));
  deliveries_of_[delivery.tenant].insert(id);
  deliveries_[id] = std::move(delivery);
  return {};
}

std::vector<std::uint64_t> State::restore_needs() const {
  std::vector<std::uint64_t> needs;
  for (const auto& open : open_) needs.push_back(open.sequence);
  std::sort(needs.begin(), needs.end());
  needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
  return needs;
}

Result<void> State::restore_end() {
  restoring_ = false;
  for (auto& [level, line] : restored_) {
    if (line.positions.empty()) continue;
    const auto first = *std::min_element(line.positions.begin(), line.positions.end());
    if (line.in_order && first > line.leased_to) continue;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    places.reserve(line.positions.size());
    std::size_t at = 0;
    level->each([&](std::uint64_t sequence) { places.emplace_back(line.positions[at++], sequence); });
    line.positions = {};
    std::sort(places.begin(), places.end());
    *level = {};
    for (const auto& [position, sequence] : places) {
      if (position < line.leased_to)  // it was given back, and so may be one that is leased, between these
        level->give_back(position, sequence);
      else
        level->push_back(sequence);
    }
  }
  restored_ = {};
  return {};
}

}  // namespace codeq::core
