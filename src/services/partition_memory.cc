// Which tasks a partition has in memory: what calls need is read, what changed goes to the image, the rest leaves.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "services/partition.h"
#include "services/partition_sweep.h"

namespace codeq::services {

using core::Table;

namespace {

constexpr std::size_t kAhead = 2048;                            // tasks of a queue that are read before their turn
constexpr std::size_t kAheadMin = kAhead / 2;                   // when one of so many is not in memory, all of them are read
constexpr std::size_t kAheadAtOnce = 256;
constexpr std::size_t kAheadBytes = std::size_t{4} << 20;       // or so many bytes of them
constexpr std::size_t kReadSlice = 64;
constexpr std::uint64_t kNeighbours = 32;                       // whose rows a store may keep, and read, together
constexpr std::size_t kEncodedPerRound = 512, kSettledPerRound = 1024;  // or twice what the round has changed
constexpr std::size_t kRetiredPerRound = 1024, kPendingPerRound = 16, kRowsPerScan = 32'768;

std::string key_of_create(const std::string& tenant, const std::string& idempotency_key) {
  return core::queue_key(tenant, {}) + idempotency_key;
}

}  // namespace

// ---------------------------------------------------------------- reading

void Partition::read(Reader::Job job, bool urgent) {
  ++reads_under_way_;
  reader_->read([this, job = std::move(job)]() mutable -> Reader::Then {
    return [this, then = job()]() mutable {
      --reads_under_way_;
      then();
    };
  }, urgent);
}

bool Partition::too_many_fetches(Kind kind) const {
  return waiting_calls_ >= share(kWaitingCallsMax, kind) || waiting_bytes_ > share(options_.inbox_bytes_max, kind);
}

void Partition::with_tasks(const std::vector<std::uint64_t>& sequences, Command then, std::size_t bytes, bool urgent) {
  std::vector<std::uint64_t> cold;
  for (const auto sequence : sequences)
    if (state_.task(sequence) == nullptr && state_.exists_possibly(sequence) && !retired_new_.contains(sequence) &&
        !retired_cut_.contains(sequence))
      cold.push_back(sequence);
  std::sort(cold.begin(), cold.end());
  cold.erase(std::unique(cold.begin(), cold.end()), cold.end());
  if (cold.empty()) return then();
  auto waiting = std::make_shared<Waiting>();
  waiting->missing = cold.size();
  waiting->sequences = sequences;
  waiting->bytes = bytes;
  wait(*waiting, std::move(then));
  std::vector<std::uint64_t> unread;
  for (const auto sequence : cold) {
    auto& fetch = fetching_[sequence];
    if (fetch.waiting.empty() && !fetch.ahead) unread.push_back(sequence);
    fetch.waiting.push_back(waiting);
  }
  if (!unread.empty()) read_rows(std::move(unread), std::make_shared<std::size_t>(SIZE_MAX), urgent);
}

// What a call needs stays in memory while it waits for the rest of it.
void Partition::wait(Waiting& waiting, Command then) {
  ++waiting_calls_;
  waiting_bytes_ += waiting.bytes;
  waiting.then = std::move(then);
  for (const auto sequence : waiting.sequences) ++pins_[sequence];
  for (const auto& key : waiting.keys) ++key_pins_[key];
}

void Partition::serve(Waiting& waiting) {
  --waiting_calls_;
  waiting_bytes_ -= waiting.bytes;
  const auto unpin = [](auto& pins, const auto& what) {
    const auto it = pins.find(what);
    if (--it->second == 0) pins.erase(it);
  };
  for (const auto sequence : waiting.sequences) unpin(pins_, sequence);
  for (const auto& key : waiting.keys) unpin(key_pins_, key);
  waiting.then();
}

// False: somebody waits who needs it.
bool Partition::let_go(std::uint64_t sequence) {
  const auto* task = state_.peek(sequence);
  if (task == nullptr) return true;
  if (pins_.contains(sequence)) return false;
  const auto& info = *task->info;
  if (!info.idempotency_key.empty() && !key_pins_.empty() && key_pins_.contains(key_of_create(info.tenant, info.idempotency_key)))
    return false;
  state_.evict(sequence);
  return true;
}

// Many at once, as neighbours are cheap to read together: nothing while half of what is to be in memory is, or is coming.
void Partition::fetch_ahead(const core::Queue& queue) {
  const auto coming = [this](std::uint64_t sequence) { return fetching_.contains(sequence); };
  std::vector<std::uint64_t> cold;
  state_.cold_heads(queue, kAheadMin, cold);
  if (std::ranges::all_of(cold, coming)) return;
  cold.clear();
  state_.cold_heads(queue, kAhead, cold);
  std::erase_if(cold, coming);
  for (const auto sequence : cold) fetching_[sequence].ahead = true;
  const auto bytes_left = std::make_shared<std::size_t>(kAheadBytes);
  for (auto from = cold.begin(); from != cold.end();) {
    const auto end = cold.end() - from > static_cast<std::ptrdiff_t>(kAheadAtOnce) ? from + kAheadAtOnce : cold.end();
    read_rows({from, end}, bytes_left, false);
    from = end;
  }
}

void Partition::read_rows(std::vector<std::uint64_t> sequences, std::shared_ptr<std::size_t> bytes_left, bool urgent) {
  read([this, sequences = std::move(sequences), bytes_left = std::move(bytes_left)]() -> Reader::Then {
    std::vector<Rows> rows(sequences.size());
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].sequence = sequences[i];
    Result<void> outcome;
    for (std::size_t from = 0, end = 0; from < rows.size() && *bytes_left > 0 && outcome; from = end) {
      end = std::min(from + kReadSlice, rows.size());
      const auto parts_neighbours = [&] {
        return end < rows.size() && rows[end].sequence / kNeighbours == rows[end - 1].sequence / kNeighbours;
      };
      const auto whole = end;
      while (end > from + 1 && parts_neighbours()) --end;
      if (parts_neighbours()) end = whole;
      const auto slice = std::span(rows).subspan(from, end - from);
      outcome = read_slice(deps_.store, slice);
      for (const auto& row : slice) *bytes_left -= std::min(*bytes_left, row.body.size() + row.rest.size());
    }
    return [this, rows = std::move(rows), outcome = std::move(outcome)]() mutable {
      if (!outcome) return deps_.on_failure(outcome.error());
      fetched(std::move(rows));
    };
  }, urgent);
}

