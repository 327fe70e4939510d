#include "services/image.h"

#include <algorithm>
#include <utility>

#include "base/plant.h"
#include "base/thread_name.h"

namespace codeq::services {

Image::Image(storage::Store& store, log::Log& log, ImageOptions options, storage::Position base, OnWritten on_written,
             OnFailure on_failure)
    : store_(store),
      log_(log),
      options_(options),
      on_written_(std::move(on_written)),
      on_failure_(std::move(on_failure)),
      base_(base),
      durable_upto_(base.group_records) {
  if (options_.threaded) thread_ = std::jthread([this] {
    name_thread("image");
    run();
  });
}

Image::~Image() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

void Image::committed(std::uint64_t upto, std::uint64_t group, std::uint64_t bytes) {
  bool wake = false;
  {
    const std::scoped_lock lock(mutex_);
    log_bytes_ += bytes;
    durable_upto_ = upto;
    committed_.push_back({.upto = upto, .group = group, .bytes = log_bytes_});
    wake = due();
  }
  if (wake) wake_.notify_one();
}

void Image::offer(core::Cut&& cut) {
  {
    const std::scoped_lock lock(mutex_);
    cuts_.push_back(std::move(cut));
  }
  wake_.notify_one();
}

void Image::run_between(std::move_only_function<void()> job) {
  {
    const std::scoped_lock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

bool Image::due() const {
  return !failed_ && (!jobs_.empty() || (!cuts_.empty() && cuts_.front().records <= durable_upto_));
}

bool Image::step() {
  core::Cut cut;
  storage::Position position;
  std::uint64_t covered = 0;
  {
    std::unique_lock lock(mutex_);
    if (!due()) return false;
    if (!jobs_.empty()) {
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      return true;
    }
    cut = std::move(cuts_.front());
    cuts_.pop_front();
    while (!committed_.empty() && committed_.front().upto <= cut.records) {
      base_.group = committed_.front().group;
      base_.group_records = committed_.front().upto;
      covered = committed_.front().bytes;
      committed_.pop_front();
    }
    base_.records = cut.records;
    position = base_;
  }
  // The store may flush whenever it likes, so nothing goes in that a power cut could still take out of the log.
  if (auto synced = log_.sync(); !synced) {
    fail_with(synced.error());
    return false;
  }
  if (auto written = store_.write(position, *cut.rows); !written) {
    fail_with(written.error());
    return false;
  }
  if (covered != 0) written_.push_back({.group = position.group, .bytes = covered});
  on_written_(std::move(cut.sequences));
  release_log();
  std::uint64_t log_bytes = 0;
  {
    const std::scoped_lock lock(mutex_);
    log_bytes = log_bytes_;
  }
  if (log_bytes - covered_bytes_ > options_.log_bytes_max / 2) {
    if (auto flushed = store_.flush(); !flushed) {
      fail_with(flushed.error());
      return false;
    }
    release_log();
  }
  return true;
}

// Also where the store flushed on its own account.
void Image::release_log() {
  const auto group = (planted(Plant::kReorderedRecycle) ? store_.position() : store_.durable()).group;
  bool more = false;
  while (!written_.empty() && written_.front().group <= group) {
    covered_bytes_ = written_.front().bytes;
    written_.pop_front();
    more = true;
  }
  if (more) log_.release(group);
}

void Image::fail_with(const Error& error) {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(failed_, true)) return;
  }
  on_failure_(error);
}

void Image::finish() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  while (step()) {
  }
  if (failed_) return;
  if (auto flushed = store_.flush(); !flushed) return fail_with(flushed.error());
  release_log();
}

void Image::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || due(); });
      if (stopping_) return;
    }
    step();
  }
}

}  // namespace codeq::services
