#include "app/bench/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace codeq::app {
namespace {

bool is_loopback(const BenchAddress& address) {
  return ntohl(reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr.s_addr) >> 24 == 127;
}

}  // namespace

Result<BenchAddress> BenchAddress::look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &raw) != 0)
    return fail(Code::kInvalidArgument, "unknown host " + host);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(raw, &freeaddrinfo);
  BenchAddress address;
  std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
  address.size = list->ai_addrlen;
  address.family = list->ai_family;
  return address;
}

bool BenchConnection::connect(const BenchAddress& address, std::uint32_t source) {
  close();
  fd_ = socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return false;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};  // on Linux the send timeout bounds connect too (socket(7))
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (source != 0 && address.family == AF_INET && is_loopback(address)) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source);
    const int late = 1;  // the port is chosen with the destination in mind
    setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      close();
      return false;
    }
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK) != 0) {
    close();
    return false;
  }
  return true;
}

void BenchConnection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  out_.clear();
  in_.clear();
  sent_ = 0;
  used_ = 0;
}

bool BenchConnection::send(std::string_view request) {
  out_.assign(request);
  sent_ = 0;
  return flush();
}

bool BenchConnection::flush() {
  while (sent_ < out_.size()) {
    const auto n = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    sent_ += static_cast<std::size_t>(n);
  }
  return true;
}

BenchConnection::Io BenchConnection::receive(Answer& answer) {
  in_.erase(0, used_);
  used_ = 0;
  char buffer[64 * 1024];
  for (;;) {
    const auto n = recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Io::kWaiting;
    if (n <= 0) return Io::kBroken;
    in_.append(buffer, static_cast<std::size_t>(n));
    break;
  }
  switch (parse_answer(in_, answer)) {
    case AnswerState::kMore: return Io::kWaiting;
    case AnswerState::kBad: return Io::kBroken;
    case AnswerState::kDone: break;
  }
  if (in_.size() != answer.size) return Io::kBroken;  // more than was asked for
  used_ = answer.size;
  return Io::kAnswer;
}

}  // namespace codeq::app
