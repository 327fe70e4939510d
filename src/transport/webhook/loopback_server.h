// Tests only: a plain-socket HTTP server on a free loopback port, one thread per connection, that answers what it is told.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace codeq::transport::testing_support {

struct ReceivedRequest {
  std::string start_line;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string head;  // as it came
  std::string body;
};

// A connection on the server's side; `poll`s, so that the end of the server ends every wait.
class Peer {
 public:
  Peer(int fd, int stop_fd) : fd_(fd), stop_fd_(stop_fd) {}
  [[nodiscard]] int fd() const { return fd_; }

  // False at the end of the connection or of the server.
  bool read_more(std::string& into) const {
    pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) <= 0 || fds[1].revents != 0) return false;
    char buffer[4096];
    const auto got = recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    into.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  bool write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Until the client or the server goes away; the bytes are thrown away.
  void wait_for_end() const {
    for (std::string ignored; read_more(ignored); ignored.clear()) {}
  }
  std::optional<ReceivedRequest> read_request() {
    for (;;) {
      if (const auto end = buffer_.find("\r\n\r\n"); end != std::string::npos) {
        auto request = parse(buffer_.substr(0, end + 2));
        const auto length =
            request.headers.contains("content-length") ? std::stoul(request.headers["content-length"]) : 0;
        while (buffer_.size() < end + 4 + length) {
          if (!read_more(buffer_)) return std::nullopt;
        }
        request.body = buffer_.substr(end + 4, length);
        buffer_.erase(0, end + 4 + length);
        return request;
      }
      if (!read_more(buffer_)) return std::nullopt;
    }
  }

 private:
  static ReceivedRequest parse(const std::string& head) {
    ReceivedRequest request;
    request.head = head;
    std::size_t at = head.find("\r\n");
    request.start_line = head.substr(0, at);
    while ((at += 2) < head.size()) {
      const auto end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      auto name = line.substr(0, line.find(':'));
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers[name] = line.substr(std::min(line.size(), line.find(':') + 2));
      at = end;
    }
    return request;
  }

  int fd_;
  int stop_fd_;
  std::string buffer_;
};

class LoopbackServer {
 public:
  using Serve = std::function<void(Peer&)>;  // one connection; it is closed when this returns

  explicit LoopbackServer(Serve serve) : serve_(std::move(serve)) {
    listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listen_fd_, 64) != 0 ||
        getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || pipe(stop_) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this] { accept_all(); });
  }
  ~LoopbackServer() {
    close(stop_[1]);  // readable for everybody who polls it
    acceptor_.join();
    peers_.clear();
    close(stop_[0]);
    close(listen_fd_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

 private:
  void accept_all() {
    for (;;) {
      pollfd fds[2] = {{listen_fd_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      if (poll(fds, 2, -1) <= 0 || fds[1].revents != 0) return;
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      peers_.emplace_back([this, fd] {
        Peer peer(fd, stop_[0]);
        serve_(peer);
        close(fd);
      });
    }
  }

  Serve serve_;
  int listen_fd_ = -1;
  int stop_[2] = {-1, -1};
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::vector<std::jthread> peers_;  // acceptor_ only, until it has ended
  std::jthread acceptor_;
};

}  // namespace codeq::transport::testing_support
