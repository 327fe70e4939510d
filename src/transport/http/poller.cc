#include "transport/http/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/check.h"

namespace codeq::transport::http {

namespace {

constexpr int kBurst = 128;  // sockets told of between two looks at what other threads posted

std::unexpected<Error> failure(const char* act) {
  return fail(Code::kIo, std::string(act) + ": " + std::generic_category().message(errno));
}

Socket::Outcome outcome_of_errno() {
  return errno == EAGAIN || errno == EWOULDBLOCK ? Socket::Outcome::kBlocked : Socket::Outcome::kFailed;
}

}  // namespace

Socket::Moved Socket::receive(char* to, std::size_t room) {
  ssize_t n = 0;
  do n = ::recv(fd_, to, room, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return {outcome_of_errno()};
  return {n == 0 ? Outcome::kEnded : Outcome::kMoved, static_cast<std::size_t>(n)};
}

Socket::Moved Socket::send(std::string_view bytes) {
  ssize_t n = 0;
  do n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return {outcome_of_errno()};
  return {Outcome::kMoved, static_cast<std::size_t>(n)};
}

void Socket::finish_sending() { ::shutdown(fd_, SHUT_WR); }

void Socket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<std::unique_ptr<Poller>> Poller::open() {
  std::array<int, 3> fds{::epoll_create1(EPOLL_CLOEXEC), ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                         ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  std::unique_ptr<Poller> poller(new Poller(fds));  // closes them in any case
  if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0) return failure("cannot wait for sockets");
  // Edge triggered, it is never read: every write is an edge of its own. A timer goes on only when it is read.
  CODEQ_TRY_VOID(poller->add(poller->wake_, EPOLLIN | EPOLLET, nullptr));
  CODEQ_TRY_VOID(poller->add(poller->timer_, EPOLLIN, poller.get()));
  return poller;
}

Poller::~Poller() {
  for (const int fd : {timer_, wake_, epoll_})
    if (fd >= 0) ::close(fd);
}

Result<> Poller::add(int fd, std::uint32_t events, void* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return failure("cannot wait for a socket");
  return {};
}

Result<> Poller::watch(int socket, Pollable& owner) {
  return add(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &owner);
}

Result<> Poller::watch_listener(int socket, Pollable& owner) { return add(socket, EPOLLIN, &owner); }

void Poller::forget(int socket) {
  epoll_event unused{};
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, &unused);
}

void Poller::post(std::move_only_function<void()> act) {
  {
    const std::scoped_lock lock(mutex_);
    posted_.push_back(std::move(act));
    if (armed_.exchange(true)) return;  // somebody has written already, or the thread has not looked yet
  }
  // Either the thread sees `armed_` before it sleeps, or we see that it may be asleep: both sides write first and then read,
  // in the one order of all such operations (seq_cst).
  if (!waiting_.load()) return;
  const std::uint64_t one = 1;
  const auto written = ::write(wake_, &one, sizeof(one));
  CHECK(written == sizeof(one));  // fails only 2^64 writes from here
}

void Poller::do_posted() {
  if (!armed_.load()) return;
  {
    const std::scoped_lock lock(mutex_);
    armed_.store(false);
    taken_.swap(posted_);
  }
  for (auto& act : taken_) act();
  taken_.clear();
}

void Poller::run(std::chrono::milliseconds period, const std::function<void()>& tick, const Settle& settle) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(period);
  const timespec every{.tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(period - seconds).count()};
  const itimerspec timer{.it_interval = every, .it_value = every};
  CHECK(::timerfd_settime(timer_, 0, &timer, nullptr) == 0);
  std::array<epoll_event, kBurst> events;
  bool more = false;
  while (!stopped_) {
    waiting_.store(!more);
    const int count = ::epoll_wait(epoll_, events.data(), kBurst, more || armed_.load() ? 0 : -1);
    waiting_.store(false);
    bool ticks = false;
    for (int i = 0; i < count; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) continue;  // what was posted is done below
      if (event.data.ptr == this) {
        std::uint64_t periods = 0;
        ticks = ::read(timer_, &periods, sizeof(periods)) == sizeof(periods);
        continue;
      }
      const bool failed = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
      const bool ended = failed || (event.events & EPOLLRDHUP) != 0;
      static_cast<Pollable*>(event.data.ptr)
          ->on_ready({.input = ended || (event.events & EPOLLIN) != 0,
                      .output = failed || (event.events & EPOLLOUT) != 0,
                      .ended = ended});
    }
    if (ticks) tick();
    do_posted();
    more = settle();
  }
}

}  // namespace codeq::transport::http
