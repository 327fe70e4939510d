// A task, split by how it changes: TaskInfo never does after create, Task does with every transition.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/task_id.h"
#include "core/timeline.h"
#include "core/trace_context.h"

namespace codeq::core {

enum class Status : std::uint8_t { kPending = 1, kInProgress, kCompleted, kFailed };
// Where the task is; decides the JSON `lastKnownLocation`.
enum class Place : std::uint8_t { kReady = 1, kDelayed, kLeased, kDone, kDead };

inline constexpr int kPriorities = 10;  // 0..9, 9 first

// Shared read-only by the partition, the answers under way and the span drafts; hence shared_ptr<const TaskInfo>.
struct TaskInfo {
  TaskId id;
  std::string id_text;          // to_string(id), made once
  std::string tenant;
  std::string command;          // as submitted
  std::string webhook;          // empty: none
  std::string webhook_host;     // host[:port] of it, what a span may show
  std::string idempotency_key;  // empty: none
  std::uint64_t content_hash = 0, content_hash_high = 0;  // of what was created under the key
  std::int64_t key_expires_ns = 0;                         // the key lives at least until then
  int priority = 0;
  std::uint32_t max_attempts = 5;
  std::int64_t created_ns = 0;
  // The create span's context; with tracing off the received context as it is. `trace.span` may be invalid then.
  TraceContext trace;
  SpanId create_span;           // the create event's span; trace.span.span_id where traced
  SpanId create_parent;         // the request span, in the same trace; invalid: a root
  bool traced = false;          // tracing was on at create: the broker's own spans exist and are handed out
  TraceId timeline_trace_id;    // trace.span.trace_id, or one of our own where nothing came in and tracing was off
  bool from_dead_letter = false;  // a copy of a task that died: it is not copied again
};

// A lease's holder as records and rows keep it: the worker's id and, where that is not the subject of its token, the
// subject behind a 0x00. So a worker id that a stream chose for itself is of use to the same token subject alone.
inline std::string holder_of(std::string_view worker_id, std::string_view subject) {
  std::string holder(worker_id);
  if (worker_id != subject) holder.append(1, '\0').append(subject);
  return holder;
}
// The part of it that people see.
inline std::string_view worker_id_of(std::string_view holder) { return holder.substr(0, holder.find('\0')); }

struct Artifact {
  std::string name;
  std::string url;
  bool operator==(const Artifact&) const = default;
};

struct TaskResult {
  Status status = Status::kCompleted;
  std::string result_json;      // the object's bytes as sent; empty: none
  std::string error;
  std::vector<Artifact> artifacts;
  std::int64_t completed_ns = 0;
  bool operator==(const TaskResult&) const = default;
};

}  // namespace codeq::core
