#include "app/client/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace codeq::app::client {
namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void say(int fd, const char* colour, std::string_view word, std::string_view text) {
  const bool coloured = isatty(fd) == 1 && std::getenv("NO_COLOR") == nullptr;
  write_all(fd,
            coloured ? fmt::format("{}[{}]\033[0m {}\n", colour, word, text) : fmt::format("[{}] {}\n", word, text));
}

// While it lives the terminal does not show what is typed.
class NoEcho {
 public:
  explicit NoEcho(bool wanted) {
    hidden_ = wanted && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!hidden_) return;
    auto now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &now);
  }
  ~NoEcho() {
    if (!hidden_) return;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    write_all(STDERR_FILENO, "\n");
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
  bool hidden_ = false;
};

}  // namespace

void say_ok(std::string_view text) { say(STDOUT_FILENO, "\033[32m", "OK", text); }
void say_warning(std::string_view text) { say(STDERR_FILENO, "\033[33m", "WARN", text); }
void say_error(std::string_view text) { say(STDERR_FILENO, "\033[31m", "ERROR", text); }

void print(std::string_view text) {
  std::string line(text);
  if (!line.ends_with('\n')) line += '\n';
  write_all(STDOUT_FILENO, line);
}

bool is_interactive() { return isatty(STDIN_FILENO) == 1; }

std::string ask(std::string_view question, const std::string& preset, bool secret) {
  write_all(STDERR_FILENO, preset.empty() ? fmt::format("{}: ", question)
                                          : fmt::format("{} [{}]: ", question, secret ? "****" : preset));
  const NoEcho hidden(secret);
  std::string line;
  std::getline(std::cin, line);
  return line.empty() ? preset : line;
}

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60) return size.ws_col;
  return 120;
}

}  // namespace codeq::app::client
