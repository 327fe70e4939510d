#include <iterator>

#include "transport/http/connection.h"

namespace codeq::transport::http {

namespace {

constexpr auto kTick = std::chrono::milliseconds(250);  // how late a timeout may be
constexpr std::size_t kWireBytes = 64U << 10U;
constexpr std::size_t kPlainKept = 96U << 10U;
constexpr std::size_t kSpareMax = 16;  // requests that come in at the same time, in pieces; more cost an allocation each

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
    case RouteId::kUnsubscribe:
    case RouteId::kMetrics: return full();
    case RouteId::kCreate:
    case RouteId::kCreateBatch: return true;
    case RouteId::kLivez:
    case RouteId::kReadyz:
    case RouteId::kHealthz:
    case RouteId::kVersion: return false;  // small, and what tells somebody about it
    default: return percent(85);
  }
}

Loop::Loop(const HttpOptions& opts, Api& the_api, ConnectionCount& the_count, InFlight& the_in_flight,
           std::unique_ptr<Poller> the_poller)
    : poller(std::move(the_poller)),
      options(opts),
      api(the_api),
      count(the_count),
      in_flight(the_in_flight),
      inbox(std::make_shared<Inbox>([this] { poller->post([this] { deliver(); }); },
                                    [&broker = the_api.broker()](const Shared& exchange) { http::give_back(broker, *exchange); })),
      wire(kWireBytes) {}

Loop::~Loop() { inbox->close(); }

void Loop::run() {
  poller->run(
      kTick, [this] { tick(); }, [this] { return settle(); });
}

void Loop::stop() {
  poller->post([this] {
    stopped_ = true;
    while (!connections_.empty()) connections_.front().close();
    inbox->close();
    poller->stop();
  });
}

void Loop::drain() {
  poller->post([this] {
    draining_ = true;
    for (auto it = connections_.begin(); it != connections_.end();) (it++)->drain();  // which may take it out
  });
}

void Loop::adopt(Socket socket) {
  poller->post([this, socket = std::move(socket)]() mutable {
    if (stopped_ || draining_) return count.leave();
    connections_.emplace_back(*this, std::move(socket));
    connections_.back().place = std::prev(connections_.end());
    connections_.back().start();
  });
}

void Loop::remove(Connection& connection) {
  if (std::exchange(connection.reads_later, false)) std::erase(reading_, &connection);
  gone_.splice(gone_.end(), connections_, connection.place);
  count.leave();
}

void Loop::mark_dirty(Connection& connection) {
  if (!std::exchange(connection.dirty, true)) dirty_.push_back(&connection);
}

void Loop::read_later(Connection& connection) {
  if (!std::exchange(connection.reads_later, true)) reading_.push_back(&connection);
}

bool Loop::settle() {
  // One that has still more to read then waits until the sockets have been looked at.
  turn_.swap(reading_);
  for (auto* const connection : turn_) {
    connection->reads_later = false;
    connection->read_on();
  }
  turn_.clear();
  gone_.clear();
  return !reading_.empty();
}

std::unique_ptr<Incoming> Loop::lend_incoming() {
  if (spare_.empty())
    return std::make_unique<Incoming>(
        RequestLimits{.header_bytes_max = options.header_bytes_max, .body_bytes_max = options.body_bytes_max});
  auto incoming = std::move(spare_.back());
  spare_.pop_back();
  return incoming;
}

void Loop::give_back(std::unique_ptr<Incoming> incoming) {
  if (spare_.size() >= kSpareMax) return;
  incoming->reader.next();
  incoming->continue_sent = false;
  incoming->kernel_bytes = 0;
  if (in_flight.tight()) incoming->reader.request().body.shrink_to_fit();
  spare_.push_back(std::move(incoming));
}

void Loop::lend_output(std::string& out) {
  if (out.empty() && out.capacity() < spare_output_.capacity()) out.swap(spare_output_);
}

void Loop::give_back_output(std::string& out) {
  if (out.capacity() <= kOutputKept && out.capacity() > spare_output_.capacity() && !in_flight.tight())
    out.swap(spare_output_);
  out.clear();
  out.shrink_to_fit();
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
  for (auto* const connection : dirty_) {
    connection->dirty = false;
    connection->flush();
  }
  dirty_.clear();
}

void Loop::tick() {
  const auto now = api.clock().steady_ns();
  for (auto it = connections_.begin(); it != connections_.end();) (it++)->tick(now);  // which may take it out
  if (plain.capacity() > kPlainKept) plain = {};
  if (on_tick) on_tick();
}

}  // namespace codeq::transport::http
