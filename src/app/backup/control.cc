#include "app/backup/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "app/fd.h"

namespace codeq::app {
namespace {

constexpr const char* kName = "control.sock";

std::unexpected<Error> failed(const std::string& what) {
  return fail(Code::kIo, what + ": " + std::strerror(errno));
}

// A socket's path has 107 bytes; the folder's may be longer, so it is named through its descriptor.
std::optional<sockaddr_un> address_in(const Fd& folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + kName;
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// A line, without its end; nothing: the other side has gone, is too slow or says too much.
std::optional<std::string> read_line(int fd, std::string& rest) {
  while (true) {
    if (const auto end = rest.find('\n'); end != std::string::npos) {
      auto line = rest.substr(0, end);
      rest.erase(0, end + 1);
      return line;
    }
    if (rest.size() > kControlLineMax) return std::nullopt;
    std::array<char, 4096> bytes{};
    const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    rest.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

void limit_waiting(int fd, int seconds) {
  const timeval limit{.tv_sec = seconds, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

struct Control::Parts {
  Fd folder, listener, stop_event;
  Serve serve;
  std::jthread thread;

  void run(const std::stop_token& stop) {
    while (true) {
      std::array<pollfd, 2> wait{{{listener.get(), POLLIN, 0}, {stop_event.get(), POLLIN, 0}}};
      if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
      if (stop.stop_requested()) return;
      if ((wait[0].revents & POLLIN) == 0) continue;
      const Fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) {  // too many open files: look again in a while
        ::poll(&wait[1], 1, 200);
        continue;
      }
      limit_waiting(client.get(), 5);
      std::string rest;
      if (const auto line = read_line(client.get(), rest))
        serve(*line, [&](const std::string& answer) { return send_all(client.get(), answer + "\n"); }, stop);
    }
  }
};

Control::Control(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Control::~Control() {
  parts_->thread.request_stop();
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(parts_->stop_event.get(), &one, sizeof one);
  parts_->thread = {};
  unlinkat(parts_->folder.get(), kName, 0);
}

Result<std::unique_ptr<Control>> Control::start(const std::string& folder, Serve serve) {
  auto parts = std::make_unique<Parts>();
  parts->serve = std::move(serve);
  parts->folder = Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  parts->listener = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  parts->stop_event = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!parts->folder || !parts->listener || !parts->stop_event) return failed("cannot open " + folder);
  const auto address = address_in(parts->folder);
  unlinkat(parts->folder.get(), kName, 0);  // of a process that was killed: we hold the folder's lock
  // Until its own mode is set, the folder's (0700) protects it.
  const int bound = address ? ::bind(parts->listener.get(), generic(*address), sizeof *address) : -1;
  if (bound != 0 || ::fchmodat(parts->folder.get(), kName, 0600, 0) != 0 || ::listen(parts->listener.get(), 4) != 0) return failed("cannot listen on " + folder + "/" + kName);
  auto control = std::unique_ptr<Control>(new Control(std::move(parts)));
  control->parts_->thread =
      std::jthread([all = control->parts_.get()](const std::stop_token& stop) { all->run(stop); });
  return control;
}

Result<void> ask_control(const std::string& folder, const std::string& line,
                         const std::function<void(std::string_view)>& heard) {
  const Fd place(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return fail(Code::kInvalidArgument, "cannot open " + folder + ": " + std::strerror(errno));
  const Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_in(place);
  if (!server || !address) return failed("cannot reach the broker of " + folder);
  if (::connect(server.get(), generic(*address), sizeof *address) != 0)
    return fail(Code::kUnavailable, "no broker answers in " + folder);
  if (!send_all(server.get(), line + "\n")) return failed("cannot ask the broker of " + folder);
  std::string rest;
  bool ended = false;
  while (!ended) {
    const auto answer = read_line(server.get(), rest);
    if (!answer) return fail(Code::kIo, "the broker of " + folder + " went away");
    ended = answer->starts_with("done ") || answer->starts_with("error ");
    heard(*answer);
  }
  return {};
}

}  // namespace codeq::app
