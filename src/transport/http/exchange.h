// One request on its way through the broker and back, and the inbox in which its answer comes home.
//
// Threads  An exchange belongs to the io thread of its connection, but for `answer`: the broker's thread writes that, and
//          hands the exchange over through the inbox, whose lock orders the two.
// Owners   shared: the connection keeps it in the order of its requests, the broker's callback keeps it until it answers,
//          and either may be the last, because a client can go away while its poll is parked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "observe/metrics.h"
#include "services/auth.h"
#include "services/broker.h"
#include "transport/http/artifacts.h"
#include "transport/http/decode.h"
#include "transport/http/router.h"
#include "transport/http/trace_write.h"
#include "transport/mailbox.h"

namespace codeq::transport::http {

class Connection;
class Inbox;

enum class ContentKind : std::uint8_t { kNone, kJson, kText, kMetrics, kOpenMetrics };

struct Response {
  int status = 0;
  ContentKind content = ContentKind::kNone;
  std::int64_t retry_after_seconds = 0;  // 0: no Retry-After
  std::string body;
};

struct ArtifactsWritten {
  std::vector<ArtifactWriter::Written> jobs;
};

// Those that are large lie outside, so that an exchange is small: every parked poll keeps one. The calls of a task's usual
// life have no such answers.
template <class T>
using Kept = std::conditional_t<sizeof(Result<T>) <= 48, Result<T>, std::unique_ptr<Result<T>>>;

using Answer =
    std::variant<std::monostate, Kept<std::vector<Result<services::TaskSnapshot>>>, Kept<std::vector<services::TaskSnapshot>>,
                 Kept<void>, Kept<services::NackOutcome>, Kept<std::vector<Result<services::ResultSnapshot>>>,
                 Kept<services::TaskSnapshot>, Kept<services::TaskAndResult>, Kept<services::TimelineSnapshot>,
                 Kept<std::vector<services::DeliverySnapshot>>, Kept<services::DeliverySnapshot>, Kept<observe::MetricsPage>,
                 Kept<std::size_t>, Kept<services::Principal>, ArtifactsWritten, Kept<services::TopicPut>, Kept<core::Topic>,
                 Kept<core::Subscription>, Kept<std::vector<core::Subscription>>, Kept<services::TaskPage>,
                 Kept<services::DeadLetterPage>, Kept<services::DeadLetterOutcome>, Kept<services::QueueStats>,
                 Kept<std::vector<services::TenantQueue>>>;

// A submission on its way: uploads are written only for tasks that the caller holds.
struct Submission {
  std::vector<SubmitBody> items;
  std::vector<std::optional<Error>> refused;  // per item
  std::size_t checking = 0;  // the item that get_task was asked for
  std::vector<std::size_t> uploading;  // items whose files are being written
};

// A request whose bearer is not known before a key has been fetched: what is needed to go on then.
struct HeldRequest {
  Request request;
  std::string query;
  core::TraceContext incoming;
  bool overloaded = false;
};

// What few exchanges have.
struct Rare {
  std::vector<std::optional<Error>> refused;  // per item of a batch create, those the broker never saw
  CleanupBody cleanup;
  std::string location;  // of a redirect
  TraceFormat trace_format = TraceFormat::kJson;
  observe::MetricsFormat metrics_format{};
  std::string tracestate;
};

struct Exchange {
  std::shared_ptr<Inbox> inbox;
  Connection* connection = nullptr;  // null once the connection is gone
  std::shared_ptr<Exchange> next;  // in the ExchangeLine of its connection
  const Route* route = nullptr;  // null: answered without one

  bool keep_alive = true;
  bool http11 = true;
  bool head_only = false;  // a HEAD request: the body's length but not the body
  bool ready = false;  // `response` is complete
  bool waiting_for_broker = false;
  bool poll = false;  // may be parked: counted, and abandoned when the client goes
  bool span_open = false;
  bool dry_run = false;  // of a redrive or purge, to be said back
  services::CallId call = 0;

  services::Caller caller;
  std::string id;  // of the path
  std::string request_id;
  core::SpanContext span;  // of the request; the context received where tracing is off
  core::SpanId parent;
  std::int64_t batch_count = -1;  // messaging.batch.message_count

  std::unique_ptr<HeldRequest> held;
  std::unique_ptr<Submission> submission;
  std::unique_ptr<Rare> rare;  // null: it has none of that
  std::vector<services::TaskSnapshot> claimed;  // handed out by `response`: given back if it cannot be written

  Answer answer;
  Response response;

  Rare& rarely() {
    if (!rare) rare = std::make_unique<Rare>();
    return *rare;
  }
};

// The requests of a connection that are under way, oldest first. It costs no memory of its own: each holds the next.
class ExchangeLine {
 public:
  ExchangeLine() = default;
  ~ExchangeLine() {
    while (!empty()) pop_front();  // and not one inside the other
  }
  ExchangeLine(const ExchangeLine&) = delete;
  ExchangeLine& operator=(const ExchangeLine&) = delete;

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const std::shared_ptr<Exchange>& front() const { return first_; }
  [[nodiscard]] bool front_ready() const { return first_ != nullptr && first_->ready; }
  [[nodiscard]] bool any(bool (*which)(const Exchange&)) const {
    for (const auto* exchange = first_.get(); exchange != nullptr; exchange = exchange->next.get())
      if (which(*exchange)) return true;
    return false;
  }
  void push_back(std::shared_ptr<Exchange> exchange) {
    auto* const added = exchange.get();
    (empty() ? first_ : last_->next) = std::move(exchange);
    last_ = added;
    ++size_;
  }
  std::shared_ptr<Exchange> pop_front() {
    auto taken = std::move(first_);
    first_ = std::move(taken->next);
    --size_;
    return taken;
  }

 private:
  std::shared_ptr<Exchange> first_;
  Exchange* last_ = nullptr;
  std::uint32_t size_ = 0;
};

class Inbox final : public Mailbox<std::shared_ptr<Exchange>> {
 public:
  using Mailbox::Mailbox;
};

// The callback that brings a broker's answer home.
template <class T>
services::Done<T> reply_to(std::shared_ptr<Exchange> exchange) {
  return [exchange = std::move(exchange)](Result<T> result) mutable {
    if constexpr (std::is_same_v<Kept<T>, Result<T>>)
      exchange->answer.template emplace<Result<T>>(std::move(result));
    else
      exchange->answer.template emplace<Kept<T>>(std::make_unique<Result<T>>(std::move(result)));
    const auto inbox = exchange->inbox;
    inbox->push(std::move(exchange));
  };
}

}  // namespace codeq::transport::http
