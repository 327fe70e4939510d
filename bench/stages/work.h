// What the stages and the count of allocations let a broker do: the usual calls of producers and workers, `batch` at a time.
// Payload 300 bytes, result {"ok":true}, one tenant, one command, no webhook, no key.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "quiet_broker.h"

namespace codeq::stages {

inline const std::string kCommand = "RENDER_PAGE";
inline const std::string kPayload = R"({"page":")" + std::string(300 - 11, 'x') + R"("})";
inline const std::string kResult = R"({"ok":true})";

class Work {
 public:
  Work(QuietBroker& broker, std::size_t batch) : broker_(broker), batch_(batch) {}

  void create() {
    std::vector<services::CreateTask> asks(batch_);
    for (auto& ask : asks) {
      ask.command = kCommand;
      ask.payload = kPayload;
    }
    broker_.partition().create(broker_.caller("producer"), std::move(asks),
                               [this](Result<std::vector<Result<services::TaskSnapshot>>> made) {
                                 CHECK(made.has_value() && made->size() == batch_);
                                 for (const auto& task : *made) created_ += task.has_value() ? 1 : 0;
                               });
    finish();
  }
  void claim() {
    broker_.partition().claim(
        broker_.caller("worker"),
        {.commands = {kCommand}, .count = static_cast<std::uint32_t>(batch_), .lease_seconds = 60, .wait_ms = 0},
        [this](Result<std::vector<services::TaskSnapshot>> tasks) {
          CHECK(tasks.has_value() && tasks->size() == batch_);
          held_.swap(*tasks);
        });
    finish();
  }
  void submit() {
    std::vector<services::SubmitResult> items(held_.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].task_id = held_[i].info->id_text;
      items[i].lease_token = held_[i].lease_token;
      items[i].status = "COMPLETED";
      items[i].result_json = kResult;
    }
    broker_.partition().submit(broker_.caller("worker"), std::move(items),
                               [this](Result<std::vector<Result<services::ResultSnapshot>>> taken) {
                                 CHECK(taken.has_value());
                                 for (const auto& one : *taken) completed_ += one.has_value() ? 1 : 0;
                               });
    held_.clear();
    finish();
  }
  // Of every task that is held, one call each.
  void heartbeat() {
    for (const auto& task : held_)
      broker_.partition().heartbeat(broker_.caller("worker"), owner(task), 60,
                                    [this](Result<void> done) { beats_ += done.has_value() ? 1 : 0; });
    finish();
  }
  void nack() {
    for (const auto& task : held_)
      broker_.partition().nack(broker_.caller("worker"), owner(task), 1, "busy",
                               [this](Result<services::NackOutcome> done) { nacked_ += done.has_value() ? 1 : 0; });
    held_.clear();
    finish();
  }

  [[nodiscard]] std::size_t batch() const { return batch_; }
  [[nodiscard]] const std::vector<services::TaskSnapshot>& held() const { return held_; }
  [[nodiscard]] std::size_t created() const { return created_; }
  [[nodiscard]] std::size_t completed() const { return completed_; }
  [[nodiscard]] std::size_t beats() const { return beats_; }
  [[nodiscard]] std::size_t nacked() const { return nacked_; }

 private:
  static services::OwnerCall owner(const services::TaskSnapshot& task) {
    return {.task_id = task.info->id_text, .lease_token = task.lease_token};
  }
  void finish() {
    broker_.settle();
    broker_.pass_ns(1'000);
  }

  QuietBroker& broker_;
  std::size_t batch_;
  std::vector<services::TaskSnapshot> held_;
  std::size_t created_ = 0, completed_ = 0, beats_ = 0, nacked_ = 0;
};

}  // namespace codeq::stages
