#include "transport/grpc/producer_call.h"

#include "core/json_scan.h"

namespace codeq::transport::grpc {
namespace {

// What a task may need beside its payload when it is handed to a worker: tracestate, baggage, webhook, command, ids.
constexpr std::size_t kTaskRestBytesMax = 64U << 10U;
constexpr std::size_t kUsualBurst = 16;  // messages of one read

}  // namespace

Result<std::optional<HelloMessage>> ProducerCall::first(std::string_view bytes) const {
  CODEQ_TRY(const auto event, read_producer_event(bytes));
  if (event.kind != ProducerEvent::Kind::kHello) return std::nullopt;
  CODEQ_TRY(auto hello, read_hello(event.body));
  hello.worker_id = {};
  return hello;
}

bool ProducerCall::opened(std::string_view) {
  holder_ = who_.subject;
  reply([&](std::string& out) { append_producer_hello_ack(out, who_.tenant, who_.subject); });
  return true;
}

void ProducerCall::event(std::string_view bytes) {
  const auto event = read_producer_event(bytes);
  if (!event) return malformed();
  using Message = observe::StreamMessage;
  count(event->kind == ProducerEvent::Kind::kCreate        ? Message::kCreate
        : event->kind == ProducerEvent::Kind::kCreateBatch ? Message::kCreateBatch
                                                           : Message::kOther);
  switch (event->kind) {
    case ProducerEvent::Kind::kCreate: return create(event->body);
    case ProducerEvent::Kind::kCreateBatch: return create_batch(event->body);
    case ProducerEvent::Kind::kHello:
      return reply([](std::string& out) { append_producer_error(out, "FailedPrecondition", "already-authenticated"); });
    case ProducerEvent::Kind::kNone:
      return reply([](std::string& out) { append_producer_error(out, "InvalidArgument", "unknown-event"); });
  }
}

Result<services::CreateTask> ProducerCall::prepare(const CreateMessage& create) const {
  const auto& limits = deps_.limits;
  const auto command = trimmed(create.command);
  if (command.empty()) return fail(Code::kInvalidCommand, "command is required");
  if (!create.run_at_ns && create.delay_seconds < 0) return fail(Code::kInvalidDelay, "delaySeconds must be >= 0");
  if (create.payload.size() + kTaskRestBytesMax > limits.message_bytes_max)
    return fail(Code::kBodyTooLarge, "payload is too large");
  if (!create.payload.empty() && !core::valid_json(create.payload, limits.json_depth_max))
    return fail(Code::kInvalidBody, "payload is not valid JSON");
  services::CreateTask task;
  task.command = command;
  task.payload = create.payload.empty() ? std::string_view("null") : create.payload;
  task.priority = create.priority;
  task.webhook = create.webhook;
  task.max_attempts = create.max_attempts;
  task.idempotency_key = create.idempotency_key;
  task.run_at_ns = create.run_at_ns;
  task.delay_ms = std::int64_t{create.delay_seconds} * 1000;
  if (create.run_at_ns) task.delay_ms = 0;
  task.incoming = metadata_;
  if (!create.trace_parent.empty()) {
    const std::string_view tracestate[] = {create.trace_state};
    const std::string_view traceparent[] = {create.trace_parent};
    auto own = core::extract({.traceparent = traceparent,
                              .tracestate = std::span(tracestate, create.trace_state.empty() ? 0 : 1),
                              .baggage = {}});
    if (own.span.valid()) {
      own.baggage = metadata_.baggage;
      task.incoming = std::move(own);
    }
  }
  return task;
}

void ProducerCall::create(std::string_view body) {
  const auto message = read_create(body);
  if (!message) return malformed();
  std::string refused;
  if (rate(services::RateBucket::kProducer, "producer", "create_task") > 0) {
    refused = "rate limit exceeded";
  } else if (auto task = prepare(*message); task) {
    begin(1, body.size());
    if (burst_tasks_.empty()) {
      burst_tasks_.reserve(kUsualBurst);
      burst_.items.reserve(kUsualBurst);
    }
    burst_.bytes += body.size();
    burst_.items.push_back({.seq = message->seq, .refused = {}});
    burst_tasks_.push_back(*std::move(task));
    return;
  } else {
    refused = std::move(task).error().message;
  }
  reply([&](std::string& out) { append_create_ack(out, {.seq = message->seq, .task_id = {}, .error = refused}); });
}

void ProducerCall::create_batch(std::string_view body) {
  const auto bodies = read_create_batch(body, deps_.limits.batch_max);
  if (!bodies && bodies.error().code == Code::kBatchTooLarge)
    return finish(number_of(GrpcStatus::kInvalidArgument), bodies.error().message);
  if (!bodies) return malformed();
  if (bodies->empty()) return;
  const bool limited = rate(services::RateBucket::kProducer, "producer", "create_task") > 0;
  Job job{.items = {}, .bytes = body.size(), .batch = true};
  job.items.reserve(bodies->size());
  std::vector<services::CreateTask> tasks;
  for (const auto one : *bodies) {
    const auto message = read_create(one);
    if (!message) return malformed();
    auto& item = job.items.emplace_back(Item{.seq = message->seq, .refused = {}});
    if (limited)
      item.refused = "rate limit exceeded";
    else if (auto task = prepare(*message); task)
      tasks.push_back(*std::move(task));
    else
      item.refused = std::move(task).error().message;
  }
  if (tasks.empty()) return answer_batch(job, {});
  begin(job.items.size(), job.bytes);
  ask(std::move(job), std::move(tasks));
}

void ProducerCall::ask_rest() {
  if (burst_tasks_.empty()) return;
  ask(std::exchange(burst_, {}), std::exchange(burst_tasks_, {}));
}

void ProducerCall::ask(Job job, std::vector<services::CreateTask> tasks) {
  const auto id = next_job();
  job.received_ns = received_ns();
  jobs_.emplace(id, std::move(job));
  deps_.broker.create(caller(), std::move(tasks), to_me<std::vector<Result<services::TaskSnapshot>>>(id));
}

void ProducerCall::result_of(std::uint64_t id, Answer& answer) {
  auto node = jobs_.extract(id);
  auto* results = std::get_if<Result<std::vector<Result<services::TaskSnapshot>>>>(&answer);
  if (node.empty() || results == nullptr) return;
  const Job& job = node.mapped();
  count_answers(observe::StreamCall::kCreate, job.received_ns, job.items.size());
  // (task id, error) of what the Broker was asked, in order.
  std::vector<std::pair<std::string_view, std::string_view>> outcomes;
  outcomes.reserve(job.items.size());
  for (const auto& item : job.items) {
    if (!item.refused.empty()) continue;
    if (!*results) {
      outcomes.emplace_back("", results->error().message);
      continue;
    }
    const auto& task = (**results)[outcomes.size()];
    if (task)
      outcomes.emplace_back(task->info->id_text, "");
    else
      outcomes.emplace_back("", task.error().message);
  }
  if (job.batch) {
    answer_batch(job, outcomes);
  } else {
    reply([&](std::string& out) {
      for (std::size_t i = 0; i < job.items.size(); ++i)
        append_create_ack(out, {.seq = job.items[i].seq, .task_id = outcomes[i].first, .error = outcomes[i].second});
    });
  }
  end(job.items.size(), job.bytes);
}

void ProducerCall::answer_batch(const Job& job, const std::vector<std::pair<std::string_view, std::string_view>>& outcomes) {
  std::vector<CreateAckMessage> acks;
  acks.reserve(job.items.size());
  auto next = outcomes.begin();
  for (const auto& item : job.items) {
    if (!item.refused.empty()) {
      acks.push_back({.seq = item.seq, .task_id = {}, .error = item.refused});
    } else {
      acks.push_back({.seq = item.seq, .task_id = next->first, .error = next->second});
      ++next;
    }
  }
  reply([&](std::string& out) { append_create_ack_batch(out, acks); });
}

void ProducerCall::drain() {
  if (draining() || ending || gone_) return;
  ask_rest();
  begin_drain();
  reply([](std::string& out) { append_producer_error(out, "Unavailable", "the broker is stopping"); });
  maybe_over();
}

}  // namespace codeq::transport::grpc
