#include "storage/rocks/durability.h"

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <utility>

#include "storage/rocks/status.h"

namespace codeq::storage::rocks {

Durability::Durability(std::function<void(Position)> on_durable, std::function<void(const Error&)> on_error)
    : on_durable_(std::move(on_durable)), on_error_(std::move(on_error)) {}

void Durability::start(const Position& position) {
  const std::scoped_lock held(mutex_);
  durable_ = position;
}

void Durability::expect(std::uint64_t sequence, const Position& position) {
  const std::scoped_lock held(mutex_);
  marks_.push_back({sequence, position});
}

void Durability::flushed_to(std::uint64_t sequence) {
  std::optional<Position> newest;
  {
    const std::scoped_lock held(mutex_);
    while (!marks_.empty() && marks_.front().sequence <= sequence) {
      newest = marks_.front().position;
      marks_.pop_front();
    }
  }
  if (newest) advance(*newest);
}

void Durability::advance(const Position& position) {
  const std::scoped_lock telling(telling_);
  {
    const std::scoped_lock held(mutex_);
    if (failed_) return;  // a flush that only seemed to end
    // Two flushes may be told in either order.
    if (position.records < durable_.records || position == durable_) return;
    if (position.records == durable_.records && position.group < durable_.group) return;
    durable_ = position;
  }
  if (on_durable_) on_durable_(position);
}

void Durability::fail_with(const Error& error) {
  const std::scoped_lock telling(telling_);
  {
    const std::scoped_lock held(mutex_);
    if (failed_) return;
    failed_ = error;
    has_failed_ = true;
    if (!open_) return;
  }
  if (on_error_) on_error_(error);
}

Result<void> Durability::opened() {
  const std::scoped_lock held(mutex_);
  open_ = true;
  if (failed_) return std::unexpected(*failed_);
  return {};
}

Result<void> Durability::state() const {
  if (!has_failed_) return {};
  const std::scoped_lock told(telling_);  // nobody learns of a failure by an answer before on_error has returned
  const std::scoped_lock held(mutex_);
  return std::unexpected(*failed_);
}

Position Durability::durable() const {
  const std::scoped_lock held(mutex_);
  return durable_;
}

namespace {

class Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(Durability& durability) : durability_(durability) {}

  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& flush) override {
    if (flush.cf_name == rocksdb::kDefaultColumnFamilyName) durability_.flushed_to(flush.largest_seqno);
  }
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& file) override {
    if (!file.status.ok()) return;
    const bool flush = file.reason == rocksdb::TableFileCreationReason::kFlush;
    (flush ? durability_.bytes_flushed : durability_.bytes_compacted) += file.file_size;
  }
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo& stall) override {
    const auto none = rocksdb::WriteStallCondition::kNormal;
    if (stall.condition.prev == none && stall.condition.cur != none) ++durability_.stalls;
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    durability_.fail_with(error_of(*status, "the store's background work failed").error());
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* auto_recovery) override {
    *auto_recovery = false;  // after a failed sync nobody knows what is on the disk: only a new start finds out
  }

 private:
  Durability& durability_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> listen(Durability& durability) {
  return std::make_shared<Listener>(durability);
}

}  // namespace codeq::storage::rocks
