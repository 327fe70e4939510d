// /workerpb.WorkerStream/Stream: tasks for credits, results, heartbeats, nacks, abandons.
//
// Shape    a Ready is a credit that is held until a task serves it or the stream ends. Credits for the same commands and lease
//          are one pool; a pool has a few claims waiting at the Broker, each for as many tasks as there were credits, so
//          nothing polls. Results of one burst are one call of the Broker.
// Leases   are held by (worker id, token subject): core::holder_of
// Source   the reference's contract: docs/streams.md, "Worker stream"
// Bounds   credits, pools, tasks of one Ready, bytes of one message; no more tasks are claimed than credits and output allow
#pragma once

#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

#include "transport/grpc/session.h"

namespace codeq::transport::grpc {

class WorkerCall final : public Session {
 public:
  using Session::Session;
  void burst_over() override;
  void ask_rest() override;
  [[nodiscard]] std::size_t held_bytes() const override {
    return Session::held_bytes() + pool_bytes_ + 512 * claims_.size();
  }
  void drain() override;
  void gone() override;

 private:
  [[nodiscard]] services::TokenUse use() const override { return services::TokenUse::kWorker; }
  [[nodiscard]] Result<std::optional<HelloMessage>> first(std::string_view bytes) const override;
  bool opened(std::string_view worker_id) override;
  void event(std::string_view bytes) override;
  void result_of(std::uint64_t job, Answer& answer) override;
  void retry(std::int64_t now_ns) override;
  void quiet() override;

  struct Pool {
    std::vector<std::string> commands;  // empty: any of the tenant
    std::int64_t lease_seconds = 0;
    std::size_t singles = 0;  // credits for a TaskAssignment each
    std::deque<std::uint32_t> batches;  // credits for a TaskBatch of up to so many
    std::size_t claims = 0;  // at the Broker
    std::int64_t retry_at_ns = 0;  // not before
    bool may_go = false;  // the rate limit has given its turn
    std::size_t bytes = 0;  // of its commands
    [[nodiscard]] bool idle() const { return singles == 0 && batches.empty() && claims == 0; }
  };
  struct Claim {
    Pool* pool = nullptr;
    std::size_t count = 0;
    bool batch = false;
    services::CallId call = 0;
  };
  struct ResultItem {
    std::string task_id;
    std::string refused;  // empty: the Broker decides
  };
  struct Results {
    std::vector<ResultItem> items;
    std::size_t bytes = 0;
    bool batch = false;
    std::int64_t received_ns = 0;
  };
  struct OwnerJob {
    WorkerEvent::Kind kind{};
    std::string task_id;
    std::size_t bytes = 0;
    std::int64_t received_ns = 0;
  };

  void change_credits(std::int64_t change) {
    credits_ += static_cast<std::size_t>(change);
    count_credits(change);
  }
  [[nodiscard]] bool allowed(std::string_view scope);
  void error(std::string_view code, std::string_view message);
  void ready(std::string_view body);
  Pool* pool_for(std::vector<std::string> commands, std::int64_t lease_seconds);
  void pump();
  static void credit_back(Pool& pool, std::size_t count, bool batch);
  void drop_idle_pools();
  void pump(Pool& pool);
  void claim(Pool& pool, std::size_t count, bool batch);
  void claimed(Claim claim, Result<std::vector<services::TaskSnapshot>>& answer);
  // How many credits were not used: a task too large for any client takes none.
  std::size_t hand_out_singles(const std::vector<services::TaskSnapshot>& tasks);
  [[nodiscard]] bool hand_out_batch(std::vector<services::TaskSnapshot> tasks);
  void turn_down_too_large(const services::TaskSnapshot& task);
  void abandon_claims();

  void result(std::string_view body);
  void result_batch(std::string_view body);
  [[nodiscard]] Result<services::SubmitResult> prepare(const ResultMessage& message) const;
  void ask(Results results, std::vector<services::SubmitResult> items);
  void ack_batch(std::span<const AckMessage> acks);
  void submitted(Results& job, Result<std::vector<Result<services::ResultSnapshot>>>& answer);
  void owner_call(WorkerEvent::Kind kind, std::string_view body);
  void settled(const OwnerJob& job, Answer& answer);
  void rejected(const char* operation, Code code);

  // As this worker, in the trace that the stream's metadata name, if any: claims and owner calls link to it.
  [[nodiscard]] services::Caller as_worker() const {
    auto who = caller();
    who.request = metadata_.span;
    return who;
  }

  std::string worker_id_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::size_t pool_bytes_ = 0;
  std::size_t credits_ = 0;  // of all pools, those at the Broker included
  std::unordered_map<std::uint64_t, Claim> claims_;
  Results burst_;
  std::vector<services::SubmitResult> burst_items_;
  std::unordered_map<std::uint64_t, Results> results_;
  std::unordered_map<std::uint64_t, OwnerJob> owner_jobs_;
};

}  // namespace codeq::transport::grpc
