#include "services/partition.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "services/task_spans.h"

namespace codeq::services {
namespace {

constexpr std::size_t kTimersPerRound = 512;
constexpr std::size_t kCommandsPerRound = 1024;
constexpr std::size_t kBytesPerRound = std::size_t{8} << 20;  // so that no group comes near the log's bound

}  // namespace

Partition::Partition(PartitionOptions options, Deps deps)
    : options_(options), deps_(std::move(deps)), time_(deps_.clock), outbox_(options.outbox), notifier_({.under_way = {.per_host = options.outbox.per_host, .total = 128}}) {}

Partition::~Partition() { stop(); }

// ---------------------------------------------------------------- stop

void Partition::begin_drain() {
  Error refusal;
  enqueue(
      Kind::kReserved, 0,
      [this] {
        draining_ = true;
        while (const auto id = parked_.any()) {
          if (auto claim = parked_.take_claim(*id))
            answer([done = std::move(claim->done)]() mutable { done(std::vector<TaskSnapshot>{}); });
          else if (auto result = parked_.take_result(*id))
            answer_result(std::move(*result), {Code::kResultNotFound, "result not found"});
        }
      },
      refusal);
}

void Partition::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (std::exchange(ended_, true)) return;
  if (thread_.joinable())
    thread_.join();
  else if (started_)
    drive_to_end();
  if (reader_) reader_->stop();
  if (committer_) committer_->stop();
  if (image_) image_->finish();
}

void Partition::vanish() {
  CHECK(!options_.threaded);
  ended_ = stopping_ = true;
  if (committer_) committer_->vanish();
}

void Partition::hand_back(Command command) {
  {
    const std::scoped_lock lock(mutex_);
    returned_.push_back(std::move(command));
  }
  wake_.notify_one();
}

bool Partition::enqueue(Kind kind, std::size_t bytes, Command&& command, Error& refusal) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_ || !started_) {
      refusal = {Code::kUnavailable, "the broker is stopping"};
      return false;
    }
    const bool full = inbox_.size() >= share(options_.inbox_max, kind) ||
                      inbox_bytes_ + bytes > share(options_.inbox_bytes_max, kind);
    if (full && kind != Kind::kReserved) {
      refusal = {Code::kOverloaded, "overloaded, try again"};
      return false;
    }
    inbox_.push_back({std::move(command), bytes});
    inbox_bytes_ += bytes;
    if (inbox_.size() > 1) return true;  // the partition has been woken for the first one
  }
  wake_.notify_one();
  return true;
}

// ---------------------------------------------------------------- one round

bool Partition::take(std::vector<Queued>& commands, std::vector<Command>& returned) {
  commands.clear();
  returned.clear();
  returned.swap(returned_);
  if (inbox_.size() <= kCommandsPerRound && inbox_bytes_ <= kBytesPerRound) {
    commands.swap(inbox_);
    inbox_bytes_ = 0;
  } else {
    std::size_t bytes = 0;
    auto end = inbox_.begin();
    while (end != inbox_.end() && bytes < kBytesPerRound &&
           end - inbox_.begin() < static_cast<std::ptrdiff_t>(kCommandsPerRound))
      bytes += (end++)->bytes;
    commands.assign(std::make_move_iterator(inbox_.begin()), std::make_move_iterator(end));
    inbox_.erase(inbox_.begin(), end);
    inbox_bytes_ -= bytes;
  }
  return stopping_ && inbox_.empty();
}

void Partition::run() {
  std::vector<Queued> commands;
  std::vector<Command> returned;
  bool more = true;  // timers may be due at once
  while (true) {
    bool stopping = false;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] {
        return !inbox_.empty() || !returned_.empty() || (stopping_ && reads_under_way_ == 0);
      };
      if (!more && !ready()) {
        // Manual clocks do not move while we wait; a command or stop wakes us then.
        if (const auto at = next_wake_steady_ns()) {
          const auto left = std::clamp<std::int64_t>(*at - deps_.clock.steady_ns(), 0, 60 * kNanosPerSecond);
          wake_.wait_for(lock, std::chrono::nanoseconds(left), ready);
        } else {
          wake_.wait(lock, ready);
        }
      }
      stopping = take(commands, returned);
    }
    more = round(commands, returned);
    if (stopping && reads_under_way_ == 0) break;
  }
  save_last();
}

bool Partition::step() {
  auto& [commands, returned] = stepped_;
  {
    const std::scoped_lock lock(mutex_);
    take(commands, returned);
  }
  const auto due = [this] {
    const auto at = next_wake_steady_ns();
    return at && *at <= deps_.clock.steady_ns();
  };
  const bool had = std::exchange(more_, false) || !commands.empty() || !returned.empty() || due();
  more_ = round(commands, returned);
  commands.clear();
  returned.clear();
  return had;
}

