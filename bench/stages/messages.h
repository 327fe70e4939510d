// The usual messages of both wires, read or written over and over as a connection does, in buffers that are kept.
// Each returned function handles so many messages in one call; the task has a payload of 300 bytes and a trace.
#pragma once

#include <cstddef>
#include <functional>

namespace codeq::stages {

inline constexpr std::size_t kBurst = 16;  // messages of the streams in one call

using Repeat = std::move_only_function<void()>;
Repeat read_grpc_creates();  // kBurst, and so on
Repeat read_grpc_readies();
Repeat read_grpc_results();
Repeat write_grpc_create_acks();
Repeat write_grpc_tasks();
Repeat write_grpc_task_batch();  // one, of 32 tasks
Repeat write_grpc_result_acks();
Repeat read_http_create();  // one, and so on
Repeat read_http_create_batch();  // one, of 32 tasks
Repeat read_http_claim();
Repeat read_http_submit();
Repeat write_http_tasks();  // kBurst

}  // namespace codeq::stages
