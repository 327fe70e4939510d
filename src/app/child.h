// A child process of ours: this very program with other arguments.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace codeq::app {

class Child {
 public:
  // Starts `codeq ARGUMENTS` with these variables added; stdout and stderr go to `log_file`. Errors: kIo
  static Result<Child> start(const std::vector<std::string>& arguments,
                             const std::vector<std::pair<std::string, std::string>>& variables,
                             const std::string& log_file);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    end(9);
    pid_ = std::exchange(other.pid_, -1);
    return *this;
  }
  ~Child() { end(9); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Sends the signal and waits; the exit status, or 128 + signal.
  int end(int signal);

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

// A loopback port that was free a moment ago.
std::uint16_t free_port();
// Polls GET url until it answers 200. False: not within ten seconds.
bool wait_until_ready(const std::string& url);

struct HttpAnswer {
  long status = 0;
  std::string body;
};
// One request with libcurl; `body` empty: GET. Status 0: no answer.
HttpAnswer http_call(const std::string& url, const std::vector<std::string>& headers, const std::string& body);

}  // namespace codeq::app