Result<void> Partition::read_slice(const storage::Store& store, std::span<Rows> rows) {
  std::vector<std::string> keys;
  for (const auto& row : rows) keys.push_back(core::key_of(row.sequence));
  CODEQ_TRY(auto bodies, store.get_all(Table::kBody, keys));
  std::vector<std::size_t> parted;  // those with a second row
  std::vector<std::string> parted_keys;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& row = rows[i];
    row.read = true;
    if (!bodies[i]) continue;
    row.body = std::move(*bodies[i]);
    if (core::is_whole(row.body)) {
      row.done = row.there = true;
      continue;
    }
    parted.push_back(i);
    parted_keys.push_back(std::move(keys[i]));
  }
  if (parted.empty()) return {};
  CODEQ_TRY(auto live, store.get_all(Table::kLive, parted_keys));
  for (std::size_t i = 0; i < parted.size(); ++i) {
    auto& row = rows[parted[i]];
    if (!live[i]) {
      row.done = true;
      CODEQ_TRY(live[i], store.get(Table::kDone, parted_keys[i]));
    }
    row.there = live[i].has_value();
    if (live[i]) row.rest = std::move(*live[i]);
  }
  return {};
}

void Partition::fetched(std::vector<Rows> rows) {
  std::vector<std::shared_ptr<Waiting>> served;
  std::vector<std::uint64_t> again;
  for (auto& row : rows) {
    const auto it = fetching_.find(row.sequence);
    CHECK(it != fetching_.end());
    auto& fetch = it->second;
    if (!row.read) {  // the bytes were enough before its turn
      fetch.ahead = false;
      if (fetch.waiting.empty())
        fetching_.erase(it);
      else
        again.push_back(row.sequence);
      continue;
    }
    if (row.there && !fetch.retired) {
      if (auto loaded = state_.load(row.sequence, row.body, row.rest, row.done); !loaded)
        return deps_.on_failure(loaded.error());
      if (fetch.ahead)
        read_ahead_.push_back(row.sequence);
      else
        visitors_.push_back(row.sequence);
    }
    for (auto& waiting : fetch.waiting)
      if (--waiting->missing == 0) served.push_back(std::move(waiting));
    fetching_.erase(it);
  }
  if (!again.empty()) read_rows(std::move(again), std::make_shared<std::size_t>(SIZE_MAX), true);
  for (auto& waiting : served) serve(*waiting);
}

