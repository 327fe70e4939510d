// grpc.health.v1.Health: Check answers once, Watch tells now and when the broker stops.
//
// Source   https://github.com/grpc/grpc/blob/master/doc/health-checking.md
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/grpc/call.h"

namespace codeq::transport::grpc {

class HealthCall final : public Call {
 public:
  HealthCall(const CallDeps& deps, std::shared_ptr<Letters> mailbox, std::vector<std::string_view> services, bool watch)
      : Call(deps, std::move(mailbox), {}), services_(std::move(services)), watch_(watch) {}
  void message(std::string_view bytes, std::int64_t received_ns) override;
  void half_closed() override;
  void answered(std::uint64_t, Answer&) override {}
  void tick(std::int64_t now_ns) override;
  void drain() override;
  [[nodiscard]] std::size_t message_bytes_max() const override { return 4096; }

 private:
  const std::vector<std::string_view> services_;  // that are served here; the empty name is all of us
  const bool watch_;
  bool asked_ = false;
};

}  // namespace codeq::transport::grpc
