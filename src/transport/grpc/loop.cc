#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "transport/grpc/connection.h"

namespace codeq::transport::grpc {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto kTick = std::chrono::milliseconds(250);  // how late a timeout may be
constexpr std::size_t kReadBytes = 128U << 10U;

// The tasks of a claim that nobody will see.
void give_back(services::Broker& broker, const Letter& letter) {
  const auto* tasks = std::get_if<Result<std::vector<services::TaskSnapshot>>>(&letter.answer);
  if (tasks != nullptr && *tasks && !(*tasks)->empty()) broker.undelivered(**tasks);
}

}  // namespace

Loop::Loop(const GrpcOptions& opts, const CallDeps& the_deps, ConnectionCount& the_count,
           std::atomic<std::ptrdiff_t>& the_held)
    : options(opts),
      deps(the_deps),
      count(the_count),
      held(the_held),
      mailbox(
          std::make_shared<Letters>([this] { asio::post(context, [this] { deliver(); }); },
                                    [&broker = the_deps.broker](const Letter& letter) { give_back(broker, letter); })),
      buffer(kReadBytes, '\0') {}

Loop::~Loop() { mailbox->close(); }

void Loop::run() {
  tick();
  context.run();
}

void Loop::stop() {
  asio::post(context, [this] {
    stopped_ = true;
    timer_.cancel();
    auto all = std::move(connections_);
    connections_.clear();
    for (const auto& connection : all) connection->close();
    mailbox->close();
    context.stop();
  });
}

void Loop::drain() {
  asio::post(context, [this] {
    draining_ = true;
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) connection->drain();
  });
}

void Loop::adopt(asio::ip::tcp::socket socket, const GrpcListener& services) {
  auto connection = Connection::open(*this, std::move(socket), services);
  asio::post(context, [this, connection = std::move(connection)]() mutable {
    if (stopped_ || draining_ || connection == nullptr) {
      count.leave();
      return;
    }
    connections_.insert(connection);
    connection->start();
  });
}

void Loop::remove(Connection& connection) {
  if (connections_.erase(connection.shared_from_this()) != 0 || stopped_) count.leave();
}

void Loop::mark_dirty(Connection& connection) {
  if (std::exchange(connection.dirty, true)) return;
  dirty_.push_back(connection.shared_from_this());
}

void Loop::deliver() {
  mailbox->take(burst_);
  for (auto& letter : burst_) {
    letter.call->answered(letter.job, letter.answer);
    if (letter.call->slot != nullptr) letter.call->slot->connection->answered(*letter.call->slot);
  }
  burst_.clear();
  auto dirty = std::move(dirty_);
  dirty_.clear();
  for (const auto& connection : dirty) {
    connection->dirty = false;
    connection->flush();
  }
  dirty.clear();
  if (dirty_.empty()) dirty_ = std::move(dirty);  // keeps its capacity
}

void Loop::tick() {
  timer_.expires_after(kTick);
  timer_.async_wait([this](const error_code& ec) {
    if (ec || stopped_) return;
    const auto now = deps.clock.steady_ns();
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) connection->tick(now);
    deliver();  // and what the ticks made dirty
    tick();
  });
}

}  // namespace codeq::transport::grpc
