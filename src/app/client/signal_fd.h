// SIGTERM and SIGINT as a descriptor to poll. Constructed before any thread starts, so that no thread gets them.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "app/fd.h"

namespace codeq::app::client {

class SignalFd {
 public:
  SignalFd() : fd_(open()) {}

  [[nodiscard]] int get() const { return fd_.get(); }
  // Whether one has come; takes it.
  [[nodiscard]] bool take() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info);
  }
  void wait() const {
    pollfd fd{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    while (!take()) ::poll(&fd, 1, -1);
  }

 private:
  static int open() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  Fd fd_;
};

}  // namespace codeq::app::client
