#include <algorithm>
#include <deque>
#include <vector>

#include "base/check.h"
#include "core/codec.h"
#include "core/state.h"

namespace codeq::core {
namespace {

void add(Writer& io, const SpanContext& c) {
  io(c.trace_id.bytes);
  io(c.span_id.bytes);
  io(c.flags);
}

void add(Writer& io, const Event& e) {
  io(e.kind);
  io(e.detail);
  io(e.attempt);
  io(e.start_ns);
  io(e.end_ns);
  io(e.span.bytes);
  io(e.parent.bytes);
  add(io, e.request);
  io(e.previous_claim.bytes);
  io(e.value);
  io(e.worker);
}

void add(Writer& io, const TaskInfo& i) {
  io(i.id_text);
  io(i.tenant);
  io(i.command);
  io(i.webhook);
  io(i.webhook_host);
  io(i.idempotency_key);
  io(i.priority);
  io(i.max_attempts);
  io(i.created_ns);
  add(io, i.trace.span);
  io(i.trace.tracestate);
  io(i.trace.baggage);
  io(i.create_span.bytes);
  io(i.create_parent.bytes);
  io(i.traced);
  io(i.content_hash);
  io(i.content_hash_high);
  io(i.key_expires_ns);
  io(i.timeline_trace_id.bytes);
  io(i.from_dead_letter);
}

template <class Due>
void put_due(Writer& io, const Due& due) {
  io(std::uint64_t{due.size()});
  for (const auto& [time, sequence] : due) {
    io(time);
    io(sequence);
  }
}

template <class Map>
auto sorted_keys(const Map& map) {
  std::vector<typename Map::key_type> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

std::string State::digest() const {
  std::string out;
  Writer io(out);
  io(last_sequence_);
  io(records_);
  io(last_time_ns_);
  io(clock_.time_ns);
  io(clock_.steady_ns);
  io(clock_.boot_id);
  std::map<std::uint64_t, const Task*> tasks;
  tasks_.each([&](const Task& task) { tasks[task.info->id.sequence] = &task; });
  std::deque<Task> packed;
  tasks_.each_mark([&](std::uint64_t sequence, std::uint32_t mark) {
    const auto* row = packed_row(mark);
    if (row == nullptr) return;
    CHECK(decode_body(sequence, *row, packed.emplace_back()).has_value());
    tasks[sequence] = &packed.back();
  });
  for (const auto& [sequence, task] : tasks) {
    const auto& t = *task;
    add(io, *t.info);
    io(t.status);
    io(t.place);
    io(t.attempts);
    io(t.error);
    io(t.updated_ns);
    io(t.worker);
    io(t.lease_until_ns);
    io(t.lease_token);
    io(t.due_ns);
    io(t.wait_from_ns);
    io(t.cause);
    io(t.claim_traced);
    io(t.claim_span.bytes);
    io(t.run_from_ns);
    io(t.retire_ns);
    io(t.has_result);
    io(t.delivery);
    io(t.finished() ? std::uint64_t{0} : t.ready_position);
    io(t.payload);
    io(t.result ? encode_result(*t.result) : std::string());
    t.timeline.each([&](const Event& e) { add(io, e); });
    io(t.timeline.dropped());
  }
  for (const auto& key : sorted_keys(queues_)) {
    const auto& q = *queues_.at(key);
    io(key);
    io(q.ready_count);
    io(q.delayed);
    io(q.in_progress);
    io(q.dead);
    io(q.finished);
    io(q.paused);
    io(q.id);
    io(q.topic != nullptr);
    for (const auto& [worker, leases] : q.holders) {
      io(worker);
      io(leases);
    }
    for (const auto& level : q.ready) {
      io(std::uint64_t{0});
      level.each([&](std::uint64_t s) { io(s); });
    }
  }
  for (const auto& key : sorted_keys(ready_of_)) {
    io(key);
    io(std::uint64_t{ready_of_.at(key).size()});
  }
  for (const auto& [id, d] : deliveries_) {
    io(id);
    io(d.sequence);
    io(d.tenant);
    io(d.host);
    io(d.parent.bytes);
    io(d.failed);
    io(d.attempts);
    io(d.attempts_total);
    io(d.due_ns);
    io(d.last_http_status);
    io(d.last_error);
  }
  put_due(io, delayed_.sorted());
  put_due(io, leases_);
  for (const auto& open : open_) {
    io(open.record);
    io(open.sequence);
    io(open.ordinal);
  }
  io.end();
  digest_catalogue(out);
  return out;
}

}  // namespace codeq::core