// The tasks that hold these idempotency keys. A key is looked up once at a time, so nobody else creates under it meanwhile.
void Partition::with_holders(std::vector<std::pair<std::string, std::string>> keys, std::size_t bytes, Command then) {
  auto waiting = std::make_shared<Waiting>();
  waiting->bytes = bytes;
  std::vector<std::pair<std::string, std::string>> unread;
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (auto& key : keys) {
    waiting->keys.push_back(key_of_create(key.first, key.second));
    if (state_.holder(key.first, key.second) != nullptr) continue;
    auto& others = fetching_keys_[waiting->keys.back()];
    others.push_back(waiting);
    ++waiting->missing;
    if (others.size() == 1) unread.push_back(std::move(key));
  }
  if (waiting->missing == 0) return then();
  wait(*waiting, std::move(then));
  if (unread.empty()) return;
  read([this, unread = std::move(unread)]() -> Reader::Then {
    std::vector<std::uint64_t> holders(unread.size());
    Result<void> outcome;
    for (std::size_t i = 0; i < unread.size() && outcome; ++i)
      outcome = find_holder(deps_.store, unread[i].first, unread[i].second, holders[i]);
    return [this, unread, holders = std::move(holders), outcome = std::move(outcome)]() mutable {
      if (!outcome) return deps_.on_failure(outcome.error());
      std::vector<std::uint64_t> tasks;
      for (const auto holder : holders)
        if (holder != 0) tasks.push_back(holder);
      with_tasks(tasks, [this, unread = std::move(unread), holders = std::move(holders)] {
        std::vector<std::shared_ptr<Waiting>> served;
        for (std::size_t i = 0; i < unread.size(); ++i) {
          if (const auto* task = state_.task(holders[i]); task != nullptr && holders[i] != 0) state_.hold(*task);
          auto others = fetching_keys_.extract(key_of_create(unread[i].first, unread[i].second));
          for (auto& other : others.mapped())
            if (--other->missing == 0) served.push_back(std::move(other));
        }
        for (auto& other : served) serve(*other);
      });
    };
  });
}

// The newest row of that key decides; rows of other keys with the same hash, and of those that are over, are older or foreign.
Result<void> Partition::find_holder(const storage::Store& store, const std::string& tenant, const std::string& key,
                                    std::uint64_t& holder) {
  const auto hash = core::key_hash(tenant, key);
  std::vector<std::uint64_t> candidates;
  CODEQ_TRY_VOID(store.scan(Table::kKey, core::idempotency_row_key(hash, 0), core::idempotency_row_key(hash, UINT64_MAX),
                            [&](std::string_view row, std::string_view) {
                              candidates.push_back(core::number_at(row, hash.size()));
                              return true;
                            }));
  for (auto it = candidates.rbegin(); it != candidates.rend(); ++it) {
    CODEQ_TRY(const auto body, store.get(Table::kBody, core::key_of(*it)));
    if (!body) continue;
    core::Task task;
    CODEQ_TRY_VOID(core::decode_body(*it, *body, task));
    if (task.info->tenant != tenant || task.info->idempotency_key != key) continue;
    holder = *it;
    return {};
  }
  return {};
}