// Whether there is more to do at once.
bool Partition::round(std::vector<Queued>& commands, std::vector<Command>& returned) {
  stamp_ns_ = time_.stamp();
  records_before_ = state_.records();
  if (deps_.disk_low && stamp_ns_ - disk_checked_ns_ > kNanosPerSecond) {
    disk_checked_ns_ = stamp_ns_;
    disk_low_ = deps_.disk_low();
  }
  note_durable();
  for (auto& command : returned) command();
  run_timers();
  sweep_subscriptions();
  for (auto& command : commands) command.run();
  serve_parked();
  notify_ready();
  expire_parked();
  start_deliveries();
  settle();
  sweep();
  keep_memory_small();
  drive_cut();
  flush();
  unsaved_seen_ = unsaved_bytes();
  ready_seen_ = state_.clean_bytes();
  queue_seen_ = state_.queue_bytes();
  tasks_seen_ = state_.tasks_in_memory();
  const auto now = time_.now_ns();
  const bool timers = (!expiring_ && !state_.leases().empty() && state_.leases().begin()->first <= now) ||
                      (promotions_can_run() && !state_.delayed().empty() && state_.delayed().top().first <= now);
  return timers || state_.cutting() || settling_ || !woken_.empty() || sweep_has_work();
}

Result<core::Effects> Partition::apply(const core::Record& record, bool live) {
  auto effects = state_.apply(record);
  if (!effects || effects->duplicate || !live) return effects;
  core::append_record(record, group_.records);
  group_.upto = state_.records();
  return effects;
}

Result<core::Effects> Partition::change(const core::Record& record) {
  // Bookkeeping that a restart needs, at most once a second and only beside something real.
  if (stamp_ns_ - clock_marked_ns_ >= kNanosPerSecond) {
    clock_marked_ns_ = stamp_ns_;
    const auto marked = apply(
        core::ClockRecord{
            .time_ns = stamp_ns_, .steady_ns = time_.to_steady_ns(stamp_ns_), .boot_id = deps_.clock.boot_id()},
        true);
    CHECK(marked.has_value());
  }
  auto effects = apply(record, true);
  if (!effects || effects->duplicate) return effects;
  must_commit_ = true;
  auto* task = effects->task;
  // Only claims and subscribers that are here already need to hear of it: who comes later looks before they wait.
  const bool somebody_waits = parked_.has_claims() || !state_.subscriptions().empty();
  if (task != nullptr && task->info->traced && task->info->trace.span.sampled() && deps_.tracer.enabled())
    effects->events.each(task->timeline, [&](const core::Event& event) {
      group_.spans.push_back({.info = task->info, .event = event, .replay = false, .context = {}, .tracestate = {}});
    });
  const bool woken_already = effects->became_ready && task->queue->id == woken_id_ && state_.subscriptions().empty();
  if (somebody_waits && ((effects->became_ready && !woken_already) || effects->consumer_left)) {
    const auto woken = woken_.insert(core::queue_key(task->info->tenant, task->info->command)).first;
    if (effects->became_ready) {
      note_ready(task->info, *woken);
      woken_id_ = task->queue->id;
    }
  }
  if (effects->copy != nullptr) note_copy(*effects);
  if (effects->finished && parked_.has_results())
    for (const auto id : parked_.waiting_for(task->info->id.sequence))
      if (auto waiting = parked_.take_result(id)) answer_result(std::move(*waiting), {});
  if (effects->delivery != 0)
    if (const auto* delivery = state_.delivery(effects->delivery); delivery != nullptr && !delivery->failed)
      outbox_.schedule(effects->delivery, delivery->host, delivery->due_ns);
  if (effects->finished && task != nullptr) {
    retire_new_ns_ = std::min(retire_new_ns_, task->retire_ns);
    const auto seconds = static_cast<double>(stamp_ns_ - task->info->created_ns) / static_cast<double>(kNanosPerSecond);
    deps_.metrics.task_completed(task->info->command,
                                 task->status == core::Status::kCompleted ? observe::Metrics::Finish::kCompleted
                                                                          : observe::Metrics::Finish::kFailed,
                                 seconds);
  }
  return effects;
}

void Partition::answer(std::move_only_function<void()> release) { group_.answers.push_back(std::move(release)); }

void Partition::note_durable() {
  committer_->take_durable(durable_);
  for (const auto& durable : durable_) {
    if (!state_.has_open_events()) continue;  // nothing waits for it
    const auto noted =
        apply(core::DurableRecord{.time_ns = stamp_ns_, .upto = durable.upto, .durable_ns = durable.time_ns}, true);
    CHECK(noted.has_value());
  }
  durable_.clear();
}

void Partition::flush() {
  if (must_commit_) {
    committer_->offer(group_);
    must_commit_ = false;
    return;
  }
  if (group_.answers.empty() && group_.spans.empty()) return;
  // Only answers: bookkeeping stays here for the next real group.
  Group answers;
  answers.answers = std::exchange(group_.answers, {});
  answers.spans = std::exchange(group_.spans, {});
  if (!committer_->idle() || !answers.spans.empty()) return committer_->offer(answers);
  for (auto& release : answers.answers) release();
}

