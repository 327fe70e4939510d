#include "services/committer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/plant.h"
#include "base/thread_name.h"
#include "services/task_spans.h"

namespace codeq::services {

void Group::append(Group&& next) {
  records += next.records;
  count += next.count;
  upto = std::max(upto, next.upto);
  answers.insert(answers.end(), std::make_move_iterator(next.answers.begin()),
                 std::make_move_iterator(next.answers.end()));
  spans.insert(spans.end(), std::make_move_iterator(next.spans.begin()), std::make_move_iterator(next.spans.end()));
}

void Group::clear() {
  constexpr std::size_t kBytesKept = std::size_t{256} << 10, kAnswersKept = 4096, kSpansKept = 1024;
  records.clear();
  if (records.capacity() > 2 * kBytesKept) std::string().swap(records);
  upto = 0;
  count = 0;
  answers.clear();
  if (answers.capacity() > kAnswersKept) decltype(answers)().swap(answers);
  spans.clear();
  if (spans.capacity() > kSpansKept) decltype(spans)().swap(spans);
}

Committer::Committer(log::Log& log, const RecordClock& clock, observe::Tracer& tracer, observe::CommitFigures& figures,
                     OnFailure on_failure, OnCommitted on_committed, bool threaded)
    : log_(log),
      clock_(clock),
      tracer_(tracer),
      figures_(figures),
      on_failure_(std::move(on_failure)),
      on_committed_(std::move(on_committed)),
      threaded_(threaded) {
  if (threaded_) thread_ = std::jthread([this] {
    name_thread("committer");
    run();
  });
}

Committer::~Committer() { stop(); }

void Committer::offer(Group& group) {
  std::unique_lock lock(mutex_);
  taken_.wait(lock, [&] {
    return slot_.empty() || !threaded_ || failed_ ||
           (slot_.records.size() + group.records.size() <= kSlotBytesMax && slot_.answers.size() < kSlotAnswersMax);
  });
  if (slot_.empty())
    std::swap(slot_, group);
  else
    slot_.append(std::move(group));
  lock.unlock();
  offered_.notify_one();
  group.clear();
}

bool Committer::idle() {
  const std::scoped_lock lock(mutex_);
  return !writing_ && slot_.empty() && !failed_;
}

void Committer::take_durable(std::vector<Durable>& durable) {
  if (!has_durable_.load(std::memory_order_acquire)) return;
  const std::scoped_lock lock(mutex_);
  has_durable_.store(false, std::memory_order_relaxed);
  durable.swap(durable_);
}

void Committer::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  offered_.notify_one();
  if (thread_.joinable()) thread_.join();
  while (step()) {
  }
}

void Committer::vanish() {
  const std::scoped_lock lock(mutex_);
  failed_ = true;
}

CommitStats Committer::stats() {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

bool Committer::step() {
  {
    const std::scoped_lock lock(mutex_);
    if (slot_.empty() || failed_) return false;
    std::swap(slot_, at_work_);
    writing_ = true;
  }
  taken_.notify_one();
  write(at_work_);
  at_work_.clear();
  const std::scoped_lock lock(mutex_);
  writing_ = false;
  return !failed_;
}

void Committer::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      offered_.wait(lock, [&] { return stopping_ || !slot_.empty(); });
      if (slot_.empty()) return;
    }
    if (!step()) return;
  }
}

void Committer::write(Group& group) {
  auto durable_ns = clock_.now_ns();
  if (planted(Plant::kEarlyAnswer))
    for (auto& answer : std::exchange(group.answers, {})) answer();
  if (!group.records.empty()) {
    const auto appended = log_.append(group.records);
    if (!appended) {
      {
        const std::scoped_lock lock(mutex_);
        failed_ = true;
      }
      taken_.notify_all();
      return on_failure_(appended.error());
    }
    const auto began_ns = std::exchange(durable_ns, clock_.now_ns());  // one reading for the timeline and the exported spans, so that they agree
    {
      const std::scoped_lock lock(mutex_);
      durable_.push_back({.upto = group.upto, .time_ns = durable_ns});
      has_durable_.store(true, std::memory_order_release);
      ++stats_.groups;
      stats_.bytes += group.records.size();
    }
    figures_.records.add_alone(group.count);
    figures_.bytes.add_alone(static_cast<std::int64_t>(group.records.size()));
    figures_.duration.add_alone(durable_ns - began_ns);
    on_committed_(group.upto, *appended, group.records.size());
  }
  for (auto& answer : group.answers) answer();
  observe::Span span;
  for (auto& draft : group.spans) {
    if (draft.replay) {
      to_replay_span(*draft.info, draft.context, draft.event.parent, draft.tracestate, draft.event.start_ns, durable_ns,
                     span);
    } else {
      to_span(*draft.info, draft.event, span);
      if (span.end_ns == 0) span.end_ns = std::max(durable_ns, span.start_ns);
    }
    span.parent_is_remote = draft.remote_parent;
    tracer_.record(span);
  }
}

}  // namespace codeq::services
