// Takes groups of records to the log, one at a time, and lets go of their answers once they are durable.
//
// Shape    one group is being written while the next one grows in the slot (group commit without a timer)
// Threads  offer, idle, take_durable: the partition thread; answers and spans run on the committer's own thread
// Errors   a failed append ends in `on_failure`, which must not return: nothing of that group was acknowledged
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/task.h"
#include "log/log.h"
#include "observe/metrics.h"
#include "observe/span.h"
#include "services/record_clock.h"

namespace codeq::services {

// A span that waits for the commit which ends it.
struct SpanDraft {
  std::shared_ptr<const core::TaskInfo> info;
  core::Event event;
  // Set for an idempotent replay, whose span is not the task's (see to_replay_span).
  bool replay = false;
  core::SpanContext context;
  std::string tracestate;
  bool remote_parent = false;  // the parent is not a span of ours
};

struct Group {
  std::string records;
  std::uint64_t upto = 0;   // state records reflected
  std::uint32_t count = 0;  // of records
  std::vector<std::move_only_function<void()>> answers;
  std::vector<SpanDraft> spans;

  [[nodiscard]] bool empty() const { return records.empty() && answers.empty() && spans.empty(); }
  void append(Group&& next);
  // As a new one, but with the memory that it has, unless that is unusually much: the next group will be about as large.
  void clear();
};

struct Durable {
  std::uint64_t upto = 0;
  std::int64_t time_ns = 0;
};

struct CommitStats {
  std::uint64_t groups = 0, bytes = 0;
};

class Committer {
 public:
  using OnFailure = std::function<void(const Error&)>;
  // Records up to `upto` are the log's group `group` of `bytes`; called before any answer of that group leaves.
  using OnCommitted = std::function<void(std::uint64_t upto, std::uint64_t group, std::uint64_t bytes)>;
  // Not `threaded`: `step` does the work (simulation).
  Committer(log::Log& log, const RecordClock& clock, observe::Tracer& tracer, observe::CommitFigures& figures,
            OnFailure on_failure, OnCommitted on_committed, bool threaded);
  ~Committer();

  // Waits only while more than kSlotBytesMax are ahead of it. Leaves an empty group, with the memory of an earlier one.
  void offer(Group& group);
  // Nothing is being written and nothing waits: what the partition has seen is durable.
  [[nodiscard]] bool idle();
  // What became durable since the last call; known here before any answer of that group leaves.
  // Into `durable`, which is empty.
  void take_durable(std::vector<Durable>& durable);
  // Writes what was offered, if anything was; false: nothing was.
  bool step();
  // Writes what was offered, then ends. No offer may follow.
  void stop();
  void vanish();  // writes and answers nothing any more (simulation)
  [[nodiscard]] CommitStats stats();

 private:
  static constexpr std::size_t kSlotBytesMax = std::size_t{16} << 20;
  static constexpr std::size_t kSlotAnswersMax = 50'000;
  void run();
  void write(Group& group);

  log::Log& log_;
  const RecordClock& clock_;
  observe::Tracer& tracer_;
  observe::CommitFigures& figures_;
  OnFailure on_failure_;
  OnCommitted on_committed_;
  const bool threaded_;
  std::mutex mutex_;
  std::condition_variable offered_, taken_;
  Group slot_;
  Group at_work_;  // of `step`; its memory becomes the slot's when it is done
  bool writing_ = false;
  bool stopping_ = false;
  bool failed_ = false;  // an append was: nothing is written or answered any more
  std::vector<Durable> durable_;
  std::atomic<bool> has_durable_ = false;  // so that a round without news takes no lock
  CommitStats stats_;
  std::jthread thread_;  // last: joined before anything it uses goes away
};

}  // namespace codeq::services
