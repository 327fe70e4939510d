// The compact events of a task's life. One event is one span of design section 6.2, with the ids it has in the exported
// trace, so the timeline and the backend can never disagree.
//
// Shape    at most kEventsPerTask per task: the first half and the last half are kept, those between are counted
// Unit     nanoseconds of record time
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/trace_context.h"

namespace codeq::core {

enum class EventKind : std::uint8_t {
  kCreate = 1,
  kDelayed,
  kQueued,
  kClaim,
  kRun,
  kHeartbeat,
  kAbandon,
  kNack,
  kSubmitResult,
  kLeaseExpired,
  kDeadLetter,
  kWebhook,
  kCancel,
  kRedrive,
};
enum class WaitCause : std::uint8_t { kReady = 1, kDelayed, kBackoff, kLeaseExpired };  // codeq.wait.cause
enum class RunOutcome : std::uint8_t { kCompleted = 1, kFailed, kNack, kAbandoned, kCancelled };  // codeq.run.outcome

struct Event {
  EventKind kind{};
  std::uint8_t detail = 0;  // WaitCause on kQueued/kDelayed, RunOutcome on kRun, Status on kSubmitResult,
      // 1 nack or 2 expiry on kDeadLetter, WebhookError on kWebhook, the Place that was left on kCancel
  std::uint32_t attempt = 0;  // delivery of the task; on kWebhook the delivery attempt of the webhook
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;  // 0 while the commit that ends it is under way
  SpanId span{};
  SpanId parent{};  // in the task's own trace
  SpanContext request{};  // link: the caller's request span
  SpanId previous_claim{};  // link, same trace: the claim of the attempt before
  std::int64_t value = 0;  // lease, extension or delay in seconds; HTTP status of a webhook answer (0: none)
  std::shared_ptr<const std::string> worker{};  // shared with the lease that it names
  [[nodiscard]] std::string_view worker_text() const { return worker ? std::string_view(*worker) : std::string_view(); }
  bool operator==(const Event& other) const;  // workers by their text: equal before and after a restart
};

inline constexpr std::size_t kEventsPerTask = 64;

class Timeline {
 public:
  // Returns the event's ordinal, counted from 0 over the whole life of the task.
  std::uint32_t add(Event&& event);
  // nullptr when that event was not kept.
  Event* find(std::uint32_t ordinal);
  [[nodiscard]] std::vector<Event> events() const;  // kept ones, in order
  [[nodiscard]] std::uint32_t dropped() const;
  // The timeline of which `events()` and `dropped()` said these. False: there is none.
  bool restore(std::vector<Event> events, std::uint32_t dropped);
  [[nodiscard]] std::size_t kept() const { return first_.size() + last_.size(); }
  template <class F>
  void each(F&& f) const {
    for (const auto& event : first_) f(event);
    // Ordinal n lives at n % kHalf, so the oldest of a full ring stands where the next one will go.
    const auto oldest = last_.size() < kHalf ? 0 : added_ % kHalf;
    for (std::size_t i = 0; i < last_.size(); ++i) f(last_[(oldest + i) % kHalf]);
  }

 private:
  static constexpr std::size_t kHalf = kEventsPerTask / 2;
  static constexpr std::size_t kUsual = 5;  // created, queued, claimed, run, submitted
  std::vector<Event> first_;
  std::vector<Event> last_;  // a ring of kEventsPerTask / 2, empty for nearly every task
  std::uint32_t added_ = 0;
};

}  // namespace codeq::core
