// The records of the log: every change of a partition, with its time and its chance as data.
//
// Shape    a group of the log is a list of [varint size][type u8][version u8][fields]; bytes in docs/formats/records.md
// Unit     times are nanoseconds of record time since the epoch
// Errors   decode: kCorrupt with the record's place in the group; an unknown type or version is refused, never skipped
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "core/retry.h"
#include "core/rows.h"
#include "core/subscription.h"
#include "core/task.h"
#include "core/topic.h"

namespace codeq::core {

struct CreateRecord {
  std::int64_t time_ns = 0;
  std::int64_t received_ns = 0;  // the request's head was read
  std::int64_t visible_ns = 0;  // <= time: at once
  std::int64_t key_ttl_ns = 0;  // how long the idempotency key lives at least
  std::uint64_t id_random = 0;
  std::uint16_t partition = 0;
  std::string tenant, command, webhook, idempotency_key;
  std::shared_ptr<const std::string> payload;
  std::uint64_t content_hash = 0,
                content_hash_high = 0;  // XXH3-128 of the payload, seeded with XXH3-64 of the command; with a key only
  int priority = 0;
  std::uint32_t max_attempts = 5;
  bool default_attempts = false;  // max_attempts is the setting's, so a topic's goes before it (version 2)
  TraceContext trace;  // see TaskInfo::trace
  TraceId timeline_trace_id;
  SpanId create_span, create_parent;
  bool traced = false;
};

struct ClaimRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;  // the head of its queue
  std::shared_ptr<const std::string> worker;
  std::int64_t lease_ns = 0;
  std::uint64_t lease_token = 0;  // never 0
  SpanId queued_span, claim_span;
  SpanContext request;
  bool traced = false;  // tracing is on: the claim's span exists and is handed out
  // Its queue's topic limits the consumers (version 2). Whoever wrote version 1 did not count every lease for that.
  bool limited = false;
};

// What every call of a lease's owner carries.
struct OwnerFields {
  std::uint64_t sequence = 0, id_random = 0;
  std::string tenant, worker;
  std::uint64_t lease_token = 0;  // 0: not sent, then the subject alone decides
  std::int64_t received_ns = 0;
  SpanId span;  // of the call
  SpanId run_span;  // of the run that it ends, where it does
  SpanContext request;
};

struct HeartbeatRecord {
  std::int64_t time_ns = 0;
  OwnerFields owner;
  std::int64_t extend_ns = 0;
};
struct AbandonRecord {
  std::int64_t time_ns = 0;
  OwnerFields owner;
};

// Chance and rules for putting a task back or giving it up.
struct ReturnRules {
  RetryPolicy retry;
  std::uint64_t draw = 0;
  bool count_twice = false;  // attemptCounting: reference (G30)
  SpanId dead_letter_span;
  std::uint64_t delivery_id = 0;  // of the webhook, should the task die
  std::int64_t retention_ns = 0;  // should it die; a setting, so it is data like the rest
  SpanId copy_span;  // of the copy in the dead-letter topic, should it get one; invalid: it gets none (version 2)
  std::uint64_t copy_random = 0;
};
struct NackRecord {
  std::int64_t time_ns = 0;
  OwnerFields owner;
  std::int64_t delay_seconds = 0;  // <= 0: by the policy
  std::string reason;
  ReturnRules rules;
};
struct ExpireRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;
  SpanId span;
  ReturnRules rules;
};

struct SubmitRecord {
  std::int64_t time_ns = 0;
  OwnerFields owner;
  Status status{};  // kCompleted or kFailed; anything else is refused
  bool has_result = false;
  TaskResult result;  // its status and completed_ns are set by apply
  std::uint64_t delivery_id = 0;
  std::int64_t retention_ns = 0;
};

struct PromoteRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;
  SpanId span;
};
// A claim that nobody heard of is taken back: no attempt, same place in the queue.
struct UndeliveredRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0, lease_token = 0;
  SpanId run_span;
};
// One task; written by version 0.1 only, RetireBatchRecord has taken its place.
struct RetireRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;
};

