// One connection of the bench with one gRPC stream on it, over nghttp2.
//
// Shape    `send` queues a message, `flush` writes what is queued as far as the socket takes it, `receive` reads once,
//          `next` gives what came message by message
// Source   gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md)
// Threads  one; nothing blocks but `connect`, for at most five seconds
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "app/bench/connection.h"
#include "transport/grpc/frame.h"

struct nghttp2_session;

namespace codeq::app {

class StreamConnection {
 public:
  StreamConnection();
  ~StreamConnection();
  StreamConnection(const StreamConnection&) = delete;
  StreamConnection& operator=(const StreamConnection&) = delete;

  [[nodiscard]] bool connect(const BenchAddress& address, std::string_view path);
  void close();
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool open() const { return fd_ >= 0; }

  void send(std::string_view message);
  // False: the connection is broken.
  [[nodiscard]] bool flush();
  [[nodiscard]] bool wants_write() const { return written_ < wire_.size(); }
  // False: the connection is broken. After a stream's end there is no error here, but `ended`.
  [[nodiscard]] bool receive();
  // The next message, which borrows until the next call. False: no whole one is here.
  [[nodiscard]] bool next(std::string_view& message);
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const std::string& status_text() const { return status_; }  // grpc-message, once it has ended

 private:
  struct Callbacks;
  int fd_ = -1;
  nghttp2_session* session_ = nullptr;
  std::int32_t stream_ = 0;
  std::string out_;  // messages that HTTP/2 has not taken
  std::size_t taken_ = 0;
  std::string wire_;  // bytes that the socket has not taken
  std::size_t written_ = 0;
  transport::grpc::FrameReader reader_;
  bool ended_ = false;
  std::string status_;
};

}  // namespace codeq::app
