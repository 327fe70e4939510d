#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "transport/http/connection.h"

namespace codeq::transport::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto kTick = std::chrono::milliseconds(250);  // how late a timeout may be

}  // namespace

bool InFlight::refuses(const Route* route) const {
  if (!crowded()) return false;
  if (route == nullptr) return true;
  switch (route->id) {
    case RouteId::kHeartbeat:
    case RouteId::kAbandon:
    case RouteId::kNack:
    case RouteId::kSubmit:
    case RouteId::kSubmitBatch:
    case RouteId::kRenewSubscription:
    case RouteId::kUnsubscribe: return percent(100);
    case RouteId::kCreate:
    case RouteId::kCreateBatch: return true;
    case RouteId::kLivez:
    case RouteId::kReadyz:
    case RouteId::kHealthz:
    case RouteId::kVersion:
    case RouteId::kMetrics: return false;  // small, and what tells somebody about it
    default: return percent(85);
  }
}

Loop::Loop(const HttpOptions& opts, Api& the_api, ConnectionCount& the_count, InFlight& the_in_flight)
    : options(opts),
      api(the_api),
      count(the_count),
      in_flight(the_in_flight),
      inbox(
          std::make_shared<Inbox>([this] { asio::post(context, [this] { deliver(); }); },
                                  [&broker = the_api.broker()](const Shared& exchange) { give_back(broker, *exchange); })) {}

Loop::~Loop() { inbox->close(); }

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
    inbox->close();
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

void Loop::adopt(asio::ip::tcp::socket socket) {
  auto connection = std::make_shared<Connection>(*this, std::move(socket));
  asio::post(context, [this, connection = std::move(connection)]() mutable {
    if (stopped_ || draining_) {
      count.leave();
      return;
    }
    connection->start();
    connections_.insert(std::move(connection));
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
  inbox->take(burst_);
  for (const auto& exchange : burst_) {
    if (exchange->connection == nullptr)
      api.nobody_reads(*exchange);
    else
      exchange->connection->answered(exchange);
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
    const auto now = api.clock().steady_ns();
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) connection->tick(now);
    tick();
  });
}

}  // namespace codeq::transport::http
