#include "app/client/handler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace codeq::app::client {
namespace {

constexpr std::size_t kLineBytesMax = 8192;
constexpr std::size_t kLastLineBytesMax = 512;
constexpr std::size_t kLeftInPipesMax = std::size_t{2} << 20;

struct Pipe {
  Fd read, write;
  static Result<Pipe> open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      return fail(Code::kIo, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

void no_wait(const Fd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

// stderr, line by line, each in one write so that the lines of several handlers do not mix.
class Lines {
 public:
  explicit Lines(std::string label) : label_(std::move(label)) {}

  void add(std::string_view data) {
    while (!data.empty()) {
      const auto end = data.find('\n');
      const auto piece = data.substr(0, std::min(end, kLineBytesMax - line_.size()));
      line_ += piece;
      data.remove_prefix(piece.size());
      if (data.starts_with('\n')) {
        data.remove_prefix(1);
        flush();
      } else if (line_.size() >= kLineBytesMax) {
        flush();
      }
    }
  }
  std::string finish() {
    if (!line_.empty()) flush();
    return std::move(last_);
  }

 private:
  void flush() {
    if (line_.find_first_not_of(" \t\r") != std::string::npos) last_ = line_.substr(0, kLastLineBytesMax);
    const auto text = fmt::format("[{}] {}\n", label_, line_);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    line_.clear();
  }
  std::string label_, line_, last_;
};

class Run {
 public:
  Run(const HandlerJob& job, HandlerStop& stop, Clock& clock)
      : job_(job), stop_(stop), clock_(clock), lines_(job.label), input_(job.input) {}

  Result<HandlerEnd> run() {
    if (auto started = start(); !started) return std::unexpected<Error>(started.error());
    if (job_.timeout.count() > 0) timeout_at_ = clock_.steady_ns() + job_.timeout.count();
    while (!turn()) {}
    return finish();
  }

 private:
  Result<> start() {
    CODEQ_TRY(auto in, Pipe::open());
    CODEQ_TRY(auto out, Pipe::open());
    CODEQ_TRY(auto err, Pipe::open());
    std::vector<std::string> environment;
    for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
    for (const auto& [name, value] : job_.variables) {
      std::erase_if(environment, [&](const std::string& known) { return known.starts_with(name + "="); });
      if (!value.empty()) environment.push_back(name + "=" + value);
    }
    auto words = job_.words;
    std::vector<char*> argv, envp;
    for (auto& word : words) argv.push_back(word.data());
    for (auto& variable : environment) envp.push_back(variable.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);

    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&files);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawn_file_actions_adddup2(&files, in.read.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out.write.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err.write.get(), STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    const int failed = ::posix_spawnp(&pid_, argv[0], &files, &attributes, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (failed != 0) return fail(Code::kIo, fmt::format("cannot run {}: {}", job_.words[0], std::strerror(failed)));
    process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!process_) {
      const auto why = fail(Code::kIo, fmt::format("cannot watch a process: {}", std::strerror(errno)));
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
      return why;
    }
    in_ = std::move(in.write);
    out_ = std::move(out.read);
    err_ = std::move(err.read);
    no_wait(in_);
    no_wait(out_);
    no_wait(err_);
    if (input_.empty()) in_ = Fd();
    return {};
  }

  // Waits for the next thing and does it. True: the process has ended.
  bool turn() {
    std::array<pollfd, 5> fds{pollfd{.fd = process_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = stop_.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = in_.get(), .events = POLLOUT, .revents = 0},
                              pollfd{.fd = out_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = err_.get(), .events = POLLIN, .revents = 0}};
    const auto due = terminated_ ? kill_at_ : timeout_at_;
    int wait_ms = -1;
    if (due > 0) {
      const auto left = std::max<std::int64_t>(due - clock_.steady_ns(), 0);
      wait_ms = static_cast<int>(std::min<std::int64_t>((left + kNanosPerMilli - 1) / kNanosPerMilli, 60'000));
    }
    ::poll(fds.data(), fds.size(), wait_ms);
    if (fds[2].revents != 0) write_input();
    if (fds[3].revents != 0 && !read_output()) out_ = Fd();
    if (fds[4].revents != 0 && !read_errors()) err_ = Fd();
    if (fds[0].revents != 0) return true;  // first: what ended by itself was not stopped
    if (fds[1].revents != 0) obey();
    if (due > 0 && clock_.steady_ns() >= due) {
      if (terminated_) {
        kill_group(SIGKILL);
        kill_at_ = 0;
      } else {
        terminate(HandlerEnd::Kind::kTimedOut);
      }
    }
    return false;
  }

  void obey() {
    stop_.take();
    if (!terminated_)
      terminate(stop_.reason() == StopReason::kLeaseLost ? HandlerEnd::Kind::kLeaseLost : HandlerEnd::Kind::kStopped);
    if (stop_.kill_now()) kill_group(SIGKILL);
  }

  void terminate(HandlerEnd::Kind why) {
    terminated_ = true;
    end_.kind = why;
    kill_group(SIGTERM);
    kill_group(SIGCONT);  // one that is stopped could not hear it
    kill_at_ = clock_.steady_ns() + std::max<std::int64_t>(job_.kill_after.count(), 1);
  }

  // The group is there until its leader has been waited for.
  void kill_group(int signal) const { ::kill(-pid_, signal); }

  void write_input() {
    while (!input_.empty()) {
      const auto written = ::write(in_.get(), input_.data(), input_.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EAGAIN) return;
      if (written < 0) break;  // it reads no further, which is its affair
      input_.remove_prefix(static_cast<std::size_t>(written));
    }
    in_ = Fd();
  }

  // False: the other side is closed.
  template <class F>
  static bool read_once(const Fd& fd, F&& take) {
    std::array<char, 64 << 10> buffer;
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got > 0) take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  }
  bool read_output() {
    return read_once(out_, [this](std::string_view data) {
      const auto room = job_.output_bytes_max - end_.output.size();
      end_.output += data.substr(0, room);
      end_.output_over = end_.output_over || data.size() > room;
      read_bytes_ += data.size();
    });
  }
  bool read_errors() {
    return read_once(err_, [this](std::string_view data) {
      lines_.add(data);
      read_bytes_ += data.size();
    });
  }

  HandlerEnd finish() {
    kill_group(SIGKILL);  // what it left behind must not hold the pipes, nor work on without a lease
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
    // What is in the pipes now is all that counts; a process that has left the group may still hold them.
    read_bytes_ = 0;
    const auto drain = [this](const Fd& fd, auto read) {
      pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
      while (fd && read_bytes_ < kLeftInPipesMax && ::poll(&ready, 1, 0) == 1 && read()) {}
    };
    drain(out_, [this] { return read_output(); });
    drain(err_, [this] { return read_errors(); });
    end_.last_line = lines_.finish();
    end_.code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    end_.signalled = WIFSIGNALED(status);
    if (end_.kind == HandlerEnd::Kind::kExited && end_.signalled) end_.kind = HandlerEnd::Kind::kSignalled;
    return std::move(end_);
  }

  const HandlerJob& job_;
  HandlerStop& stop_;
  Clock& clock_;
  Lines lines_;
  std::string_view input_;  // what is still to be written
  pid_t pid_ = -1;
  Fd process_, in_, out_, err_;
  bool terminated_ = false;
  std::int64_t timeout_at_ = 0, kill_at_ = 0;  // steady; 0: never
  std::size_t read_bytes_ = 0;
  HandlerEnd end_;
};

}  // namespace

HandlerStop::HandlerStop() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void HandlerStop::ask(StopReason reason) {
  auto none = StopReason::kNone;
  reason_.compare_exchange_strong(none, reason);
  if (reason == StopReason::kKill) kill_now_.store(true);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void HandlerStop::take() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_.get(), &count, sizeof count);
}

Result<HandlerEnd> run_handler(const HandlerJob& job, HandlerStop& stop, Clock& clock) {
  return Run(job, stop, clock).run();
}

bool can_run(const std::string& program) {
  const auto fits = [](const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
  };
  if (program.find('/') != std::string::npos) return fits(program);
  const char* path = std::getenv("PATH");
  std::string_view folders = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!program.empty()) {
    const auto folder = folders.substr(0, folders.find(':'));
    if (fits(std::filesystem::path(folder.empty() ? "." : folder) / program)) return true;
    if (folder.size() == folders.size()) break;
    folders.remove_prefix(folder.size() + 1);
  }
  return false;
}

}  // namespace codeq::app::client
