// Dead letters: found through the table of retirements, which says of each finished task whether it is dead and whose it is.
#include <algorithm>
#include <utility>

#include "services/partition.h"
#include "services/partition_sweep.h"

namespace codeq::services {

using core::Table;

namespace {

constexpr std::size_t kListingsMax = 64;
// Of one job of the reader: others wait for it.
constexpr std::size_t kRowsPerScan = 8192, kDeadPerScan = 256;
constexpr std::size_t kBytesPerJob = std::size_t{4} << 20;
constexpr std::size_t kTogether = 32, kBytesTogether = std::size_t{1} << 20;  // whole tasks that are read at once
constexpr std::size_t kScansPerPage = 16;
constexpr std::size_t kRedrivenTogether = 64;

// How many tasks to take at once after `last` of them had so many bytes: twice as many while they are small, `most` at most.
std::size_t next_together(std::size_t last, std::size_t bytes, std::size_t most) {
  if (bytes <= kBytesTogether / 2) return std::min(2 * last, most);
  return bytes <= kBytesTogether ? last : std::max<std::size_t>(1, last * kBytesTogether / bytes);
}

// The dead of some queues in order of their retirement, from `from` on; moves it on, to nothing at the end.
Result<std::vector<core::RetireEntry>> scan_some(const storage::Store& store,
                                                 const std::unordered_set<std::uint32_t>& queues, std::int64_t now_ns,
                                                 std::string& from) {
  std::vector<core::RetireEntry> found;
  std::string next;
  std::size_t rows = 0;
  Result<void> outcome;
  CODEQ_TRY_VOID(store.scan(Table::kRetire, from, {}, [&](std::string_view key, std::string_view value) {
    if (++rows > kRowsPerScan || found.size() >= kDeadPerScan) {
      next = key;
      return false;
    }
    auto entry = core::decode_retire(key, value);
    if (!entry) {
      outcome = std::unexpected<Error>(entry.error());
      return false;
    }
    if (entry->dead && entry->retire_ns > now_ns && queues.contains(entry->queue)) found.push_back(*entry);
    return true;
  }));
  CODEQ_TRY_VOID(outcome);
  from = std::move(next);
  return found;
}

bool is_meant(const DeadLetterFilter& filter, const std::string& tenant, const std::string& queue_key,
              const core::Task& task, std::int64_t now_ns) {
  if (task.place != core::Place::kDead || task.retire_ns <= now_ns || task.info->tenant != tenant || !task.result)
    return false;
  if (!filter.command.empty() && core::queue_key(tenant, task.info->command) != queue_key) return false;
  const auto died_ns = task.result->completed_ns;
  return task.error.starts_with(filter.reason_prefix) && (!filter.after_ns || died_ns >= *filter.after_ns) &&
         (!filter.before_ns || died_ns < *filter.before_ns);
}

// Calls `take(entry, task)` for each of them that is meant, as long as that says so and one job may read on. Answers how many
// of the entries are dealt with: what is behind them is for another job.
template <class F>
Result<std::size_t> each_meant(const storage::Store& store, const DeadLetterFilter& filter, const std::string& tenant,
                               std::int64_t now_ns, const std::vector<core::RetireEntry>& entries, F&& take) {
  const auto queue_key = core::queue_key(tenant, filter.command);
  std::size_t from = 0, together = 1;
  for (std::size_t read = 0; from < entries.size() && read < kBytesPerJob;) {
    const auto end = std::min(entries.size(), from + together);
    std::vector<std::string> keys;
    for (auto i = from; i < end; ++i) keys.push_back(core::key_of(entries[i].sequence));
    CODEQ_TRY(const auto bodies, store.get_all(Table::kBody, keys));
    CODEQ_TRY(const auto done, store.get_all(Table::kDone, keys));
    std::size_t bytes = 0;
    for (auto i = from; i < end; ++i) {
      if (bodies[i - from]) bytes += bodies[i - from]->size();
      if (done[i - from]) bytes += done[i - from]->size();
      if (!bodies[i - from] || !done[i - from]) continue;
      core::Task task;
      CODEQ_TRY_VOID(core::decode_body(entries[i].sequence, *bodies[i - from], task, false));
      CODEQ_TRY_VOID(core::decode_done(entries[i].sequence, *done[i - from], task));
      if (is_meant(filter, tenant, queue_key, task, now_ns) && !take(entries[i], task)) return i;
    }
    read += bytes;
    together = next_together(together, bytes, kTogether);
    from = end;
  }
  return from;
}

}  // namespace

std::unordered_set<std::uint32_t> Partition::queues_of(const std::string& tenant, const std::string& command) {
  std::unordered_set<std::uint32_t> mine;
  if (!command.empty()) {
    if (const auto* queue = state_.queue_of(tenant, command)) mine.insert(queue->id);
    return mine;
  }
  state_.each_queue([&](const core::Queue& queue) {
    if (queue.tenant == tenant) mine.insert(queue.id);
  });
  return mine;
}

// ---------------------------------------------------------------- the list

struct Partition::DeadListing {
  std::string tenant;
  DeadLetterFilter filter;
  std::string from;
  std::unordered_set<std::uint32_t> queues;
  std::int64_t now_ns = 0;
  std::size_t scans = 0;
  bool ended = false;
  DeadLetterPage page;
  Done<DeadLetterPage> done;