// Before its turn, those ahead of it would have taken all the memory there is for tasks in line.
bool Partition::far_from_its_turn(const core::Task& task) const {
  if (task.place != core::Place::kReady || task.counted_bytes == 0) return false;
  const auto line = task.queue->ready[static_cast<std::size_t>(task.info->priority)].size();
  const auto behind = state_.records() - task.ready_position;  // at most
  return line > behind && (line - behind) > options_.ready_bytes_max / task.counted_bytes;
}

void Partition::keep_memory_small() {
  if (visitors_.empty() && read_ahead_.empty()) return;
  std::erase_if(visitors_, [this](std::uint64_t sequence) { return let_go(sequence); });
  while (!read_ahead_.empty()) {
    const auto* task = state_.peek(read_ahead_.front());
    const bool waits = task != nullptr && task->counted_bytes != 0;
    if (waits && state_.clean_bytes() <= options_.ready_bytes_max) break;
    if (waits && !let_go(read_ahead_.front())) visitors_.push_back(read_ahead_.front());
    read_ahead_.pop_front();
  }
  if (read_ahead_.size() <= 2 * state_.tasks_in_memory() + 1024) return;
  std::unordered_set<std::uint64_t> kept;  // most of it has gone, or stands there twice
  std::erase_if(read_ahead_, [&](std::uint64_t sequence) {
    return state_.peek(sequence) == nullptr || !kept.insert(sequence).second;
  });
}

MemoryStats Partition::memory() const {
  return {.unsaved_bytes = unsaved_seen_, .ready_bytes = ready_seen_, .queue_bytes = queue_seen_, .tasks = tasks_seen_};
}

const char* Partition::no_room() const {
  if (unsaved_bytes() > options_.unsaved_bytes_max) return "the store is behind, try again";
  if (state_.queue_bytes() > options_.queue_bytes_max) return "too many tasks are waiting";
  return nullptr;
}

// ---------------------------------------------------------------- the image

void Partition::begin_cut() {
  changed_since_ns_ = 0;
  cut_now_ = false;
  cut_bytes_ = state_.dirty_bytes();
  state_.begin_cut();
  ++cuts_begun_;
  retired_cut_ = std::exchange(retired_new_, {});
  retire_cut_ns_ = std::exchange(retire_new_ns_, INT64_MAX);
  must_commit_ = must_commit_ || !group_.records.empty();  // the image waits for every record that the cut reflects
}

void Partition::drive_cut() {
  if (!state_.cutting()) {
    if (cut_offered_ || !(state_.changed() || cut_now_)) return;
    const auto now = deps_.clock.steady_ns();
    if (changed_since_ns_ == 0) changed_since_ns_ = now;
    if (!cut_now_ && state_.dirty_bytes() < options_.cut_bytes && now - changed_since_ns_ < cut_delay_ns())
      return;
    begin_cut();
  }
  if (!state_.encode_cut(std::max(kEncodedPerRound, 2 * changes_of_round()))) return;
  cut_offered_ = true;
  image_->offer(state_.take_cut());
}

// Lets go of what the image has written, a little in each round.
void Partition::settle() {
  if (!settling_) return;
  // Thousands of rows: their memory is given back by the thread that has written them.
  if (auto rows = state_.cut_written()) image_->run_between([rows = std::move(rows)] {});
  for (auto left = std::max(kSettledPerRound, 2 * changes_of_round()); left > 0 && settled_ < to_settle_.size(); --left) {
    const auto sequence = to_settle_[settled_++];
    state_.settled(sequence);
    const auto* task = state_.peek(sequence);
    if (task == nullptr) continue;
    // Many rows at once have just gone through the caches: what is to leave leaves while it is in them.
    if (task->finished() || state_.clean_bytes() > options_.ready_bytes_max || far_from_its_turn(*task)) {
      if (!let_go(sequence) || state_.peek(sequence) != nullptr) visitors_.push_back(sequence);
    } else {
      read_ahead_.push_back(sequence);
    }
  }
  if (settled_ < to_settle_.size()) return;
  to_settle_ = {};
  settled_ = 0;
  settling_ = cut_offered_ = false;
  cut_bytes_ = 0;
  ++cuts_settled_;
  retired_cut_ = {};
  retire_due_ns_ = std::min(retire_due_ns_, std::exchange(retire_cut_ns_, INT64_MAX));
  run_cut_waiters();
}

