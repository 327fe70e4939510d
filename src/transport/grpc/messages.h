// The messages of the two stream services, read from and written to the protobuf wire format.
//
// Shape    proto/producerpb.proto and proto/workerpb.proto, field by field; unknown fields are skipped
// Errors   kInvalidArgument "malformed message": not protobuf, a known field of another wire type, text that is not UTF-8
// Bounds   what is read borrows from the message, whose size its reader has bounded; repeated fields are counted by callers
// Cost     no allocation but the lists and what an answer appends to `out`
// Source   protobuf encoding specification; protozero reads and writes the primitives
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "services/broker.h"

namespace codeq::transport::grpc {

// ---------------------------------------------------------------- producer, in

struct CreateMessage {
  std::uint64_t seq = 0;
  std::string_view command, payload, webhook, idempotency_key, trace_parent, trace_state;
  std::int32_t priority = 0, max_attempts = 0, delay_seconds = 0;
  std::optional<std::int64_t> run_at_ns;
};

struct ProducerEvent {
  enum class Kind : std::uint8_t { kNone, kHello, kCreate, kCreateBatch } kind = Kind::kNone;
  std::string_view body;  // of the one that is set
};
Result<ProducerEvent> read_producer_event(std::string_view message);
Result<CreateMessage> read_create(std::string_view body);
// The bodies of its CreateTask messages; refused beyond `tasks_max`.
Result<std::vector<std::string_view>> read_create_batch(std::string_view body, std::size_t tasks_max);

struct HelloMessage {
  std::string_view token, worker_id;  // a producer has no worker_id
};
Result<HelloMessage> read_hello(std::string_view body);

// ---------------------------------------------------------------- worker, in

struct ReadyMessage {
  std::vector<std::string_view> commands;
  std::int32_t lease_seconds = 0, count = 0;
};
struct ResultMessage {
  std::string_view task_id, status, result_json, error;
};
// Heartbeat, nack and abandon in one: each has its own fields set.
struct OwnerMessage {
  std::string_view task_id, reason;
  std::int32_t seconds = 0;
};
struct WorkerEvent {
  enum class Kind : std::uint8_t { kNone, kHello, kReady, kResult, kNack, kHeartbeat, kAbandon, kResultBatch };
  Kind kind = Kind::kNone;
  std::string_view body;
};
Result<WorkerEvent> read_worker_event(std::string_view message);
Result<ReadyMessage> read_ready(std::string_view body, std::size_t commands_max);
Result<ResultMessage> read_result(std::string_view body);
Result<std::vector<std::string_view>> read_result_batch(std::string_view body, std::size_t results_max);
Result<OwnerMessage> read_owner_call(std::string_view body);

// ---------------------------------------------------------------- out: each appends one framed message

struct CreateAckMessage {
  std::uint64_t seq = 0;
  std::string_view task_id;  // where it was taken
  std::string_view error;  // where it was not
};
void append_producer_hello_ack(std::string& out, std::string_view tenant, std::string_view subject);
void append_create_ack(std::string& out, const CreateAckMessage& ack);
void append_create_ack_batch(std::string& out, const std::vector<CreateAckMessage>& acks);
void append_producer_error(std::string& out, std::string_view code, std::string_view message);

struct AckMessage {
  std::string_view task_id;
  std::string_view error;  // empty: ok
};
void append_worker_hello_ack(std::string& out, std::string_view worker_id, std::string_view tenant);
void append_task(std::string& out, const services::TaskSnapshot& task);
void append_task_batch(std::string& out, const std::vector<services::TaskSnapshot>& tasks);
void append_result_ack(std::string& out, const AckMessage& ack);
void append_result_ack_batch(std::string& out, const std::vector<AckMessage>& acks);
void append_heartbeat_ack(std::string& out, const AckMessage& ack);
void append_nack_ack(std::string& out, const AckMessage& ack, std::int64_t applied_delay_seconds, bool dead);
void append_abandon_ack(std::string& out, const AckMessage& ack);
void append_worker_error(std::string& out, std::string_view code, std::string_view message);

// What a task needs in a message beside its payload and the bytes that came with it, at most.
inline constexpr std::size_t kTaskOverheadBytes = 2048;
// How large the task is as a message.
std::size_t task_message_bytes(const services::TaskSnapshot& task);
// No less than that; a few additions.
std::size_t task_message_bytes_at_most(const services::TaskSnapshot& task);

// ---------------------------------------------------------------- health

Result<std::string_view> read_health_request(std::string_view message);  // the service's name
void append_health_response(std::string& out, int serving_status);  // 1 serving, 2 not, 3 unknown service

}  // namespace codeq::transport::grpc
