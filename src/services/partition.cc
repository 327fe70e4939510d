#include "services/partition.h"

#include <algorithm>
#include <utility>

#include "services/task_spans.h"

namespace codeq::services {
namespace {

constexpr std::size_t kTimersPerRound = 512;
constexpr std::size_t kCommandsPerRound = 1024;
constexpr std::size_t kBytesPerRound = std::size_t{8} << 20;  // so that no group comes near the log's bound

std::vector<storage::Write> writes_of(const core::Record& record, const core::Effects& effects) {
  std::vector<storage::Write> writes;
  if (const auto* create = std::get_if<core::CreateRecord>(&record))
    writes.push_back({storage::Family::kPayload, effects.task->info->id.sequence, create->payload});
  if (effects.result)
    writes.push_back({storage::Family::kResult, effects.task->info->id.sequence,
                      std::make_shared<const std::string>(core::encode_result(*effects.result))});
  if (effects.retired)
    for (const auto family : {storage::Family::kPayload, storage::Family::kResult})
      writes.push_back({family, effects.retired_sequence, nullptr});
  return writes;
}

}  // namespace

Partition::Partition(PartitionOptions options, Deps deps)
    : options_(options), deps_(std::move(deps)), time_(deps_.clock), outbox_(options.outbox) {}

Partition::~Partition() { stop(); }

// ---------------------------------------------------------------- start and stop

Result<RecoveryReport> Partition::start() {
  CODEQ_TRY_VOID(replay());
  time_.start(state_.clock(), state_.last_time_ns());
  stamp_ns_ = time_.stamp();
  committer_ = std::make_unique<Committer>(deps_.log, time_, deps_.tracer, deps_.on_log_failure);
  // What the last groups made durable was not noted any more: their spans end with the last record we know of.
  if (state_.records() > 0) {
    const core::DurableRecord durable{
        .time_ns = stamp_ns_, .upto = state_.records(), .durable_ns = state_.last_time_ns()};
    if (auto noted = apply(durable, true); !noted) return std::unexpected<Error>(noted.error());
  }
  for (const auto& [id, delivery] : state_.deliveries()) {
    last_delivery_ = std::max(last_delivery_, id);
    if (!delivery.failed) outbox_.schedule(id, state_.task(delivery.sequence)->info->webhook_host, delivery.due_ns);
  }
  disk_low_ = deps_.disk_low && deps_.disk_low();
  started_ = true;
  thread_ = std::jthread([this] { run(); });
  return report_;
}

Result<void> Partition::replay() {
  return deps_.log.replay([this](std::uint64_t number, std::string_view bytes) -> Result<void> {
    CODEQ_TRY(const auto records, core::decode_group(bytes));
    for (const auto& record : records) {
      if (auto effects = apply(record, false); !effects || effects->duplicate)
        return fail(Code::kCorrupt, "group " + std::to_string(number) +
                                        " of the log holds a record that does not fit: " +
                                        (effects ? "a replay of a create" : effects.error().message));
    }
    ++report_.groups;
    report_.records += records.size();
    report_.tasks = state_.tasks();
    return {};
  });
}

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
  if (thread_.joinable()) thread_.join();
  if (committer_) committer_->stop();
}

bool Partition::enqueue(Kind kind, std::size_t bytes, Command&& command, Error& refusal) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_ || !started_) {
      refusal = {Code::kUnavailable, "the broker is stopping"};
      return false;
    }
    const auto share = [](std::size_t bound, std::size_t percent) { return bound * percent / 100; };
    const std::size_t percent = kind == Kind::kCreate ? 70 : kind == Kind::kClaim || kind == Kind::kRead ? 85 : 100;
    const bool full = inbox_.size() >= share(options_.inbox_max, percent) ||
                      inbox_bytes_ + bytes > share(options_.inbox_bytes_max, percent);
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

void Partition::run() {
  std::vector<Queued> commands;
  bool more = true;  // timers may be due at once
  while (true) {
    bool stopping = false;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return stopping_ || !inbox_.empty(); };
      if (!more && !ready()) {
        // Manual clocks do not move while we wait; a command or stop wakes us then.
        if (const auto at = next_wake_steady_ns()) {
          const auto left = std::clamp<std::int64_t>(*at - deps_.clock.steady_ns(), 0, 60 * kNanosPerSecond);
          wake_.wait_for(lock, std::chrono::nanoseconds(left), ready);
        } else {
          wake_.wait(lock, ready);
        }
      }
      commands.clear();
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
      stopping = stopping_ && inbox_.empty();
    }
    stamp_ns_ = time_.stamp();
    if (deps_.disk_low && stamp_ns_ - disk_checked_ns_ > kNanosPerSecond) {
      disk_checked_ns_ = stamp_ns_;
      disk_low_ = deps_.disk_low();
    }
    note_durable();
    run_timers();
    for (auto& command : commands) command.run();
    serve_parked();
    expire_parked();
    start_deliveries();
    if (stopping) must_commit_ = must_commit_ || !group_.records.empty();
    flush();
    if (stopping) return;
    const auto now = time_.now_ns();
    const auto due = [&](const core::State::Due& set) { return !set.empty() && set.begin()->first <= now; };
    more = due(state_.leases()) || due(state_.delayed()) || due(state_.retirements());
  }
}

