// What the two stream services have in common: the Hello, who the client is, and what is under way.
//
// Shape    kHello -> kChecking (only where a key has to be fetched) -> kOpen; ends by half-close, expiry, drain or an error
// Source   the reference's contract: docs/streams.md, "Handshake"
// Threads  the io thread of the connection
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transport/grpc/call.h"
#include "transport/grpc/messages.h"

namespace codeq::transport::grpc {

inline constexpr std::size_t kSessionBytes = 2048;  // what an open stream needs at least

class Session : public Call {
 public:
  using Call::Call;
  void message(std::string_view bytes, std::int64_t received_ns) final;
  void half_closed() final;
  void tick(std::int64_t now_ns) override;
  void answered(std::uint64_t job, Answer& answer) final;
  [[nodiscard]] std::size_t message_bytes_max() const final;
  [[nodiscard]] bool paused() const final;
  void gone() override;
  [[nodiscard]] std::size_t held_bytes() const override { return kSessionBytes + in_flight_bytes_; }

 protected:
  [[nodiscard]] virtual services::TokenUse use() const = 0;
  // The first message's Hello; another event: nothing.
  [[nodiscard]] virtual Result<std::optional<HelloMessage>> first(std::string_view bytes) const = 0;
  // The client is `who_`; false: refused, the call has been ended.
  virtual bool opened(std::string_view worker_id) = 0;
  virtual void event(std::string_view bytes) = 0;
  virtual void result_of(std::uint64_t job, Answer& answer) = 0;
  virtual void retry(std::int64_t /*now_ns*/) {}
  virtual void quiet() {}  // the client sends no more, or we drain: what only waits need not wait longer

  void malformed() { finish(number_of(GrpcStatus::kInvalidArgument), "malformed message"); }
  // A message has come that has to be answered later.
  void begin(std::size_t items, std::size_t bytes) { in_flight_ += items, in_flight_bytes_ += bytes; }
  void end(std::size_t items, std::size_t bytes) {
    in_flight_ -= items, in_flight_bytes_ -= bytes;
    maybe_over();
  }
  void maybe_over();
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] bool ending_soon() const { return draining_ || half_closed_ || gone_ || ending.has_value(); }
  void begin_drain() { draining_ = true; }
  [[nodiscard]] services::Caller caller() const {
    return {.tenant = who_.tenant, .subject = holder_, .request = {}, .received_steady_ns = received_ns_};
  }
  [[nodiscard]] std::uint64_t next_job() { return ++last_job_; }
  void count(observe::StreamMessage kind) {
    if (auto* kept = figures(); kept != nullptr) kept->message(kind);
  }
  // `times` tasks that came at `received_ns` have their answers.
  void count_answers(observe::StreamCall call, std::int64_t received_ns, std::uint64_t times) {
    if (auto* kept = figures(); kept != nullptr) kept->answered(call, deps_.clock.steady_ns() - received_ns, times);
  }
  void count_credits(std::int64_t change) {
    if (auto* kept = figures(); kept != nullptr) kept->credits.fetch_add(change, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t received_ns() const { return received_ns_; }  // of the newest message
  // Takes one token of the bucket; otherwise the seconds to wait.
  [[nodiscard]] std::int64_t rate(services::RateBucket bucket, std::string_view scope, std::string_view operation);

  services::Principal who_;
  std::string holder_;  // what leases of this client are held by
  std::string rate_key_;  // the bearer token; never shown

 private:
  enum class State : std::uint8_t { kHello, kChecking, kOpen };
  [[nodiscard]] observe::StreamFigures* figures() const {
    using Stream = observe::Metrics::Stream;
    if (deps_.metrics == nullptr) return nullptr;
    return &deps_.metrics->of_streams(use() == services::TokenUse::kWorker ? Stream::kWorker : Stream::kProducer);
  }
  void hello(const HelloMessage& hello);
  void checked(Result<services::Principal> who);

  State state_ = State::kHello;
  std::string worker_id_;
  std::int64_t received_ns_ = 0;
  std::size_t in_flight_ = 0, in_flight_bytes_ = 0;
  std::uint64_t last_job_ = 0;
  bool half_closed_ = false, draining_ = false;
};

std::string_view trimmed(std::string_view text);

}  // namespace codeq::transport::grpc