  Result<void> look(const storage::Store& store) {
    ++scans;
    CODEQ_TRY(auto entries, scan_some(store, queues, now_ns, from));
    ended = from.empty();
    CODEQ_TRY(const auto seen, each_meant(store, filter, tenant, now_ns, entries,
                                          [&](const core::RetireEntry&, const core::Task& task) {
                                            if (page.letters.size() >= filter.limit) return false;
                                            page.letters.push_back({.task = Partition::snapshot(task),
                                                                    .died_ns = task.result->completed_ns});
                                            return true;
                                          }));
    if (seen == entries.size()) return {};
    from = core::retire_key(entries[seen].retire_ns, entries[seen].sequence);
    ended = false;
    return {};
  }
};

void Partition::look_further(std::shared_ptr<DeadListing> listing) {
  read([this, listing = std::move(listing)]() -> Reader::Then {
    auto outcome = listing->look(deps_.store);
    return [this, listing, outcome = std::move(outcome)] {
      if (!outcome) return deps_.on_failure(outcome.error());
      const bool full = listing->ended || listing->page.letters.size() >= listing->filter.limit ||
                        listing->scans >= kScansPerPage || draining_;
      if (!full) return look_further(listing);
      --listings_;
      listing->page.next = listing->ended ? std::string() : listing->from;
      answer([listing]() mutable { listing->done(std::move(listing->page)); });
    };
  });
}

void Partition::list_dead_letters(Caller caller, DeadLetterFilter filter, std::string from, Done<DeadLetterPage> done) {
  post<DeadLetterPage>(Kind::kRead, 512 + filter.reason_prefix.size(), std::move(done),
                       [this, tenant = std::move(caller.tenant), filter = std::move(filter),
                        from = std::move(from)](auto reply) mutable {
                         if (listings_ >= kListingsMax)
                           return answer([reply = std::move(reply)]() mutable {
                             reply(fail(Code::kOverloaded, "overloaded, try again"));
                           });
                         ++listings_;
                         auto listing = std::make_shared<DeadListing>();
                         listing->tenant = std::move(tenant);
                         listing->filter = std::move(filter);
                         listing->from = std::move(from);
                         listing->now_ns = stamp_ns_;
                         listing->done = std::move(reply);
                         listing->queues = queues_of(listing->tenant, listing->filter.command);
                         after_cut([this, listing = std::move(listing)](bool going_on) mutable {
                           if (going_on) return look_further(std::move(listing));
                           --listings_;
                           answer([listing] { listing->done(fail(Code::kUnavailable, "the broker is stopping")); });
                         });
                       });
}

// ---------------------------------------------------------------- redrive and purge

void Partition::start_dead_work(Caller caller, DeadLetterFilter filter, std::unique_ptr<DeadWork> work,
                                Done<DeadLetterOutcome> done) {
  for (const auto& id : filter.ids)
    if (const auto parsed = core::parse_task_id(id); parsed && parsed->partition == options_.partition)
      work->ids.push_back(*parsed);
  std::sort(work->ids.begin(), work->ids.end());
  work->ids.erase(std::unique(work->ids.begin(), work->ids.end()), work->ids.end());
  const auto bytes = 512 + filter.reason_prefix.size() + 64 * filter.ids.size();
  work->caller = std::move(caller);
  work->filter = std::move(filter);
  post<DeadLetterOutcome>(Kind::kRead, bytes, std::move(done), [this, work = std::move(work)](auto reply) mutable {
    if (sweeps_.size() >= kListingsMax)
      return answer([reply = std::move(reply)]() mutable { reply(fail(Code::kOverloaded, "overloaded, try again")); });
    auto sweep = std::make_shared<Sweep>();
    sweep->tenant = work->caller.tenant;
    sweep->limit = work->filter.limit;
    work->done = std::move(reply);
    sweep->dead = std::move(work);
    sweeps_.push_back(std::move(sweep));
  });
}

void Partition::redrive(Caller caller, DeadLetterFilter filter, bool dry_run, std::int64_t rate_per_second,
                        Done<DeadLetterOutcome> done) {
  auto work = std::make_unique<DeadWork>();
  work->redrive = true;
  work->dry_run = dry_run;
  if (rate_per_second > 0) work->spacing_ns = std::max<std::int64_t>(1, kNanosPerSecond / rate_per_second);
  start_dead_work(std::move(caller), std::move(filter), std::move(work), std::move(done));
}

void Partition::purge(Caller caller, DeadLetterFilter filter, bool dry_run, Done<DeadLetterOutcome> done) {
  auto work = std::make_unique<DeadWork>();
  work->dry_run = dry_run;
  start_dead_work(std::move(caller), std::move(filter), std::move(work), std::move(done));
}

// The next stretch of what is meant, as entries of the sweep.
void Partition::scan_dead(std::shared_ptr<Sweep> sweep) {
  auto& work = *sweep->dead;
  if (work.now_ns == 0) {
    work.now_ns = stamp_ns_;
    work.queues = queues_of(sweep->tenant, work.filter.command);
  }
  read([this, sweep = std::move(sweep)]() -> Reader::Then {
    struct Found {
      core::RetireEntry entry;
      std::shared_ptr<const core::TaskInfo> info;  // null: the entry was complete
    };
    auto found = std::make_shared<std::vector<Found>>();
    auto& asked = *sweep->dead;
    bool ended = false;
    const auto look = [&]() -> Result<void> {
      const bool by_id = !asked.filter.ids.empty();
      std::vector<core::RetireEntry> entries;
      if (by_id) {
        const auto end = std::min(asked.ids.size(), sweep->next + kDeadPerScan);
        for (auto i = sweep->next; i < end; ++i) entries.push_back({.sequence = asked.ids[i].sequence});
      } else {
        CODEQ_TRY(entries, scan_some(deps_.store, asked.queues, asked.now_ns, sweep->from));
        ended = sweep->from.empty();
      }
      const auto& filter = asked.filter;
      if (!by_id && filter.reason_prefix.empty() && !filter.after_ns && !filter.before_ns) {
        for (const auto& entry : entries) found->push_back({.entry = entry, .info = nullptr});
        return {};
      }
      CODEQ_TRY(const auto seen, each_meant(deps_.store, filter, sweep->tenant, asked.now_ns, entries,
                                            [&](core::RetireEntry entry, const core::Task& task) {
                                              if (!by_id) {
                                                found->push_back({.entry = entry, .info = nullptr});
                                                return true;
                                              }
                                              const auto& info = *task.info;
                                              if (!std::binary_search(asked.ids.begin(), asked.ids.end(), info.id))
                                                return true;
                                              entry.retire_ns = task.retire_ns;
                                              entry.dead = true;
                                              entry.delivery = task.delivery;
                                              if (!info.idempotency_key.empty())
                                                entry.key = core::key_hash(info.tenant, info.idempotency_key);
                                              found->push_back({.entry = entry, .info = task.info});
                                              return true;
                                            }));
      if (by_id) {
        sweep->next += seen;
        ended = sweep->next == asked.ids.size();
      } else if (seen < entries.size()) {
        sweep->from = core::retire_key(entries[seen].retire_ns, entries[seen].sequence);
        ended = false;
      }
      return {};
    };
    auto outcome = look();
    return [this, sweep, found, ended, outcome = std::move(outcome)] {
      if (!outcome) return deps_.on_failure(outcome.error());
      for (auto& [entry, info] : *found) {
        // An id and a guess at it name the same rows; ids come in order of their sequences.
        if (info != nullptr && !sweep->entries.empty() && sweep->entries.back().sequence == entry.sequence) continue;
        if (info != nullptr) entry.queue = state_.queue_of(info->tenant, info->command)->id;  // it counts the dead one
        if (sweep->entries.size() < sweep->limit)
          sweep->entries.push_back(entry);
        else
          sweep->dead->more = true;
      }
      if (!ended && !sweep->dead->more && !draining_) return scan_dead(sweep);  // others may read in between
      sweep->dead->more = sweep->dead->more || !ended;
      sweep->next = 0;
      sweep->phase = sweep->entries.empty() || sweep->dead->dry_run ? Sweep::Phase::kSaving : Sweep::Phase::kRetiring;
    };
  });
}

bool Partition::redrive_some(const std::shared_ptr<Sweep>& sweep) {
  auto& work = *sweep->dead;
  const auto end = std::min(sweep->entries.size(), sweep->next + work.together);
  // The store first, but only before a batch is read, and at most once for each: others may fill the room as fast as it is made.
  if (work.loaded != end && unsaved_bytes() > options_.unsaved_bytes_max / 2 && !std::exchange(work.caught_up, true)) {
    sweep->phase = Sweep::Phase::kCatchingUp;
    sweep->cut = cuts_begun_ + 1;
    cut_now_ = true;
    return false;
  }
  std::vector<std::uint64_t> sequences;
  bool all_here = true;
  for (auto i = sweep->next; i < end; ++i) {
    sequences.push_back(sweep->entries[i].sequence);
    all_here = all_here && state_.task(sequences.back()) != nullptr;
  }
  if (!all_here && std::exchange(work.loaded, end) != end) {
    sweep->phase = Sweep::Phase::kLoading;
    with_tasks(sequences, [sweep] { sweep->phase = Sweep::Phase::kRetiring; });
    return false;
  }
  work.caught_up = false;
  std::size_t bytes = 0;
  for (const auto sequence : sequences) {
    // Time that was lost is not made up for: that would be a burst.
    const auto visible_ns = std::max(stamp_ns_, work.last_ns + work.spacing_ns);
    // A refusal: its retention ended while it waited for its turn.
    if (const auto effects =
            change(core::RedriveRecord{.time_ns = stamp_ns_,
                                       .sequence = sequence,
                                       .tenant = sweep->tenant,
                                       .visible_ns = work.spacing_ns == 0 ? 0 : visible_ns,
                                       .received_ns = time_.to_record_ns(work.caller.received_steady_ns),
                                       .span = new_span_id(),
                                       .request = work.caller.request})) {
      ++sweep->retired;
      work.last_ns = visible_ns;
      bytes += effects->task->payload->size();
    }
  }
  work.together = next_together(work.together, bytes, kRedrivenTogether);
  sweep->next = end;
  return sweep->next == sweep->entries.size();
}

}  // namespace codeq::services
