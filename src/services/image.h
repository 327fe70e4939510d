// Takes the state's cuts into the store, and gives the log its room back once the store has them for good.
//
// Shape    a cut waits until the log is durable up to its last record, then becomes one write of the store; the store is
//          flushed when the log that only it would replace has grown long
// Threads  offer: the partition thread; committed: the committer's; one thread of its own, or none: then `step` (simulation)
// Errors   a failed write or flush ends in `on_failure`, which must not return
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "core/state.h"
#include "log/log.h"
#include "storage/store.h"

namespace codeq::services {

struct ImageOptions {
  std::uint64_t log_bytes_max = std::uint64_t{256} << 20;  // of log that the store would need after a crash
  bool threaded = true;
};

class Image {
 public:
  // `on_written` hears which tasks a written cut had, on the image's thread.
  using OnWritten = std::function<void(std::vector<std::uint64_t> sequences)>;
  using OnFailure = std::function<void(const Error&)>;
  // `base`: what the store reflects and the last group of the log, with the number of records up to its end.
  Image(storage::Store& store, log::Log& log, ImageOptions options, storage::Position base, OnWritten on_written,
        OnFailure on_failure);
  ~Image();

  // The records up to `upto` are durable as the log's group `group`. Before any answer of that group leaves.
  void committed(std::uint64_t upto, std::uint64_t group, std::uint64_t bytes);
  void offer(core::Cut&& cut);
  // `job` runs on the image's thread between two writes; not at all once it is finished or has failed.
  void run_between(std::move_only_function<void()> job);
  // One write or flush, if one is due; false: nothing is.
  bool step();
  // After the last `committed`: writes what was offered, flushes, and ends.
  void finish();

 private:
  void run();
  [[nodiscard]] bool due() const;  // with mutex_ held
  void release_log();
  void fail_with(const Error& error);

  storage::Store& store_;
  log::Log& log_;
  const ImageOptions options_;
  OnWritten on_written_;
  OnFailure on_failure_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<core::Cut> cuts_;
  std::deque<std::move_only_function<void()>> jobs_;
  struct Committed {
    std::uint64_t upto, group, bytes;  // bytes: of the log so far
  };
  std::deque<Committed> committed_;  // groups past `base_`
  storage::Position base_;           // the last group that the newest written cut covers
  std::uint64_t durable_upto_ = 0;   // of the log
  std::uint64_t log_bytes_ = 0;      // committed so far
  bool stopping_ = false;
  bool failed_ = false;

  // Of the image's thread alone.
  struct Written {
    std::uint64_t group, bytes;
  };
  std::deque<Written> written_;      // not known to be durable in the store yet
  std::uint64_t covered_bytes_ = 0;  // of the log: what the store has for good
  std::jthread thread_;              // last: joined before anything it uses goes away
};

}  // namespace codeq::services
