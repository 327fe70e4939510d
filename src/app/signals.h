// SIGTERM and SIGINT as something to wait for. Constructed before any thread starts, so that no thread gets them.
#pragma once

#include <signal.h>
#include <unistd.h>

#include "app/exit_codes.h"

namespace codeq::app {

class StopSignal {
 public:
  StopSignal() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  int wait() {
    int signal = 0;
    while (sigwait(&set_, &signal) != 0) {}
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