// ---------------------------------------------------------------- retention

bool Partition::sweep_has_work() const {
  if (sweeps_.empty()) return false;
  const auto phase = sweeps_.front()->phase;
  return phase == Sweep::Phase::kNew || phase == Sweep::Phase::kRetiring;
}

void Partition::sweep() {
  // Whatever else people have asked for, retention gets its turn.
  const auto regular_pass = [](const auto& one) { return !one->done && !one->dead; };
  if (retire_due_ns_ <= stamp_ns_ && std::none_of(sweeps_.begin(), sweeps_.end(), regular_pass)) {
    retire_due_ns_ = INT64_MAX;
    auto regular = std::make_shared<Sweep>();
    regular->before_ns = stamp_ns_;
    sweeps_.push_back(std::move(regular));
  }
  if (sweeps_.empty()) return;
  auto& sweep = *sweeps_.front();
  if (sweep.phase == Sweep::Phase::kNew) {
    // A cleanup is asked for by somebody who knows what has finished, so the store has to know it too. And after a start
    // the store may still show what the replayed log has retired.
    const bool catch_up = sweep.done.has_value() || sweep.dead != nullptr || !swept_;
    swept_ = true;
    sweep.cut = catch_up ? cuts_begun_ + 1 : 0;
    cut_now_ = cut_now_ || catch_up;
    sweep.phase = Sweep::Phase::kCutting;
  }
  if (sweep.phase == Sweep::Phase::kCutting && cuts_settled_ >= sweep.cut) {
    sweep.phase = Sweep::Phase::kScanning;
    if (sweep.dead)
      scan_dead(sweeps_.front());
    else
      scan_retirements(sweeps_.front());
  }
  if (sweep.phase == Sweep::Phase::kCatchingUp && cuts_settled_ >= sweep.cut) sweep.phase = Sweep::Phase::kRetiring;
  if (sweep.phase == Sweep::Phase::kRetiring && sweep.dead && sweep.dead->redrive) {
    if (!redrive_some(sweeps_.front())) return;
    sweep.phase = Sweep::Phase::kSaving;
    sweep.cut = cuts_begun_ + 1;
    cut_now_ = true;
  }
  if (sweep.phase == Sweep::Phase::kRetiring) {
    core::RetireBatchRecord batch{.time_ns = stamp_ns_, .entries = {}};
    // Those whose webhook is still to be delivered are needed as a whole: few at once.
    auto end = sweep.next;
    for (std::size_t pending = 0; end < sweep.entries.size() && end < sweep.next + kRetiredPerRound; ++end) {
      const auto* delivery = state_.delivery(sweep.entries[end].delivery);
      if (delivery != nullptr && !delivery->failed && ++pending > kPendingPerRound) break;
    }
    batch.entries.assign(sweep.entries.begin() + static_cast<std::ptrdiff_t>(sweep.next),
                         sweep.entries.begin() + static_cast<std::ptrdiff_t>(end));
    std::vector<std::uint64_t> names;
    state_.names(batch, names);
    const bool all_here =
        std::all_of(names.begin(), names.end(), [this](auto sequence) { return state_.task(sequence) != nullptr; });
    if (!all_here) {
      sweep.phase = Sweep::Phase::kLoading;
      return with_tasks(names, [sweep = sweeps_.front()] { sweep->phase = Sweep::Phase::kRetiring; });
    }
    sweep.next = end;
    for (const auto& entry : batch.entries) {
      const auto* delivery = state_.delivery(entry.delivery);
      if (delivery != nullptr && !delivery->failed) {  // stays for another minute
        retire_new_ns_ = std::min(retire_new_ns_, stamp_ns_ + 60 * kNanosPerSecond);
        continue;
      }
      retired_new_.insert(entry.sequence);
      if (const auto it = fetching_.find(entry.sequence); it != fetching_.end()) it->second.retired = true;
    }
    const auto effects = change(batch);
    CHECK(effects.has_value());
    sweep.retired += effects->retired;
    if (sweep.next < sweep.entries.size()) return;
    sweep.phase = Sweep::Phase::kSaving;
    sweep.cut = cuts_begun_ + 1;
    cut_now_ = true;
  }
  if (sweep.phase == Sweep::Phase::kSaving && cuts_settled_ >= sweep.cut) {
    retire_due_ns_ = std::min(retire_due_ns_, sweep.due_ns);
    const auto ended = std::move(sweeps_.front());
    sweeps_.erase(sweeps_.begin());
    if (ended->done)
      answer([done = std::move(*ended->done), retired = ended->retired]() mutable { done(std::size_t{retired}); });
    if (ended->dead)
      answer([done = std::move(ended->dead->done), outcome = DeadLetterOutcome{.matched = ended->entries.size(),
                                                                              .changed = ended->retired,
                                                                              .more = ended->dead->more}]() mutable {
        done(outcome);
      });
  }
}

