// Messages of gRPC inside the bytes of an HTTP/2 stream, in and out.
//
// Shape    [compressed u8 = 0][length u32, big-endian][message]
// Source   gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md), "Length-Prefixed-Message"
// Bounds   no message beyond the bound of the moment; what is kept of an unfinished one is what has come of it, not what it
//          announces
// Threads  one
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace codeq::transport::grpc {

inline constexpr std::size_t kFramePrefixBytes = 5;

class FrameReader {
 public:
  enum class State : std::uint8_t { kNeedsMore, kMessage, kTooLarge, kCompressed };

  void feed(std::string_view bytes) { bytes_.append(bytes); }
  // The next message is in `message`, which borrows until the next call; nothing moves on after the last two states.
  State next(std::size_t message_bytes_max, std::string_view& message);
  // Drops what has been taken. After it no message is borrowed.
  void compact();
  [[nodiscard]] bool empty() const { return at_ == bytes_.size(); }  // not even a part of a message
  [[nodiscard]] std::size_t pending() const { return bytes_.size() - at_; }
  [[nodiscard]] std::size_t capacity() const { return bytes_.capacity(); }
  void release() { std::string().swap(bytes_), at_ = 0; }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

// The prefix of a message of that size.
void append_frame_prefix(std::string& out, std::size_t message_bytes);

}  // namespace codeq::transport::grpc