enum class WebhookError : std::uint8_t {
  kNone = 0,
  kStatus,
  kTimeout,
  kConnect,
  kDns,
  kTls,
  kRefusedAddress,
  kBadUrl,
  kIo
};
struct WebhookRecord {
  std::int64_t time_ns = 0;
  std::uint64_t delivery_id = 0;
  std::int64_t start_ns = 0, end_ns = 0;
  int http_status = 0;
  WebhookError error{};
  SpanId span;
  std::uint32_t attempts_max = 5;
  std::int64_t backoff_base_ns = 0, backoff_max_ns = 0;
};
struct ReplayRecord {
  std::int64_t time_ns = 0;
  std::uint64_t delivery_id = 0;
  std::string tenant;
};

// Everything up to record `upto` became durable at durable_ns: the end of the spans that wait for it.
struct DurableRecord {
  std::int64_t time_ns = 0;
  std::uint64_t upto = 0;
  std::int64_t durable_ns = 0;
};
// Ties record time to a boot's steady clock, so that a restart continues it whatever the wall clock did meanwhile.
struct ClockRecord {
  std::int64_t time_ns = 0;
  std::int64_t steady_ns = 0;
  std::string boot_id;
};

// Finished tasks whose time has come. Everything that a retirement needs is here, so that applying it reads no row.
struct RetireBatchRecord {
  std::int64_t time_ns = 0;
  std::vector<RetireEntry> entries;
};

// Topics (topic.h) and subscriptions (subscription.h).
struct PutTopicRecord {
  std::int64_t time_ns = 0;
  std::string tenant, name;
  TopicPolicy policy;
};
struct DeleteTopicRecord {
  std::int64_t time_ns = 0;
  std::string tenant, name;
};
struct SubscribeRecord {
  std::int64_t time_ns = 0;
  Subscription subscription;  // its created_ns and host are set by apply
};
struct RenewSubscriptionRecord {
  std::int64_t time_ns = 0;
  std::string id, tenant, subject;
  std::int64_t ttl_ns = 0;
};
struct UnsubscribeRecord {
  std::int64_t time_ns = 0;
  std::string id, tenant, subject;
};
// The first thousand of those that are over at the record's time.
struct ExpireSubscriptionsRecord {
  std::int64_t time_ns = 0;
};

// --- what people do to tasks and queues from outside (docs/lifecycle.md) ---
// A producer ends a task that has not finished.
struct CancelRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0, id_random = 0;
  std::string tenant, reason;
  std::int64_t received_ns = 0;
  SpanId span;       // of the cancellation
  SpanId wait_span;  // of the waiting or the run that it ends
  SpanContext request;
  std::uint64_t delivery_id = 0;
  std::int64_t retention_ns = 0;
};
// A dead task gets its attempts back and waits again.
struct RedriveRecord {
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;
  std::string tenant;
  std::int64_t visible_ns = 0;  // <= time: at once
  std::int64_t received_ns = 0;
  SpanId span;
  SpanContext request;
};
struct PauseRecord {
  std::int64_t time_ns = 0;
  std::string tenant, command;
  bool paused = false;
};

// The order is the type byte on disk (from 1): append only.
using Record = std::variant<CreateRecord, ClaimRecord, HeartbeatRecord, AbandonRecord, NackRecord, ExpireRecord,
                            SubmitRecord, PromoteRecord, UndeliveredRecord, RetireRecord, WebhookRecord, ReplayRecord,
                            DurableRecord, ClockRecord, RetireBatchRecord, PutTopicRecord, DeleteTopicRecord,
                            SubscribeRecord, RenewSubscriptionRecord, UnsubscribeRecord, ExpireSubscriptionsRecord,
                            CancelRecord, RedriveRecord, PauseRecord>;

void append_record(const Record& record, std::string& group);
Result<std::vector<Record>> decode_group(std::string_view group);

std::string encode_result(const TaskResult& result);
class Writer;
void put_result(Writer& io, const TaskResult& result);  // the same bytes
Result<TaskResult> decode_result(std::string_view bytes);

}  // namespace codeq::core