void Partition::run_timers() {
  std::size_t left = kTimersPerRound;
  const auto due = [&](const core::State::Due& set) {
    return left > 0 && !set.empty() && set.begin()->first <= stamp_ns_;
  };
  while (!expiring_ && due(state_.leases())) {
    const auto sequence = state_.leases().begin()->second;
    const auto* task = state_.task(sequence);
    if (task == nullptr) {
      std::vector<std::uint64_t> sequences;
      for (auto it = state_.leases().begin();
           it != state_.leases().end() && it->first <= stamp_ns_ && sequences.size() < kTimersPerRound; ++it)
        sequences.push_back(it->second);
      expiring_ = true;
      with_tasks(
          sequences,
          [this] {
            expiring_ = false;
            run_timers();
          },
          0, true);
      break;
    }
    --left;
    deps_.metrics.lease_expired(task->info->command);
    const auto done = change(
        core::ExpireRecord{.time_ns = stamp_ns_, .sequence = sequence, .span = new_span_id(), .rules = return_rules()});
    CHECK(done.has_value());
  }
  while (left > 0 && promotions_can_run() && !state_.delayed().empty() && state_.delayed().top().first <= stamp_ns_) {
    const auto sequence = state_.delayed().top().second;
    if (state_.task(sequence) == nullptr) {
      promoting_ = true;
      with_tasks(state_.delayed().due(stamp_ns_, kTimersPerRound), [this] {
        promoting_ = false;
        run_timers();
      });
      break;
    }
    --left;
    const auto done =
        change(core::PromoteRecord{.time_ns = stamp_ns_, .sequence = sequence, .span = new_span_id()});
    CHECK(done.has_value());
  }
}

void Partition::serve_parked() {
  woken_id_ = 0;
  if (woken_.empty()) return;
  for (const auto& key : std::exchange(woken_, {})) {
    const auto tenant = key.substr(0, key.find('\0'));
    // Where its topic has no room for another worker, only they may have a task: of each the claim that is next.
    std::optional<std::set<CallId>> of_holders;
    while (const auto* queue = state_.ready_queue(tenant, std::string_view(key).substr(tenant.size() + 1))) {
      auto id = std::optional<CallId>();
      if (!queue->full()) {
        id = parked_.first_for(key, tenant);
      } else {
        if (!of_holders) of_holders = parked_.firsts_of(key, tenant, queue->holders);
        if (!of_holders->empty()) id = *of_holders->begin();
      }
      if (!id) break;
      const auto& waiting = parked_.claim(*id);
      core::Queue* cold = nullptr;
      auto tasks = claim_now(waiting.caller, waiting.ask, cold);
      if (tasks.empty() && cold != nullptr) {
        with_tasks({cold->front()}, [this, key] { woken_.insert(key); });
        break;
      }
      CHECK(!tasks.empty());
      auto claim = parked_.take_claim(*id);
      if (of_holders) {
        of_holders->erase(*id);
        if (const auto next = parked_.first_of(key, tenant, claim->caller.subject, *id)) of_holders->insert(*next);
      }
      answer([done = std::move(claim->done), claimed = std::move(tasks)]() mutable { done(std::move(claimed)); });
    }
  }
}

void Partition::expire_parked() {
  if (parked_.empty()) return;
  const auto now = deps_.clock.steady_ns();
  while (const auto id = parked_.due(now)) {
    if (auto claim = parked_.take_claim(*id))
      answer([done = std::move(claim->done)]() mutable { done(std::vector<TaskSnapshot>{}); });
    else if (auto result = parked_.take_result(*id))
      answer_result(std::move(*result), {Code::kResultNotFound, "result not found"});
  }
}

bool Partition::promotions_can_run() const { return !promoting_ && unsaved_bytes() <= options_.unsaved_bytes_max; }

std::optional<std::int64_t> Partition::next_wake_steady_ns() const {
  std::optional<std::int64_t> at = parked_.next_deadline();
  const auto consider = [&](std::int64_t record_ns) {
    const auto steady = time_.to_steady_ns(record_ns);
    at = at ? std::min(*at, steady) : steady;
  };
  if (!expiring_ && !state_.leases().empty()) consider(state_.leases().begin()->first);
  if (promotions_can_run() && !state_.delayed().empty()) consider(state_.delayed().top().first);
  if (sweeps_.empty() && retire_due_ns_ != INT64_MAX) consider(retire_due_ns_);
  if (const auto due = outbox_.next_due()) consider(*due);
  if (const auto due = subscriptions_due_ns()) consider(*due);
  if (changed_since_ns_ != 0 && !cut_offered_ && !state_.cutting()) {
    const auto cut = changed_since_ns_ + cut_delay_ns();
    at = at ? std::min(*at, cut) : cut;
  }
  return at;
}

}  // namespace codeq::services
