// Lists of tasks: no index is kept for them. The reader goes through the rows by sequence, newest first, a bounded stretch at
// a time, once the store shows what was changed before the call.
#include <algorithm>
#include <utility>

#include "services/partition.h"

namespace codeq::services {

using core::Table;

namespace {

constexpr std::size_t kListingsMax = 64;  // under way at once
constexpr std::uint64_t kWindowMin = 8, kWindow = 256;  // sequences of one look
constexpr std::size_t kRowsPerLook = 512;
constexpr std::size_t kBytesPerLook = std::size_t{8} << 20;
constexpr std::size_t kRowsPerPage = 4096, kLooksPerPage = 64;
constexpr std::size_t kBytesPerPage = std::size_t{32} << 20;

TaskState state_of(const core::Task& task) {
  switch (task.place) {
    case core::Place::kReady: return TaskState::kReady;
    case core::Place::kDelayed: return TaskState::kDelayed;
    case core::Place::kLeased: return TaskState::kLeased;
    case core::Place::kDead: return TaskState::kDead;
    case core::Place::kDone: break;
  }
  return task.status == core::Status::kCompleted ? TaskState::kCompleted : TaskState::kFailed;
}

}  // namespace

struct Partition::Listing {
  TaskFilter ask;
  std::string tenant;
  std::string queue_key;  // of the command that is asked for
  std::int64_t now_ns = 0;
  Done<TaskPage> done;

  // --- the reader's while a look is under way ---
  std::uint64_t below = 0;  // what is still to be looked at
  std::uint64_t window = kWindow;
  std::size_t rows = 0, bytes = 0, looks = 0;
  bool searched = false, ended = false;
  TaskPage page;

  [[nodiscard]] bool full() const {
    return ended || page.tasks.size() >= ask.limit || rows >= kRowsPerPage || bytes >= kBytesPerPage ||
           looks >= kLooksPerPage;
  }
  Result<void> look(const storage::Store& store);
  // Sequences below the answer were created before `ask.created_before_ns`; times rise with sequences.
  Result<void> search(const storage::Store& store);

