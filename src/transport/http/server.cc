#include "transport/http/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <future>
#include <optional>
#include <thread>

#include "base/thread_name.h"
#include "transport/http/connection.h"
#include "transport/listen.h"

namespace codeq::transport {

namespace {

constexpr int kAcceptBurst = 32;  // connections taken in one turn of the first loop

constexpr std::string_view kTooManyConnections =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 52\r\n\r\n"
    R"({"error":"too many connections","code":"overloaded"})";

}  // namespace

struct HttpServer::Impl final : http::Pollable {
  Impl(HttpOptions the_options, HttpDeps deps)
      : options(std::move(the_options)), in_flight(options.in_flight_bytes_max), api(options, std::move(deps)) {}
  ~Impl() {
    stop_accepting();
    for (auto& loop : loops) loop->stop();
    threads.clear();  // joins
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<> open() {
    for (unsigned i = 0; i < std::max(1U, options.io_threads); ++i) {
      CODEQ_TRY(auto poller, http::Poller::open());
      loops.push_back(std::make_unique<http::Loop>(options, api, count, in_flight, std::move(poller)));
    }
    boost::asio::io_context unused;
    boost::asio::ip::tcp::acceptor acceptor(unused);
    CODEQ_TRY(port, listen_on(acceptor, options.host, options.port, options.backlog));
    boost::system::error_code ec;
    listener.emplace(acceptor.release(ec));
    if (ec || ::fcntl(listener->fd(), F_SETFL, ::fcntl(listener->fd(), F_GETFL) | O_NONBLOCK) != 0)
      return fail(Code::kIo, "cannot listen on a socket that does not block");
    loops.front()->on_tick = [this] {
      if (std::exchange(pausing, false) && listener && !listen_again()) pausing = true;
    };
    return listen_again();
  }

  Result<> listen_again() { return loops.front()->poller->watch_listener(listener->fd(), *this); }

  void on_ready(Ready) override {
    for (int i = 0; i < kAcceptBurst && listener && !pausing; ++i) {
      const int fd = ::accept4(listener->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        http::Socket socket(fd);
        if (count.enter(options.connections_max))
          loops[next_loop++ % loops.size()]->adopt(std::move(socket));
        else
          turn_away(socket);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
        // Such as "too many open files": until the next tick, or it would be told of again and again.
        loops.front()->poller->forget(listener->fd());
        pausing = true;
      }
    }
  }

  void turn_away(http::Socket& socket) const {
    if (options.tls) return;  // a handshake would cost more than it is worth; the socket closes
    socket.send(kTooManyConnections);
    socket.finish_sending();
  }

  void stop_accepting() {
    if (std::exchange(accepting_stopped, true) || threads.empty()) return;
    api.set_stopping();
    std::promise<void> closed;
    loops.front()->poller->post([this, &closed] {
      listener.reset();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  HttpOptions options;
  ConnectionCount count;
  http::InFlight in_flight;
  http::Api api;
  std::vector<std::unique_ptr<http::Loop>> loops;
  std::optional<http::Socket> listener;  // of the first loop, like the two below
  bool pausing = false;
  std::size_t next_loop = 0;
  std::uint16_t port = 0;
  bool accepting_stopped = false;
  std::vector<std::jthread> threads;  // last: joined before anything they use goes away
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options, HttpDeps deps) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(deps));
  CODEQ_TRY_VOID(impl->open());
  for (auto& loop : impl->loops) impl->threads.emplace_back([&loop = *loop] {
    name_thread("http");
    loop.run();
  });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

std::uint16_t HttpServer::port() const { return impl_->port; }
std::size_t HttpServer::connections() const { return impl_->count.now(); }
std::size_t HttpServer::parked_polls() const { return impl_->api.parked_polls(); }
void HttpServer::stop_accepting() { impl_->stop_accepting(); }

bool HttpServer::drain(std::chrono::milliseconds deadline) {
  impl_->stop_accepting();
  for (auto& loop : impl_->loops) loop->drain();
  return impl_->count.wait_for_none(deadline);
}

}  // namespace codeq::transport