Result<core::Effects> Partition::apply(const core::Record& record, bool live) {
  auto effects = state_.apply(record);
  if (!effects || effects->duplicate) return effects;
  if (auto writes = writes_of(record, *effects); !writes.empty()) deps_.store.write(state_.records(), writes);
  if (!live) return effects;
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
  const auto* task = effects->task;
  if (task != nullptr && task->info->traced && task->info->trace.span.sampled() && deps_.tracer.enabled())
    for (const auto& event : effects->events)
      group_.spans.push_back({.info = task->info, .event = event, .replay = false, .context = {}, .tracestate = {}});
  if (effects->became_ready) woken_.insert(core::queue_key(task->info->tenant, task->info->command));
  if (effects->finished)
    for (const auto id : parked_.waiting_for(task->info->id.sequence))
      if (auto waiting = parked_.take_result(id)) answer_result(std::move(*waiting), {});
  if (effects->delivery != 0)
    if (const auto* delivery = state_.delivery(effects->delivery); delivery != nullptr && !delivery->failed)
      outbox_.schedule(effects->delivery, task->info->webhook_host, delivery->due_ns);
  if (effects->finished && task != nullptr) {
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
  for (const auto& durable : committer_->take_durable()) {
    const auto noted =
        apply(core::DurableRecord{.time_ns = stamp_ns_, .upto = durable.upto, .durable_ns = durable.time_ns}, true);
    CHECK(noted.has_value());
  }
}

void Partition::flush() {
  if (must_commit_) {
    committer_->offer(std::exchange(group_, {}));
    must_commit_ = false;
    return;
  }
  if (group_.answers.empty() && group_.spans.empty()) return;
  // Only answers: bookkeeping stays here for the next real group.
  Group answers;
  answers.answers = std::exchange(group_.answers, {});
  answers.spans = std::exchange(group_.spans, {});
  if (!committer_->idle() || !answers.spans.empty()) return committer_->offer(std::move(answers));
  for (auto& release : answers.answers) release();
}

void Partition::run_timers() {
  std::size_t left = kTimersPerRound;
  const auto due = [&](const core::State::Due& set) {
    return left > 0 && !set.empty() && set.begin()->first <= stamp_ns_;
  };
  while (due(state_.leases())) {
    --left;
    const auto sequence = state_.leases().begin()->second;
    deps_.metrics.lease_expired(state_.task(sequence)->info->command);
    const auto done = change(
        core::ExpireRecord{.time_ns = stamp_ns_, .sequence = sequence, .span = new_span_id(), .rules = return_rules()});
    CHECK(done.has_value());
  }
  while (due(state_.delayed())) {
    --left;
    const auto done = change(
        core::PromoteRecord{.time_ns = stamp_ns_, .sequence = state_.delayed().begin()->second, .span = new_span_id()});
    CHECK(done.has_value());
  }
  while (due(state_.retirements())) {
    --left;
    const auto done =
        change(core::RetireRecord{.time_ns = stamp_ns_, .sequence = state_.retirements().begin()->second});
    CHECK(done.has_value());
  }
}

void Partition::serve_parked() {
  for (const auto& key : std::exchange(woken_, {})) {
    const auto tenant = key.substr(0, key.find('\0'));
    while (const auto id = parked_.first_for(key, tenant)) {
      const auto& waiting = parked_.claim(*id);
      auto tasks = claim_now(waiting.caller, waiting.ask);
      if (tasks.empty()) break;
      auto claim = parked_.take_claim(*id);
      answer([done = std::move(claim->done), claimed = std::move(tasks)]() mutable { done(std::move(claimed)); });
    }
  }
}

void Partition::expire_parked() {
  const auto now = deps_.clock.steady_ns();
  while (const auto id = parked_.due(now)) {
    if (auto claim = parked_.take_claim(*id))
      answer([done = std::move(claim->done)]() mutable { done(std::vector<TaskSnapshot>{}); });
    else if (auto result = parked_.take_result(*id))
      answer_result(std::move(*result), {Code::kResultNotFound, "result not found"});
  }
}

std::optional<std::int64_t> Partition::next_wake_steady_ns() const {
  std::optional<std::int64_t> at = parked_.next_deadline();
  const auto consider = [&](std::int64_t record_ns) {
    const auto steady = time_.to_steady_ns(record_ns);
    at = at ? std::min(*at, steady) : steady;
  };
  for (const auto* set : {&state_.leases(), &state_.delayed(), &state_.retirements()})
    if (!set->empty()) consider(set->begin()->first);
  if (const auto due = outbox_.next_due()) consider(*due);
  return at;
}

}  // namespace codeq::services