 private:
  [[nodiscard]] bool head_fits(const core::Task& task) const;
  // False: it is not a task any more.
  Result<bool> read_rest(const storage::Store& store, std::uint64_t sequence, core::Task& task);
};

bool Partition::Listing::head_fits(const core::Task& task) const {
  const auto& info = *task.info;
  if (info.tenant != tenant) return false;
  if (!ask.command.empty() && core::queue_key(info.tenant, info.command) != queue_key) return false;
  if (ask.trace_id.valid() && info.timeline_trace_id != ask.trace_id && info.trace.span.trace_id != ask.trace_id)
    return false;
  return true;
}

Result<void> Partition::Listing::search(const storage::Store& store) {
  searched = true;
  if (!ask.created_before_ns) return {};
  std::uint64_t low = 1;
  while (low < below) {
    const auto middle = low + (below - low) / 2;
    std::uint64_t found = 0;
    std::int64_t created_ns = 0;
    Result<void> outcome;
    CODEQ_TRY_VOID(store.scan(Table::kBody, core::key_of(middle), core::key_of(below),
                              [&](std::string_view key, std::string_view value) {
                                core::Task task;
                                found = core::number_at(key, 0);
                                outcome = core::decode_body(found, value, task, false);
                                if (outcome) created_ns = task.info->created_ns;
                                return false;
                              }));
    CODEQ_TRY_VOID(outcome);
    if (found != 0 && created_ns < *ask.created_before_ns)
      low = found + 1;
    else
      below = middle;
  }
  return {};
}

Result<bool> Partition::Listing::read_rest(const storage::Store& store, std::uint64_t sequence, core::Task& task) {
  if (task.whole) return true;
  const auto key = core::key_of(sequence);
  CODEQ_TRY(auto rest, store.get(Table::kLive, key));
  const bool is_done = !rest;
  if (is_done) { CODEQ_TRY(rest, store.get(Table::kDone, key)); }
  if (!rest) return false;
  bytes += rest->size();
  if (is_done) {
    CODEQ_TRY_VOID(core::decode_done(sequence, *rest, task));
  } else {
    CODEQ_TRY_VOID(core::decode_live(sequence, *rest, task));
  }
  return true;
}

// One stretch of sequences below `below`. It grows over gaps and shrinks where it was too much for one look.
Result<void> Partition::Listing::look(const storage::Store& store) {
  ++looks;
  const auto from = below > window ? below - window : 1;
  std::vector<std::pair<std::uint64_t, core::Task>> found;
  std::size_t seen = 0, seen_bytes = 0;
  bool too_many = false;
  Result<void> outcome;
  CODEQ_TRY_VOID(store.scan(Table::kBody, core::key_of(from), core::key_of(below),
                            [&](std::string_view key, std::string_view value) {
                              seen_bytes += value.size();
                              if (++seen > kRowsPerLook || seen_bytes > kBytesPerLook) {
                                too_many = window > kWindowMin;
                                if (too_many) return false;
                              }
                              core::Task task;
                              const auto sequence = core::number_at(key, 0);
                              outcome = core::decode_body(sequence, value, task, false);
                              if (outcome && head_fits(task)) found.emplace_back(sequence, std::move(task));
                              return outcome.has_value();
                            }));
  CODEQ_TRY_VOID(outcome);
  if (too_many) {
    window = std::max(kWindowMin, std::min(window / 2, kWindow));
    bytes += seen_bytes / 4;
    return {};
  }
  rows += seen;
  bytes += seen_bytes;
  for (auto it = found.rbegin(); it != found.rend(); ++it) {
    auto& [sequence, task] = *it;
    if (ask.created_after_ns && task.info->created_ns < *ask.created_after_ns) {
      ended = true;
      return {};
    }
    // By one task at least the page goes on, or the next one would begin where this one did.
    if (page.tasks.size() >= ask.limit || (bytes >= kBytesPerPage && it != found.rbegin())) {
      below = sequence + 1;
      return {};
    }
    CODEQ_TRY(const bool there, read_rest(store, sequence, task));
    if (!there || (task.finished() && now_ns >= task.retire_ns && task.delivery == 0)) continue;
    if (ask.state && state_of(task) != *ask.state) continue;
    if (!ask.worker.empty() && (!task.worker || core::worker_id_of(*task.worker) != ask.worker)) continue;
    page.tasks.push_back(Partition::snapshot(task));
  }
  below = from;
  ended = from <= 1;
  if (seen * 4 <= kRowsPerLook && seen_bytes * 4 <= kBytesPerLook)
    window = std::min(window * 2, std::uint64_t{1} << 40);
  return {};
}

void Partition::look_further(std::shared_ptr<Listing> listing) {
  read([this, listing = std::move(listing)]() -> Reader::Then {
    Result<void> outcome;
    if (!listing->searched) outcome = listing->search(deps_.store);
    if (outcome && listing->below > 1)
      outcome = listing->look(deps_.store);
    else
      listing->ended = true;
    return [this, listing, outcome = std::move(outcome)] {
      if (!outcome) return deps_.on_failure(outcome.error());
      if (!listing->full() && !draining_) return look_further(listing);  // others may read in between
      --listings_;
      listing->page.next = listing->ended ? 0 : listing->below;
      answer([listing]() mutable { listing->done(std::move(listing->page)); });
    };
  });
}

void Partition::list_tasks(Caller caller, TaskFilter filter, Done<TaskPage> done) {
  post<TaskPage>(Kind::kRead, 512, std::move(done),
                 [this, tenant = std::move(caller.tenant), filter = std::move(filter)](auto reply) mutable {
                   if (listings_ >= kListingsMax)
                     return answer([reply = std::move(reply)]() mutable {
                       reply(fail(Code::kOverloaded, "overloaded, try again"));
                     });
                   ++listings_;
                   auto listing = std::make_shared<Listing>();
                   listing->queue_key = core::queue_key(tenant, filter.command);
                   listing->ask = std::move(filter);
                   listing->tenant = std::move(tenant);
                   listing->done = std::move(reply);
                   const auto end = state_.last_sequence() + 1;
                   listing->below = listing->ask.below == 0 ? end : std::min(listing->ask.below, end);
                   listing->now_ns = stamp_ns_;
                   after_cut([this, listing = std::move(listing)](bool going_on) mutable {
                     if (going_on) return look_further(std::move(listing));
                     --listings_;
                     answer([listing] { listing->done(fail(Code::kUnavailable, "the broker is stopping")); });
                   });
                 });
}

}  // namespace codeq::services
