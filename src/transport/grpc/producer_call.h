// /producerpb.ProducerStream/Stream: creates, one by one or in batches, acknowledged after their commit.
//
// Shape    creates of one burst are one call of the Broker; a batch is one of its own and keeps its order
// Source   the reference's contract: docs/streams.md, "Producer stream"
#pragma once

#include <unordered_map>
#include <vector>

#include "transport/grpc/session.h"

namespace codeq::transport::grpc {

class ProducerCall final : public Session {
 public:
  using Session::Session;
  void burst_over() override { ask_rest(); }
  void ask_rest() override;
  void drain() override;

 private:
  [[nodiscard]] services::TokenUse use() const override { return services::TokenUse::kProducer; }
  [[nodiscard]] Result<std::optional<HelloMessage>> first(std::string_view bytes) const override;
  bool opened(std::string_view worker_id) override;
  void event(std::string_view bytes) override;
  void result_of(std::uint64_t job, Answer& answer) override;

  struct Item {
    std::uint64_t seq = 0;
    std::string refused;  // empty: the Broker decides
  };
  struct Job {
    std::vector<Item> items;
    std::size_t bytes = 0;
    bool batch = false;
    std::int64_t received_ns = 0;
  };
  void create(std::string_view body);
  void create_batch(std::string_view body);
  [[nodiscard]] Result<services::CreateTask> prepare(const CreateMessage& create) const;
  void ask(Job job, std::vector<services::CreateTask> tasks);
  void answer_batch(const Job& job, const std::vector<std::pair<std::string_view, std::string_view>>& outcomes);

  Job burst_;  // of single creates
  std::vector<services::CreateTask> burst_tasks_;
  std::unordered_map<std::uint64_t, Job> jobs_;
};

}  // namespace codeq::transport::grpc
