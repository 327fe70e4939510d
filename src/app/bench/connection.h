// One keep-alive connection of the bench, with at most one request under way.
//
// Threads  one; `send` and `receive` never block, `connect` does, for at most five seconds
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "app/bench/answer.h"
#include "base/result.h"

namespace codeq::app {

// A host's first address.
struct BenchAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = 0;
  static Result<BenchAddress> look_up(const std::string& host, std::uint16_t port);  // kInvalidArgument
};

class BenchConnection {
 public:
  enum class Io : std::uint8_t { kWaiting, kAnswer, kBroken };

  BenchConnection() = default;
  ~BenchConnection() { close(); }
  BenchConnection(const BenchConnection&) = delete;
  BenchConnection& operator=(const BenchConnection&) = delete;

  // `source`: not 0: from 127.0.0.(1 + source), to an address of loopback.
  [[nodiscard]] bool connect(const BenchAddress& address, std::uint32_t source = 0);
  void close();
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool open() const { return fd_ >= 0; }

  // False: the connection is broken. `wants_write` says whether some of it is still to be written.
  [[nodiscard]] bool send(std::string_view request);
  [[nodiscard]] bool flush();
  [[nodiscard]] bool wants_write() const { return sent_ < out_.size(); }
  // On kAnswer `answer` is good until the next call.
  [[nodiscard]] Io receive(Answer& answer);

 private:
  int fd_ = -1;
  std::string out_;
  std::size_t sent_ = 0;
  std::string in_;
  std::size_t used_ = 0;  // of in_, by the answer that was handed out
};

}  // namespace codeq::app
