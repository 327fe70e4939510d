// What a partition shows on the page of metrics beside what it counts.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "services/partition.h"

namespace codeq::services {
namespace {

// Heads of queues that are read for their age, of one page: a broker with thousands of idle queues must not read them all.
constexpr std::size_t kColdHeadsMax = 64;

}  // namespace

void Partition::gauges(Done<observe::Gauges> done) {
  post<observe::Gauges>(Kind::kOwner, 64, std::move(done), [this](auto reply) mutable {
    std::vector<std::uint64_t> cold;
    state_.each_queue([&](const core::Queue& queue) {
      for (const auto& level : queue.ready)
        if (cold.size() < kColdHeadsMax && !level.empty() && state_.task(level.front()) == nullptr)
          cold.push_back(level.front());
    });
    with_tasks(cold, [this, reply = std::move(reply)]() mutable {
      answer([reply = std::move(reply), gauges = gauges_now()]() mutable { reply(std::move(gauges)); });
    });
  });
}

observe::Gauges Partition::gauges_now() {
  observe::Gauges gauges;
  std::unordered_map<std::string, observe::Gauges::Queue> queues;
  state_.each_queue([&](const core::Queue& queue) {
    auto& sum = queues[queue.command];
    if (sum.command.empty()) sum.command = queue.label;
    sum.ready += queue.ready_count;
    sum.delayed += queue.delayed;
    sum.in_progress += queue.in_progress;
    sum.dlq += queue.dead;
    for (const auto& level : queue.ready) {
      if (level.empty()) continue;
      if (const auto* head = state_.task(level.front()); head != nullptr)
        sum.oldest_ns = std::max(sum.oldest_ns, stamp_ns_ - head->wait_from_ns);
      else
        sum.oldest_known = false;  // it was one too many to be read
    }
  });
  for (auto& [command, queue] : queues) gauges.queues.push_back(std::move(queue));
  std::ranges::sort(gauges.queues, {}, &observe::Gauges::Queue::command);

  std::unordered_map<std::string, std::uint64_t> subscriptions;
  for (const auto& [id, one] : state_.subscriptions().all())
    if (stamp_ns_ < one.expires_ns)
      for (const auto& type : one.event_types) ++subscriptions[type];
  gauges.subscriptions.assign(subscriptions.begin(), subscriptions.end());
  std::ranges::sort(gauges.subscriptions);

  gauges.leases = state_.leases().size();
  gauges.parked_claims = parked_.claims();
  gauges.parked_results = parked_.size() - parked_.claims();
  gauges.outbox = outbox_.size();
  // Ids are instants, in order: the first one that has not failed is the oldest. Those before it are not looked at again.
  auto oldest = state_.deliveries().lower_bound(oldest_pending_);
  while (oldest != state_.deliveries().end() && oldest->second.failed) ++oldest;
  if (oldest != state_.deliveries().end()) {
    oldest_pending_ = oldest->first;
    gauges.outbox_oldest_ns = std::max<std::int64_t>(stamp_ns_ - static_cast<std::int64_t>(oldest->first), 0);
  } else {
    oldest_pending_ = last_delivery_ + 1;
  }
  return gauges;
}

void Partition::count_attempt(observe::Webhook kind, const WebhookOutcome& outcome, std::int64_t ns,
                              const core::SpanContext* span) {
  const auto text = outcome.delivered()        ? std::string_view("success")
                    : outcome.http_status != 0 ? "status"
                                               : outcome.error;
  deps_.metrics.webhook_attempt(kind, text, ns, span, stamp_ns_);
}

}  // namespace codeq::services
