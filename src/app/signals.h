// SIGTERM, SIGINT and, where it means something, SIGHUP as something to wait for. Constructed before any thread starts, so
// that no thread gets them.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "app/exit_codes.h"

namespace codeq::app {

class StopSignal {
 public:
  // `takes_hang_ups`: else SIGHUP ends the process, as a closed terminal should.
  explicit StopSignal(bool takes_hang_ups = false) {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    if (takes_hang_ups) sigaddset(&set_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // `on_hang_up`: at every SIGHUP meanwhile, on this thread.
  int wait(const std::function<void()>& on_hang_up = {}) {
    int signal = 0;
    while (sigwait(&set_, &signal) != 0 || signal == SIGHUP) {
      if (std::exchange(signal, 0) == SIGHUP && on_hang_up) on_hang_up();
    }
    // A stop takes at most 16 s (10 to drain, 5 to flush spans); whatever hangs past that is cut.
    struct sigaction cut{};
    cut.sa_handler = [](int) { _exit(kExitInternal); };
    sigaction(SIGALRM, &cut, nullptr);
    alarm(16);
    return signal;
  }

 private:
  sigset_t set_{};
};

}  // namespace codeq::app
