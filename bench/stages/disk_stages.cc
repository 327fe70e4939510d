// What reaches the disk: a group appended to the log, a cut written to the store. In instructions only our own and RocksDB's
// work on the calling thread; in time also the system's, and the log's `fdatasync`.
#include <string>

#include "core_work.h"
#include "folder.h"
#include "log/local/local_log.h"
#include "stage.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::stages {
namespace {

class Append final : public Stage {
 public:
  explicit Append(std::size_t tasks) {
    CoreWork work;
    const auto& creates = work.creates();
    for (std::size_t i = 0; i < tasks; ++i) core::append_record(creates[i], group_);
    auto opened = log::LocalLog::open({.folder = folder_.path() / "log"});
    CHECK(opened.has_value());
    log_ = *std::move(opened);
    CHECK(log_->replay(0, [](std::uint64_t, std::string_view) -> Result<void> { return {}; }).has_value());
  }
  void run(std::size_t) override {
    const auto group = log_->append(group_);
    CHECK(group.has_value());
    log_->release(*group);
  }

 private:
  Folder folder_;
  std::string group_;
  std::unique_ptr<log::LocalLog> log_;
};

class Write final : public Stage {
 public:
  static constexpr std::size_t kTasks = 1024;

  Write() {
    CoreWork work;
    for (std::size_t batch = 0; batch < kTasks / CoreWork::kBatch; ++batch) {
      work.apply(work.creates());
      work.durable();
      work.apply(work.claims());
      work.durable();
      work.apply(work.submits());
      work.durable();
    }
    cut_ = work.cut();
    auto opened = storage::rocks::RocksStore::open({.folder = (folder_.path() / "store").string()});
    CHECK(opened.has_value());
    store_ = *std::move(opened);
  }
  void run(std::size_t) override {
    position_.records += cut_.records;
    position_.group_records = position_.records;
    ++position_.group;
    CHECK(store_->write(position_, *cut_.rows).has_value());
    for (auto& row : *cut_.rows) renumber(row);
  }

 private:
  // The next cut is of the next tasks.
  static void renumber(core::Row& row) {
    using core::Table;
    if (row.table == Table::kMeta || row.table == Table::kQueue) return;
    const std::size_t at = row.table == Table::kRetire ? 8 : row.table == Table::kKey ? 16 : 0;
    const auto number = core::key_of(core::number_at(row.key, at) + kTasks);
    row.key.replace(at, number.size(), number);
  }

  Folder folder_;
  core::Cut cut_;
  storage::Position position_;
  std::unique_ptr<storage::Store> store_;
};

}  // namespace

void add_disk_stages(Stages& stages) {
  for (const std::size_t tasks : {1, 32})
    stages.push_back({.name = "log/append/batch:" + std::to_string(tasks),
                      .phases = {""},
                      .order = {0},
                      .items = tasks,
                      .laps = 40,  // within the first segment: who makes the next one is another thread
                      .make = [tasks] { return std::make_unique<Append>(tasks); }});
  stages.push_back({.name = "store/write", .phases = {""}, .order = {0}, .items = Write::kTasks, .laps = 4, .make = [] {
                      return std::make_unique<Write>();
                    }});
}

}  // namespace codeq::stages
