// The messages of the two streams as their clients write and read them.
//
// Shape    proto/producerpb.proto and proto/workerpb.proto; writers append one message without its frame, readers borrow
// Errors   a reader's false: not protobuf. A field of another number or wire type is skipped
// Source   protobuf encoding specification; protozero writes and reads the primitives
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace codeq::app {

// ---------------------------------------------------------------- both

void write_hello(std::string& out, std::string_view token);

// What a server did with one create or one result.
struct StreamAck {
  std::uint64_t seq = 0;  // of a create
  std::string_view task_id;  // of a result; of a create that was taken
  bool ok = false;
  std::string_view error;
};

// ---------------------------------------------------------------- producer

struct StreamCreate {
  std::uint64_t seq = 0;
  std::string_view command, payload;
  std::int32_t priority = 0;
  std::int64_t run_at_ns = 0;  // 0: at once; since the epoch
};
void write_create(std::string& out, const StreamCreate& task);
void write_create_batch(std::string& out, const std::vector<StreamCreate>& tasks);

struct ProducerAnswer {
  bool is_hello = false;
  std::vector<StreamAck> acks;
  std::string_view error;  // a ServerError's message
};
// Replaces what is in `answer`.
bool read_producer_answer(std::string_view message, ProducerAnswer& answer);

// ---------------------------------------------------------------- worker

// A credit for 1 task, or for a batch of 1 to `count`.
void write_ready(std::string& out, const std::vector<std::string>& commands, std::int32_t lease_seconds,
                 std::int32_t count);
// Completed, with {"ok":true}.
void write_result(std::string& out, std::string_view task_id);
void write_result_batch(std::string& out, const std::vector<std::string_view>& task_ids);

struct StreamTask {
  std::string_view id, payload;
};
struct WorkerAnswer {
  bool is_hello = false;
  bool spends_credit = false;  // it came for a Ready
  std::vector<StreamTask> tasks;
  std::vector<StreamAck> acks;
  std::string_view error;  // a ServerError's message
};
// Replaces what is in `answer`.
bool read_worker_answer(std::string_view message, WorkerAnswer& answer);

}  // namespace codeq::app
