#include "transport/grpc/frame.h"

#include <array>

namespace codeq::transport::grpc {
namespace {

constexpr std::size_t kKeptBytes = 4096;  // a larger buffer is given back when it is empty

}  // namespace

FrameReader::State FrameReader::next(std::size_t message_bytes_max, std::string_view& message) {
  const std::string_view left = std::string_view(bytes_).substr(at_);
  if (left.size() < kFramePrefixBytes) return State::kNeedsMore;
  if (left[0] != 0) return State::kCompressed;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kFramePrefixBytes; ++i) size = size << 8U | static_cast<unsigned char>(left[i]);
  if (size > message_bytes_max) return State::kTooLarge;
  if (left.size() - kFramePrefixBytes < size) return State::kNeedsMore;
  message = left.substr(kFramePrefixBytes, size);
  at_ += kFramePrefixBytes + size;
  return State::kMessage;
}

void FrameReader::compact() {
  if (at_ == bytes_.size()) {
    bytes_.clear();
    if (bytes_.capacity() > kKeptBytes) bytes_.shrink_to_fit();
  } else {
    bytes_.erase(0, at_);
  }
  at_ = 0;
}

void append_frame_prefix(std::string& out, std::size_t message_bytes) {
  std::array<char, kFramePrefixBytes> prefix{};
  for (std::size_t i = 1; i < prefix.size(); ++i) prefix[i] = static_cast<char>(message_bytes >> (8 * (4 - i)));
  out.append(prefix.data(), prefix.size());
}

}  // namespace codeq::transport::grpc
