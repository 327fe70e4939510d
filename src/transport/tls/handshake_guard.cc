#include "transport/tls/handshake_guard.h"

#include <algorithm>

namespace codeq::transport {

namespace {

constexpr std::uint8_t kChangeCipherSpec = 20;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientHello = 1;
constexpr std::size_t kRecordBytesMax = (1U << 14U) + 2048;  // with what a cipher may add

}  // namespace

HandshakeGuard::Verdict HandshakeGuard::record_begins() {
  record_left_ = std::size_t{header_[3]} << 8U | header_[4];
  if (first_record_ && (header_[0] != kHandshake || header_[1] != 3 || record_left_ < sizeof(message_)))
    return Verdict::kNotTls;
  first_record_ = false;
  if (record_left_ > kRecordBytesMax) return Verdict::kTooLarge;
  if (header_[0] <= kHandshake) total_ += record_left_;
  return total_ > kHandshakeBytesMax ? Verdict::kTooLarge : Verdict::kFine;
}

HandshakeGuard::Verdict HandshakeGuard::message_begins() {
  if (first_message_ && message_[0] != kClientHello) return Verdict::kNotTls;
  hello_seen_ = !first_message_;
  first_message_ = false;
  message_left_ = std::size_t{message_[1]} << 16U | std::size_t{message_[2]} << 8U | message_[3];
  return message_left_ > kHandshakeMessageBytesMax ? Verdict::kTooLarge : Verdict::kFine;
}

HandshakeGuard::Verdict HandshakeGuard::look(std::string_view wire, bool changed_over) {
  const auto next = [&wire] {
    const auto byte = static_cast<std::uint8_t>(wire.front());
    wire.remove_prefix(1);
    return byte;
  };
  while (!wire.empty() && !encrypted_) {
    if (record_left_ == 0) {
      header_[header_bytes_++] = next();
      // The first byte alone shows a client that speaks plain HTTP and waits for an answer.
      if (first_record_ && header_[0] != kHandshake) return Verdict::kNotTls;
      if (header_bytes_ < sizeof(header_)) continue;
      header_bytes_ = 0;
      if (const auto verdict = record_begins(); verdict != Verdict::kFine) return verdict;
      if (header_[0] == kChangeCipherSpec && changed_over) encrypted_ = true;
    } else if (header_[0] != kHandshake) {
      const auto skip = std::min(record_left_, wire.size());
      record_left_ -= skip;
      wire.remove_prefix(skip);
    } else if (message_left_ != 0) {
      const auto skip = std::min({message_left_, record_left_, wire.size()});
      message_left_ -= skip;
      record_left_ -= skip;
      wire.remove_prefix(skip);
    } else {
      message_[message_header_bytes_++] = next();
      --record_left_;
      if (message_header_bytes_ < sizeof(message_)) continue;
      message_header_bytes_ = 0;
      if (const auto verdict = message_begins(); verdict != Verdict::kFine) return verdict;
    }
  }
  return Verdict::kFine;
}

}  // namespace codeq::transport
