// Which sockets of one io thread are ready, and what other threads want done on it.
//
// Shape    one epoll set (epoll(7)). A socket is told once of every change (edge triggered), so its owner reads and writes
//          until nothing is left, or remembers that there is more. Waiting costs neither memory nor a system call
// Errors   open, watch: kIo
// Threads  post from any; everything else on the thread that is in `run`, or before it
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace codeq::transport::http {

// A socket of TCP that never blocks. Owns it.
class Socket {
 public:
  enum class Outcome : std::uint8_t { kMoved, kBlocked, kEnded, kFailed };
  struct Moved {
    Outcome outcome;
    std::size_t bytes = 0;
  };

  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  Socket& operator=(Socket&&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  Moved receive(char* to, std::size_t room);  // kEnded: the peer sends no more
  Moved send(std::string_view bytes);  // as many as fit; never kEnded
  void finish_sending();
  void close();

 private:
  int fd_;
};

class Pollable {
 public:
  struct Ready {
    bool input, output;  // may be read, may be written: after an error both, so that the call says which
    bool ended;  // behind what can be read now is the end, or an error
  };
  virtual void on_ready(Ready ready) = 0;

 protected:
  ~Pollable() = default;
};

class Poller {
 public:
  static Result<std::unique_ptr<Poller>> open();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Until the socket is closed. What is ready already is told, too.
  Result<> watch(int socket, Pollable& owner);
  // A socket that is told of again and again, as long as there is something to accept; until it is closed, or `forget`.
  Result<> watch_listener(int socket, Pollable& owner);
  void forget(int socket);

  void post(std::move_only_function<void()> act);  // any thread

  // After every burst, once the sockets have been told and what was posted is done. True: there is more to do at once.
  using Settle = std::function<bool()>;
  // Calls `tick` every `period`. Returns after the burst in which `stop` was called.
  void run(std::chrono::milliseconds period, const std::function<void()>& tick, const Settle& settle);
  void stop() { stopped_ = true; }

 private:
  explicit Poller(std::array<int, 3> fds) : epoll_(fds[0]), wake_(fds[1]), timer_(fds[2]) {}
  Result<> add(int fd, std::uint32_t events, void* owner);
  void do_posted();

  const int epoll_, wake_, timer_;
  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;  // under mutex_
  std::atomic<bool> armed_{false};  // something was posted since the thread looked; set under mutex_
  std::atomic<bool> waiting_{false};  // the thread may be asleep
  std::vector<std::move_only_function<void()>> taken_;
  bool stopped_ = false;
};

}  // namespace codeq::transport::http
