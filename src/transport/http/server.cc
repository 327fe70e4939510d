#include "transport/http/server.h"

#include <boost/asio/post.hpp>
#include <future>
#include <optional>

#include "base/thread_name.h"
#include "transport/http/connection.h"
#include "transport/listen.h"

namespace codeq::transport {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // after an error such as "too many open files"

constexpr std::string_view kTooManyConnections =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 52\r\n\r\n"
    R"({"error":"too many connections","code":"overloaded"})";

}  // namespace

struct HttpServer::Impl {
  Impl(HttpOptions the_options, HttpDeps deps)
      : options(std::move(the_options)), in_flight(options.in_flight_bytes_max), api(options, std::move(deps)) {
    for (unsigned i = 0; i < std::max(1U, options.io_threads); ++i)
      loops.push_back(std::make_unique<http::Loop>(options, api, count, in_flight));
    acceptor.emplace(loops.front()->context);
    pause.emplace(loops.front()->context);
  }
  ~Impl() {
    stop_accepting();
    for (auto& loop : loops) loop->stop();
    threads.clear();  // joins
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void accept() {
    auto& target = *loops[next_loop++ % loops.size()];
    acceptor->async_accept(target.context, [this, &target](const error_code& ec, tcp::socket socket) {
      if (!acceptor->is_open() || ec == asio::error::operation_aborted) return;
      if (ec) {
        pause->expires_after(kAcceptPause);
        pause->async_wait([this](const error_code& cut) {
          if (!cut && acceptor->is_open()) accept();
        });
        return;
      }
      if (count.enter(options.connections_max))
        target.adopt(std::move(socket));
      else
        turn_away(socket);
      accept();
    });
  }

  void turn_away(tcp::socket& socket) const {
    error_code ignored;
    if (options.tls) return;  // a handshake would cost more than it is worth; the socket closes
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kTooManyConnections.data(), kTooManyConnections.size()), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void stop_accepting() {
    if (std::exchange(accepting_stopped, true) || threads.empty()) return;
    api.set_stopping();
    std::promise<void> closed;
    asio::post(loops.front()->context, [this, &closed] {
      error_code ignored;
      acceptor->close(ignored);
      pause->cancel();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  HttpOptions options;
  ConnectionCount count;
  http::InFlight in_flight;
  http::Api api;
  std::vector<std::unique_ptr<http::Loop>> loops;
  std::optional<tcp::acceptor> acceptor;        // on the first loop, like `pause`
  std::optional<asio::steady_timer> pause;
  std::size_t next_loop = 0;
  std::uint16_t port = 0;
  bool accepting_stopped = false;
  std::vector<std::jthread> threads;            // last: joined before anything they use goes away
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options, HttpDeps deps) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(deps));
  CODEQ_TRY(impl->port, listen_on(*impl->acceptor, impl->options.host, impl->options.port, impl->options.backlog));
  impl->accept();
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
