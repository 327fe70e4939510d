#include "transport/grpc/worker_call.h"

#include <algorithm>

#include "core/json_scan.h"

namespace codeq::transport::grpc {
namespace {

constexpr std::size_t kCommandBytesMax = 256;
constexpr std::size_t kClaimBytes = 256U << 10U;  // of the tasks of one claim, but for the first
constexpr std::size_t kClaimsPerPool = 4;            // at the Broker at one time
constexpr std::size_t kSinglesPerClaim = 256;
constexpr std::size_t kWorkerIdBytesMax = 256;
constexpr std::size_t kReadyCommandsMax = 100;       // as over HTTP
constexpr std::int64_t kWaitForEverMs = 365LL * 24 * 3600 * 1000;
constexpr std::int64_t kRetryNs = 100 * kNanosPerMilli;  // after a refusal that will pass
constexpr std::int64_t kSecondsMax = 6'000'000'000;
constexpr std::size_t kUsualBurst = 16;              // messages of one read
constexpr std::size_t kAckRestBytes = 32;            // tags, lengths and the flag of one ack

bool blank_or_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

observe::StreamMessage message_of(WorkerEvent::Kind kind) {
  using Message = observe::StreamMessage;
  switch (kind) {
    case WorkerEvent::Kind::kReady: return Message::kReady;
    case WorkerEvent::Kind::kResult: return Message::kResult;
    case WorkerEvent::Kind::kResultBatch: return Message::kResultBatch;
    case WorkerEvent::Kind::kNack: return Message::kNack;
    case WorkerEvent::Kind::kHeartbeat: return Message::kHeartbeat;
    case WorkerEvent::Kind::kAbandon: return Message::kAbandon;
    case WorkerEvent::Kind::kHello:
    case WorkerEvent::Kind::kNone: return Message::kOther;
  }
  return Message::kOther;
}

bool is_object(std::string_view json, std::size_t depth_max) {
  return !core::scan_object(json, [](const core::JsonMember&) {}, depth_max);
}

}  // namespace

// ---------------------------------------------------------------- who

Result<std::optional<HelloMessage>> WorkerCall::first(std::string_view bytes) const {
  CODEQ_TRY(const auto event, read_worker_event(bytes));
  if (event.kind != WorkerEvent::Kind::kHello) return std::nullopt;
  CODEQ_TRY(const auto hello, read_hello(event.body));
  return hello;
}

bool WorkerCall::opened(std::string_view worker_id) {
  worker_id_ = worker_id.empty() ? std::string_view(who_.subject) : worker_id;
  if (worker_id_.empty() || worker_id_.size() > kWorkerIdBytesMax || blank_or_control(worker_id_)) {
    finish(number_of(GrpcStatus::kInvalidArgument), worker_id_.empty() ? "workerId is required" : "invalid worker_id");
    return false;
  }
  holder_ = core::holder_of(worker_id_, who_.subject);
  reply([&](std::string& out) { append_worker_hello_ack(out, worker_id_, who_.tenant); });
  return true;
}

void WorkerCall::error(std::string_view code, std::string_view message) {
  reply([&](std::string& out) { append_worker_error(out, code, message); });
}

bool WorkerCall::allowed(std::string_view scope) {
  if (who_.has_scope(scope)) return true;
  error("PermissionDenied", "missing scope");
  return false;
}

void WorkerCall::rejected(const char* operation, Code code) {
  if (deps_.metrics != nullptr) deps_.metrics->stream_rejected(operation, wire_status(code).slug);
}

void WorkerCall::event(std::string_view bytes) {
  const auto event = read_worker_event(bytes);
  if (!event) return malformed();
  using Kind = WorkerEvent::Kind;
  count(message_of(event->kind));
  switch (event->kind) {
    case Kind::kReady: return ready(event->body);
    case Kind::kResult: return result(event->body);
    case Kind::kResultBatch: return result_batch(event->body);
    case Kind::kNack:
    case Kind::kHeartbeat:
    case Kind::kAbandon: return owner_call(event->kind, event->body);
    case Kind::kHello: return error("FailedPrecondition", "already-authenticated");
    case Kind::kNone: return error("InvalidArgument", "unknown-event");
  }
}

// ---------------------------------------------------------------- credits

void WorkerCall::ready(std::string_view body) {
  auto message = read_ready(body, kReadyCommandsMax);
  if (!message && message.error().code == Code::kBatchTooLarge)
    return error("InvalidArgument", "at most 100 commands of at most 256 bytes");
  if (!message) return malformed();
  if (!allowed("codeq:claim")) return;
  std::vector<std::string> commands;
  for (const auto command : message->commands) {
    const auto name = trimmed(command);
    if (name.empty()) continue;
    if (name.size() > kCommandBytesMax) return error("InvalidArgument", "at most 100 commands of at most 256 bytes");
    if (!who_.may_handle(name)) return error("PermissionDenied", "event type not allowed");
    commands.emplace_back(name);
  }
  // Nothing asked for: whatever the token may handle, which is any command of the tenant for a wildcard.
  if (commands.empty() && !who_.any_event_type()) commands = who_.event_types;
  if (draining()) return;
  if (credits_ >= deps_.limits.credits_max) return error("ResourceExhausted", "too many credits");
  auto* pool = pool_for(std::move(commands), std::max(message->lease_seconds, 0));
  if (pool == nullptr) return error("ResourceExhausted", "too many different Ready");
  change_credits(1);
  if (message->count <= 1)
    ++pool->singles;
  else
    pool->batches.push_back(static_cast<std::uint32_t>(
        std::min<std::size_t>(static_cast<std::size_t>(message->count), deps_.limits.ready_count_max)));
}

WorkerCall::Pool* WorkerCall::pool_for(std::vector<std::string> commands, std::int64_t lease_seconds) {
  for (const auto& pool : pools_)
    if (pool->lease_seconds == lease_seconds && pool->commands == commands) return pool.get();
  if (pools_.size() >= deps_.limits.pools_max) drop_idle_pools();
  if (pools_.size() >= deps_.limits.pools_max) return nullptr;
  auto& pool = pools_.emplace_back(std::make_unique<Pool>());
  pool->commands = std::move(commands);
  pool->lease_seconds = lease_seconds;
  for (const auto& command : pool->commands) pool->bytes += sizeof(command) + command.size();
  pool_bytes_ += pool->bytes;
  return pool.get();
}

void WorkerCall::drop_idle_pools() {
  std::erase_if(pools_, [this](const auto& pool) {
    if (pool->idle()) pool_bytes_ -= pool->bytes;
    return pool->idle();
  });
}

void WorkerCall::pump() {
  for (const auto& pool : pools_) pump(*pool);
}

void WorkerCall::pump(Pool& pool) {
  while (pool.claims < kClaimsPerPool && claims_.size() < deps_.limits.claims_max && !ending_soon() &&
         unsent() < deps_.limits.output_bytes_pause) {
    if (pool.singles == 0 && pool.batches.empty()) return;
    // Where memory is spent, who reads goes on with one claim at a time, and who does not gets nothing more.
    if ((unsent() > 0 || !claims_.empty()) && deps_.crowded && deps_.crowded(*this)) return;
    const auto now = deps_.clock.steady_ns();
    if (now < pool.retry_at_ns) return;
    pool.retry_at_ns = 0;
    if (deps_.rates != nullptr && !std::exchange(pool.may_go, false)) {
      if (const auto wait = deps_.rates->reserve_ns(services::RateBucket::kWorker, rate_key_); wait > 0) {
        if (deps_.metrics != nullptr) deps_.metrics->rate_limit_hit("worker", "claim");
        pool.may_go = true;
        pool.retry_at_ns = now + wait;
        return;
      }
    }
    if (pool.singles > 0) {
      const auto count = std::min(pool.singles, kSinglesPerClaim);
      pool.singles -= count;
      claim(pool, count, false);
    } else {
      const auto count = pool.batches.front();
      pool.batches.pop_front();
      claim(pool, count, true);
    }
  }
}

void WorkerCall::credit_back(Pool& pool, std::size_t count, bool batch) {
  if (batch)
    pool.batches.push_front(static_cast<std::uint32_t>(count));
  else
    pool.singles += count;
}

void WorkerCall::claim(Pool& pool, std::size_t count, bool batch) {
  const auto job = next_job();
  auto& claim = claims_[job];
  claim = {.pool = &pool, .count = count, .batch = batch};
  ++pool.claims;
  claim.call = deps_.broker.claim(as_worker(),
                                  {.commands = pool.commands,
                                   .count = static_cast<std::uint32_t>(count),
                                   .lease_seconds = pool.lease_seconds,
                                   .wait_ms = kWaitForEverMs,
                                   .bytes_max = batch ? std::size_t{2} << 20U : kClaimBytes},
                                  to_me<std::vector<services::TaskSnapshot>>(job));
}

void WorkerCall::claimed(Claim claim, Result<std::vector<services::TaskSnapshot>>& answer) {
  auto& pool = *claim.pool;
  --pool.claims;
  if (ending_soon()) {
    if (answer && !answer->empty()) deps_.broker.undelivered(*answer);
    return;
  }
  if (!answer || answer->empty()) {
    const bool passes = !answer
                            ? answer.error().code == Code::kOverloaded || answer.error().code == Code::kUnavailable ||
                                  answer.error().code == Code::kDiskFull
                            : true;
    if (!passes) {  // it would be refused again and again
      change_credits(-static_cast<std::int64_t>(claim.batch ? 1 : claim.count));
      rejected("claim", answer.error().code);
      return error(code_name(wire_status(answer.error().code).grpc), answer.error().message);
    }
    credit_back(pool, claim.count, claim.batch);
    pool.retry_at_ns = deps_.clock.steady_ns() + kRetryNs;
    return;
  }
  if (claim.batch) {
    if (hand_out_batch(*std::move(answer)))
      change_credits(-1);
    else
      credit_back(pool, claim.count, true);
  } else {
    const auto unused = hand_out_singles(*answer);
    change_credits(-static_cast<std::int64_t>(answer->size() - unused));
    credit_back(pool, claim.count - answer->size() + unused, false);
  }
  pump(pool);
}

std::size_t WorkerCall::hand_out_singles(const std::vector<services::TaskSnapshot>& tasks) {
  std::vector<services::LeaseRef> sent;
  sent.reserve(tasks.size());
  for (const auto& task : tasks) {
    if (task.payload->size() > deps_.limits.message_bytes_max / 2 &&
        task_message_bytes(task) > deps_.limits.message_bytes_max) {
      turn_down_too_large(task);
      continue;
    }
    reply([&](std::string& out) { append_task(out, task); });
    sent.push_back({task.info->id.sequence, task.lease_token});
  }
  const auto unused = tasks.size() - sent.size();
  if (!sent.empty()) hand_out(std::move(sent));
  return unused;
}

bool WorkerCall::hand_out_batch(std::vector<services::TaskSnapshot> tasks) {
  // Payloads were bounded by the claim; what came with the tasks may still make the message too large.
  std::size_t bytes = 0, fit = 0;
  for (const auto& task : tasks) bytes += task_message_bytes_at_most(task);
  if (bytes <= deps_.limits.message_bytes_max) fit = tasks.size();  // nearly always: no need to look closer
  for (bytes = 0; fit < tasks.size(); ++fit) {
    bytes += task_message_bytes(tasks[fit]);
    if (bytes > deps_.limits.message_bytes_max) break;
  }
  if (fit == 0) {
    turn_down_too_large(tasks.front());
    tasks.erase(tasks.begin());
    return !tasks.empty() && hand_out_batch(std::move(tasks));
  }
  if (fit < tasks.size()) {
    deps_.broker.undelivered(
        std::vector<services::TaskSnapshot>(tasks.begin() + static_cast<std::ptrdiff_t>(fit), tasks.end()));
    tasks.resize(fit);
  }
  reply([&](std::string& out) { append_task_batch(out, tasks); });
  hand_out(services::leases_of(tasks));
  return true;
}

// No client takes a message of that size: the attempt fails with a reason that people find in the dead letters.
void WorkerCall::turn_down_too_large(const services::TaskSnapshot& task) {
  rejected("claim", Code::kBodyTooLarge);
  deps_.broker.nack(as_worker(), {.task_id = task.info->id_text, .lease_token = task.lease_token}, 0,
                    "the task is too large for a message of a stream", [](const Result<services::NackOutcome>&) {});
}

void WorkerCall::abandon_claims() {
  for (const auto& [job, claim] : claims_) deps_.broker.abandon_call(claim.call);
}

// ---------------------------------------------------------------- results

Result<services::SubmitResult> WorkerCall::prepare(const ResultMessage& message) const {
  constexpr std::size_t kShownBytes = 64;
  if (message.status != "COMPLETED" && message.status != "FAILED")
    return fail(Code::kInvalidStatus, "invalid status (must be COMPLETED or FAILED): \"" +
                                          std::string(message.status.size() <= kShownBytes ? message.status : "...") +
                                          '"');
  services::SubmitResult item;
  if (!message.result_json.empty() && trimmed(message.result_json) != "null") {
    if (!is_object(message.result_json, deps_.limits.json_depth_max))
      return fail(Code::kInvalidBody, "invalid result_json");
    item.result_json = std::string(message.result_json);
  }
  item.task_id = message.task_id;
  item.may_lack_result = true;
  item.status = message.status;
  item.error = message.error;
  return item;
}

void WorkerCall::result(std::string_view body) {
  const auto message = read_result(body);
  if (!message) return malformed();
  if (!allowed("codeq:result")) return;
  auto item = prepare(*message);
  if (!item) {
    rejected("result", item.error().code);
    return reply([&](std::string& out) {
      append_result_ack(out, {.task_id = message->task_id, .error = item.error().message});
    });
  }
  begin(1, body.size());
  if (burst_items_.empty()) {
    burst_items_.reserve(kUsualBurst);
    burst_.items.reserve(kUsualBurst);
  }
  burst_.bytes += body.size();
  burst_.items.push_back({.task_id = item->task_id, .refused = {}});
  burst_items_.push_back(*std::move(item));
}

void WorkerCall::result_batch(std::string_view body) {
  const auto bodies = read_result_batch(body, deps_.limits.batch_max);
  if (!bodies && bodies.error().code == Code::kBatchTooLarge)
    return finish(number_of(GrpcStatus::kInvalidArgument), bodies.error().message);
  if (!bodies) return malformed();
  if (bodies->empty()) return;
  if (!allowed("codeq:result")) return;
  Results job{.items = {}, .bytes = body.size(), .batch = true};
  job.items.reserve(bodies->size());
  std::vector<services::SubmitResult> items;
  for (const auto one : *bodies) {
    const auto message = read_result(one);
    if (!message) return malformed();
    auto& kept = job.items.emplace_back(ResultItem{.task_id = std::string(message->task_id), .refused = {}});
    auto item = prepare(*message);
    if (item) {
      items.push_back(*std::move(item));
    } else {
      rejected("result", item.error().code);
      kept.refused = std::move(item).error().message;
    }
  }
  begin(job.items.size(), job.bytes);
  ask(std::move(job), std::move(items));
}

void WorkerCall::ask(Results results, std::vector<services::SubmitResult> items) {
  const auto job = next_job();
  const bool none = items.empty();
  results.received_ns = received_ns();
  auto& kept = results_[job];
  kept = std::move(results);
  if (!none)
    return deps_.broker.submit(as_worker(), std::move(items),
                               to_me<std::vector<Result<services::ResultSnapshot>>>(job));
  Result<std::vector<Result<services::ResultSnapshot>>> nothing;
  auto node = results_.extract(job);
  submitted(node.mapped(), nothing);
}

void WorkerCall::submitted(Results& job, Result<std::vector<Result<services::ResultSnapshot>>>& answer) {
  std::vector<AckMessage> acks;
  acks.reserve(job.items.size());
  std::size_t next = 0;
  for (const auto& item : job.items) {
    std::string_view why = item.refused;
    if (why.empty()) {
      const Error* error = nullptr;
      if (!answer)
        error = &answer.error();
      else if (const auto& one = (*answer)[next++]; !one)
        error = &one.error();
      if (error != nullptr) {
        rejected("result", error->code);
        why = error->message;
      }
    }
    acks.push_back({.task_id = item.task_id, .error = why});
  }
  count_answers(observe::StreamCall::kResult, job.received_ns, acks.size());
  if (job.batch)
    ack_batch(acks);
  else
    reply([&](std::string& out) {
      for (const auto& ack : acks) append_result_ack(out, ack);
    });
  end(job.items.size(), job.bytes);
}

// In one message, unless refusals with their reasons are longer than the results were and clients would take none of it.
void WorkerCall::ack_batch(std::span<const AckMessage> acks) {
  std::size_t bytes = 0;
  std::vector<AckMessage> part;
  const auto send = [&] {
    reply([&](std::string& out) { append_result_ack_batch(out, part); });
    part.clear(), bytes = 0;
  };
  for (const auto& ack : acks) {
    const auto size = ack.task_id.size() + ack.error.size() + kAckRestBytes;
    if (!part.empty() && bytes + size > deps_.limits.message_bytes_max) send();
    part.push_back(ack), bytes += size;
  }
  send();
}

// ---------------------------------------------------------------- the other calls of a lease's owner

void WorkerCall::owner_call(WorkerEvent::Kind kind, std::string_view body) {
  const auto message = read_owner_call(body);
  if (!message) return malformed();
  using Kind = WorkerEvent::Kind;
  const char* const scope = kind == Kind::kNack        ? "codeq:nack"
                            : kind == Kind::kHeartbeat ? "codeq:heartbeat"
                                                       : "codeq:abandon";
  if (!allowed(scope)) return;
  begin(1, body.size());
  const auto job = next_job();
  std::string id(message->task_id);
  owner_jobs_[job] = {.kind = kind, .task_id = id, .bytes = body.size(), .received_ns = received_ns()};
  const auto seconds = std::clamp<std::int64_t>(message->seconds, -kSecondsMax, kSecondsMax);
  services::OwnerCall call{.task_id = std::move(id), .lease_token = std::nullopt};
  if (kind == Kind::kNack)
    deps_.broker.nack(as_worker(), std::move(call), seconds, std::string(message->reason),
                      to_me<services::NackOutcome>(job));
  else if (kind == Kind::kHeartbeat)
    deps_.broker.heartbeat(as_worker(), std::move(call), seconds, to_me<void>(job));
  else
    deps_.broker.abandon(as_worker(), std::move(call), to_me<void>(job));
}

void WorkerCall::settled(const OwnerJob& job, Answer& answer) {
  using Kind = WorkerEvent::Kind;
  using Operation = observe::StreamCall;
  count_answers(job.kind == Kind::kNack        ? Operation::kNack
                : job.kind == Kind::kHeartbeat ? Operation::kHeartbeat
                                               : Operation::kAbandon,
                job.received_ns, 1);
  const auto ack = [&](const auto& result, const char* operation) {
    AckMessage message{.task_id = job.task_id, .error = {}};
    if (!result) {
      rejected(operation, result.error().code);
      message.error = result.error().message;
    }
    return message;
  };
  if (const auto* outcome = std::get_if<Result<services::NackOutcome>>(&answer)) {
    const auto message = ack(*outcome, "nack");
    reply([&](std::string& out) {
      append_nack_ack(out, message, *outcome ? (*outcome)->delay_seconds : 0, *outcome && (*outcome)->dead);
    });
  } else if (const auto* done = std::get_if<Result<>>(&answer)) {
    const bool heartbeat = job.kind == Kind::kHeartbeat;
    const auto message = ack(*done, heartbeat ? "heartbeat" : "abandon");
    reply([&](std::string& out) { heartbeat ? append_heartbeat_ack(out, message) : append_abandon_ack(out, message); });
  }
  end(1, job.bytes);
}

// ---------------------------------------------------------------- the course of the stream

void WorkerCall::ask_rest() {
  if (!burst_items_.empty()) ask(std::exchange(burst_, {}), std::exchange(burst_items_, {}));
}

void WorkerCall::burst_over() {
  ask_rest();
  pump();
}

void WorkerCall::result_of(std::uint64_t job, Answer& answer) {
  if (auto claim = claims_.extract(job)) {
    if (auto* tasks = std::get_if<Result<std::vector<services::TaskSnapshot>>>(&answer))
      claimed(claim.mapped(), *tasks);
  } else if (auto results = results_.extract(job)) {
    if (auto* done = std::get_if<Result<std::vector<Result<services::ResultSnapshot>>>>(&answer))
      submitted(results.mapped(), *done);
  } else if (const auto owner = owner_jobs_.extract(job)) {
    settled(owner.mapped(), answer);
  }
}

void WorkerCall::retry(std::int64_t) { pump(); }

// Who sends no more gives no more credits, and those that wait would keep the stream open for ever.
void WorkerCall::quiet() { abandon_claims(); }

void WorkerCall::gone() {
  if (gone_) return;
  Session::gone();
  count_credits(-static_cast<std::int64_t>(credits_));
  abandon_claims();
}

void WorkerCall::drain() {
  if (draining() || ending || gone_) return;
  ask_rest();
  begin_drain();
  abandon_claims();
  error("Unavailable", "the broker is stopping");
  maybe_over();
}

}  // namespace codeq::transport::grpc