void Partition::scan_retirements(std::shared_ptr<Sweep> sweep) {
  // A tenant's queues, by id: entries name the queue only.
  std::unordered_set<std::uint32_t> mine;
  if (!sweep->tenant.empty())
    state_.each_queue([&](const core::Queue& queue) {
      if (queue.tenant == sweep->tenant) mine.insert(queue.id);
    });
  read([this, sweep = std::move(sweep), mine = std::move(mine)]() -> Reader::Then {
    std::size_t rows = 0;
    bool enough = false;
    Result<void> outcome;
    auto scanned = deps_.store.scan(Table::kRetire, sweep->from, {}, [&](std::string_view key, std::string_view value) {
      auto entry = core::decode_retire(key, value);
      if (!entry) {
        outcome = std::unexpected<Error>(entry.error());
        return false;
      }
      if (entry->retire_ns > sweep->before_ns || sweep->entries.size() >= sweep->limit) {
        sweep->due_ns = entry->retire_ns;
        enough = true;
        return false;
      }
      if (++rows > kRowsPerScan) {
        sweep->from = key;
        return false;
      }
      if (sweep->tenant.empty() || mine.contains(entry->queue)) sweep->entries.push_back(*entry);
      return true;
    });
    if (!scanned) outcome = std::move(scanned);
    const bool ended = enough || rows <= kRowsPerScan;
    return [this, sweep, ended, outcome = std::move(outcome)] {
      if (!outcome) return deps_.on_failure(outcome.error());
      if (!ended) return scan_retirements(sweep);  // others may read in between
      if (!sweep->tenant.empty()) sweep->due_ns = 0;  // it looked at one tenant only; the next regular pass looks at all
      sweep->phase = sweep->entries.empty() ? Sweep::Phase::kSaving : Sweep::Phase::kRetiring;
    };
  });
}

void Partition::give_up(Sweep& sweep) {
  if (sweep.dead)
    answer([done = std::move(sweep.dead->done)]() mutable { done(fail(Code::kUnavailable, "the broker is stopping")); });
  if (sweep.done)
    answer([done = std::move(*sweep.done)]() mutable { done(fail(Code::kUnavailable, "the broker is stopping")); });
}

void Partition::cleanup(Caller caller, std::int64_t before_ns, std::size_t limit, Done<std::size_t> done) {
  post<std::size_t>(Kind::kRead, 256, std::move(done),
                    [this, tenant = std::move(caller.tenant), before_ns, limit](auto reply) mutable {
                      auto sweep = std::make_shared<Sweep>();
                      sweep->before_ns = before_ns;
                      sweep->limit = limit;
                      sweep->tenant = std::move(tenant);
                      sweep->done = std::move(reply);
                      sweeps_.push_back(std::move(sweep));
                    });
}

}  // namespace codeq::services
