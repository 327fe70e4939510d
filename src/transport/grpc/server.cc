#include "transport/grpc/server.h"

#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "base/thread_name.h"
#include "transport/grpc/connection.h"
#include "transport/listen.h"

namespace codeq::transport {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // after an error such as "too many open files"

}  // namespace

struct GrpcServer::Impl {
  struct Port {
    Port(asio::io_context& context, const GrpcListener& what) : services(what), acceptor(context), pause(context) {}
    const GrpcListener& services;
    tcp::acceptor acceptor;
    asio::steady_timer pause;
    std::uint16_t number = 0;
  };

  Impl(GrpcOptions the_options, const grpc::CallDeps& the_deps) : options(std::move(the_options)), deps(the_deps) {
    deps.limits = options.calls;
    deps.crowded = [](const grpc::Call& call) { return call.slot != nullptr && call.slot->connection->crowded(); };
    for (unsigned i = 0; i < std::max(1U, options.io_threads); ++i)
      loops.push_back(std::make_unique<grpc::Loop>(options, deps, count, held));
    for (const auto& listener : options.listeners)
      ports.push_back(std::make_unique<Port>(loops.front()->context, listener));
  }
  ~Impl() {
    stop_accepting();
    for (auto& loop : loops) loop->stop();
    threads.clear();  // joins
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void accept(Port& port) {
    auto& target = *loops[next_loop++ % loops.size()];
    port.acceptor.async_accept(target.context, [this, &port, &target](const error_code& ec, tcp::socket socket) {
      if (!port.acceptor.is_open() || ec == asio::error::operation_aborted) return;
      if (ec) {
        port.pause.expires_after(kAcceptPause);
        port.pause.async_wait([this, &port](const error_code& cut) {
          if (!cut && port.acceptor.is_open()) accept(port);
        });
        return;
      }
      if (count.enter(options.connections_max)) target.adopt(std::move(socket), port.services);
      accept(port);
    });
  }

  void stop_accepting() {
    if (std::exchange(accepting_stopped, true) || threads.empty()) return;
    std::promise<void> closed;
    asio::post(loops.front()->context, [this, &closed] {
      error_code ignored;
      for (auto& port : ports) {
        port->acceptor.close(ignored);
        port->pause.cancel();
      }
      closed.set_value();
    });
    closed.get_future().wait();
  }

  GrpcOptions options;
  grpc::CallDeps deps;
  ConnectionCount count;
  std::atomic<std::ptrdiff_t> held{0};
  std::vector<std::unique_ptr<grpc::Loop>> loops;
  std::vector<std::unique_ptr<Port>> ports;  // on the first loop
  std::size_t next_loop = 0;
  bool accepting_stopped = false;
  std::vector<std::jthread> threads;  // last: joined before anything they use goes away
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() = default;

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(GrpcOptions options, grpc::CallDeps deps) {
  auto impl = std::make_unique<Impl>(std::move(options), deps);
  for (auto& port : impl->ports) {
    CODEQ_TRY(port->number, listen_on(port->acceptor, port->services.host, port->services.port, impl->options.backlog));
  }
  for (auto& port : impl->ports) impl->accept(*port);
  for (auto& loop : impl->loops) impl->threads.emplace_back([&loop = *loop] {
    name_thread("streams");
    loop.run();
  });
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

std::uint16_t GrpcServer::port(std::size_t listener) const { return impl_->ports.at(listener)->number; }
std::size_t GrpcServer::connections() const { return impl_->count.now(); }
std::size_t GrpcServer::held_bytes() const {
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(impl_->held.load(), 0));
}
void GrpcServer::stop_accepting() { impl_->stop_accepting(); }

void GrpcServer::begin_drain() {
  impl_->stop_accepting();
  for (auto& loop : impl_->loops) loop->drain();
}

bool GrpcServer::drain(std::chrono::milliseconds deadline) {
  begin_drain();
  return impl_->count.wait_for_none(deadline);
}

}  // namespace codeq::transport
