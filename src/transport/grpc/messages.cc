#include "transport/grpc/messages.h"

#include <algorithm>
#include <array>
#include <protozero/pbf_reader.hpp>
#include <protozero/varint.hpp>

#include "core/rfc3339.h"
#include "core/utf8.h"
#include "transport/grpc/frame.h"

namespace codeq::transport::grpc {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;

std::unexpected<Error> malformed() { return fail(Code::kInvalidArgument, "malformed message"); }

bool is_utf8(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const auto length = core::utf8_length(at, end);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

struct Malformed {};

// The fields of one message: `take(tag)` reads the current field or returns false, then it is skipped as unknown.
template <class F>
Result<void> each_field(std::string_view bytes, F&& take) {
  try {
    pbf_reader reader(bytes.data(), bytes.size());
    while (reader.next())
      if (!take(reader)) reader.skip();
    return {};
  } catch (const protozero::exception&) { return malformed(); } catch (const Malformed&) {
    return malformed();
  }
}

std::string_view bytes_of(pbf_reader& field) {
  if (field.wire_type() != pbf_wire_type::length_delimited) throw Malformed{};
  const auto view = field.get_view();
  return {view.data(), view.size()};
}
std::string_view text_of(pbf_reader& field) {
  const auto text = bytes_of(field);
  if (!is_utf8(text)) throw Malformed{};
  return text;
}
std::uint64_t number_of(pbf_reader& field) {
  if (field.wire_type() != pbf_wire_type::varint) throw Malformed{};
  return field.get_uint64();
}
std::int32_t int32_of(pbf_reader& field) { return static_cast<std::int32_t>(number_of(field)); }

constexpr std::int64_t kTimestampSecondsMax = 6'000'000'000;  // year 2160; later means never, and fits in nanoseconds

std::int64_t timestamp_of(pbf_reader& field) {
  std::int64_t seconds = 0, nanos = 0;
  const auto read = each_field(bytes_of(field), [&](pbf_reader& part) {
    if (part.tag() == 1)
      seconds = static_cast<std::int64_t>(number_of(part));
    else if (part.tag() == 2)
      nanos = int32_of(part);
    else
      return false;
    return true;
  });
  if (!read) throw Malformed{};
  seconds = std::clamp(seconds, -kTimestampSecondsMax, kTimestampSecondsMax);
  return seconds * 1'000'000'000 + std::clamp<std::int64_t>(nanos, 0, 999'999'999);
}

template <class Event>
Result<Event> read_event(std::string_view message, std::uint32_t last) {
  Event event;
  CODEQ_TRY_VOID(each_field(message, [&](pbf_reader& field) {
    if (field.tag() == 0 || field.tag() > last) return false;
    event.kind = static_cast<typename Event::Kind>(field.tag());  // of several the last one counts, as for any oneof
    event.body = bytes_of(field);
    return true;
  }));
  return event;
}

Result<std::vector<std::string_view>> read_bodies(std::string_view body, std::size_t max, const char* too_many) {
  std::vector<std::string_view> bodies;
  bool over = false;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    if (field.tag() != 1) return false;
    const auto one = bytes_of(field);
    if (bodies.size() < max)
      bodies.push_back(one);
    else
      over = true;
    return true;
  }));
  if (over) return fail(Code::kBatchTooLarge, too_many);
  return bodies;
}

// ---------------------------------------------------------------- writing

constexpr std::uint32_t key_of(std::uint32_t tag, pbf_wire_type type) {
  return tag << 3U | static_cast<std::uint32_t>(type);
}

void put_varint(std::string& out, std::uint64_t value) {
  if (value < 0x80) return out.push_back(static_cast<char>(value));
  std::array<char, protozero::max_varint_length> bytes;
  out.append(bytes.data(), static_cast<std::size_t>(protozero::add_varint_to_buffer(bytes.data(), value)));
}
void put_header(std::string& out, std::uint32_t tag, std::size_t size) {
  put_varint(out, key_of(tag, pbf_wire_type::length_delimited));
  put_varint(out, size);
}
// Fields of their default value are left out, as proto3 wants it.
void put_text(std::string& out, std::uint32_t tag, std::string_view text) {
  if (text.empty()) return;
  put_header(out, tag, text.size());
  out.append(text);
}
void put_number(std::string& out, std::uint32_t tag, std::uint64_t value) {
  if (value == 0) return;
  put_varint(out, key_of(tag, pbf_wire_type::varint));
  put_varint(out, value);
}
// All tags here are below 16, so that a key is one byte.
std::size_t field_size(std::size_t size) {
  return 1 + static_cast<std::size_t>(protozero::length_of_varint(size)) + size;
}

// A small message that is the value of field `tag` of a server event.
template <class Write>
void append_event(std::string& out, std::uint32_t tag, Write&& write) {
  thread_local std::string body;
  body.clear();
  write(body);
  append_frame_prefix(out, field_size(body.size()));
  put_header(out, tag, body.size());
  out += body;
}

template <class Item, class Write>
void append_list_event(std::string& out, std::uint32_t tag, const std::vector<Item>& items, Write&& write) {
  append_event(out, tag, [&](std::string& body) {
    thread_local std::string one;
    for (const auto& item : items) {
      one.clear();
      write(one, item);
      put_header(body, 1, one.size());
      body += one;
    }
  });
}

void put_create_ack(std::string& out, const CreateAckMessage& ack) {
  put_number(out, 1, ack.seq);
  put_number(out, 2, ack.error.empty() ? 1 : 0);
  put_text(out, 3, ack.task_id);
  put_text(out, 4, ack.error);
}

void put_ack(std::string& out, const AckMessage& ack) {
  put_text(out, 1, ack.task_id);
  put_number(out, 2, ack.error.empty() ? 1 : 0);
  put_text(out, 3, ack.error);
}

void put_timestamp(std::string& out, std::uint32_t tag, std::int64_t ns) {
  const std::int64_t seconds = ns / 1'000'000'000;
  std::string body;  // short enough to need no memory
  put_number(body, 1, static_cast<std::uint64_t>(seconds));
  put_number(body, 2, static_cast<std::uint64_t>(ns % 1'000'000'000));
  put_header(out, tag, body.size());
  out += body;
}

// Everything of a task but its payload.
void put_task_head(std::string& out, const services::TaskSnapshot& task) {
  const auto& info = *task.info;
  put_text(out, 1, info.id_text);
  put_text(out, 2, info.command);
  put_number(out, 4, static_cast<std::uint64_t>(info.priority));
  put_text(out, 5, info.webhook);
  put_number(out, 6, info.max_attempts);
  put_text(out, 7, "IN_PROGRESS");
  if (task.worker) put_text(out, 8, core::worker_id_of(*task.worker));
  std::string until;
  core::append_rfc3339_seconds(until, task.lease_until_ns);
  put_text(out, 9, until);
  put_number(out, 10, task.attempts);
  put_text(out, 11, info.tenant);
  put_timestamp(out, 12, info.created_ns);
  put_timestamp(out, 13, task.updated_ns);
  if (task.context.valid()) {
    std::string parent;
    core::append_traceparent(task.context, parent);
    put_text(out, 14, parent);
    put_text(out, 15, info.trace.tracestate);
  }
  if (info.trace.baggage.empty()) return;
  put_varint(out, key_of(16, pbf_wire_type::length_delimited));
  put_varint(out, info.trace.baggage.size());
  out += info.trace.baggage;
}

void put_task(std::string& out, const std::string& head, const services::TaskSnapshot& task) {
  out += head;
  put_text(out, 3, *task.payload);
}
std::size_t task_size(const std::string& head, const services::TaskSnapshot& task) {
  return head.size() + (task.payload->empty() ? 0 : field_size(task.payload->size()));
}

}  // namespace

// ---------------------------------------------------------------- in

Result<ProducerEvent> read_producer_event(std::string_view message) { return read_event<ProducerEvent>(message, 3); }
Result<WorkerEvent> read_worker_event(std::string_view message) { return read_event<WorkerEvent>(message, 7); }

Result<HelloMessage> read_hello(std::string_view body) {
  HelloMessage hello;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    if (field.tag() == 1)
      hello.token = text_of(field);
    else if (field.tag() == 2)
      hello.worker_id = text_of(field);
    else
      return false;
    return true;
  }));
  return hello;
}

Result<CreateMessage> read_create(std::string_view body) {
  CreateMessage create;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    switch (field.tag()) {
      case 1: create.seq = number_of(field); return true;
      case 2: create.command = text_of(field); return true;
      case 3: create.payload = bytes_of(field); return true;
      case 4: create.priority = int32_of(field); return true;
      case 5: create.webhook = text_of(field); return true;
      case 6: create.max_attempts = int32_of(field); return true;
      case 7: create.idempotency_key = text_of(field); return true;
      case 8: create.run_at_ns = timestamp_of(field); return true;
      case 9: create.delay_seconds = int32_of(field); return true;
      case 10: create.trace_parent = text_of(field); return true;
      case 11: create.trace_state = text_of(field); return true;
      default: return false;
    }
  }));
  return create;
}

Result<std::vector<std::string_view>> read_create_batch(std::string_view body, std::size_t tasks_max) {
  return read_bodies(body, tasks_max, "too many tasks in one batch");
}
Result<std::vector<std::string_view>> read_result_batch(std::string_view body, std::size_t results_max) {
  return read_bodies(body, results_max, "too many results in one batch");
}

Result<ReadyMessage> read_ready(std::string_view body, std::size_t commands_max) {
  ReadyMessage ready;
  bool over = false;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    switch (field.tag()) {
      case 1: {
        const auto command = text_of(field);
        if (ready.commands.size() < commands_max)
          ready.commands.push_back(command);
        else
          over = true;
        return true;
      }
      case 2: ready.lease_seconds = int32_of(field); return true;
      case 3: ready.count = int32_of(field); return true;
      default: return false;
    }
  }));
  if (over) return fail(Code::kBatchTooLarge, "too many commands");
  return ready;
}

Result<ResultMessage> read_result(std::string_view body) {
  ResultMessage result;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    switch (field.tag()) {
      case 1: result.task_id = text_of(field); return true;
      case 2: result.status = text_of(field); return true;
      case 3: result.result_json = bytes_of(field); return true;
      case 4: result.error = text_of(field); return true;
      default: return false;
    }
  }));
  return result;
}

Result<OwnerMessage> read_owner_call(std::string_view body) {
  OwnerMessage call;
  CODEQ_TRY_VOID(each_field(body, [&](pbf_reader& field) {
    switch (field.tag()) {
      case 1: call.task_id = text_of(field); return true;
      case 2: call.seconds = int32_of(field); return true;
      case 3: call.reason = text_of(field); return true;
      default: return false;
    }
  }));
  return call;
}

// ---------------------------------------------------------------- out

void append_producer_hello_ack(std::string& out, std::string_view tenant, std::string_view subject) {
  append_event(out, 1, [&](std::string& body) {
    put_text(body, 1, tenant);
    put_text(body, 2, subject);
  });
}
void append_create_ack(std::string& out, const CreateAckMessage& ack) {
  append_event(out, 2, [&](std::string& body) { put_create_ack(body, ack); });
}
void append_producer_error(std::string& out, std::string_view code, std::string_view message) {
  append_event(out, 3, [&](std::string& body) {
    put_text(body, 1, code);
    put_text(body, 2, message);
  });
}
void append_create_ack_batch(std::string& out, const std::vector<CreateAckMessage>& acks) {
  append_list_event(out, 4, acks, put_create_ack);
}

void append_worker_hello_ack(std::string& out, std::string_view worker_id, std::string_view tenant) {
  append_event(out, 1, [&](std::string& body) {
    put_text(body, 1, worker_id);
    put_text(body, 2, tenant);
  });
}

void append_task(std::string& out, const services::TaskSnapshot& task) {
  thread_local std::string head;
  head.clear();
  put_task_head(head, task);
  const auto size = task_size(head, task);
  const auto assignment = field_size(size);
  append_frame_prefix(out, field_size(assignment));
  put_header(out, 2, assignment);
  put_header(out, 1, size);
  put_task(out, head, task);
}

std::size_t task_message_bytes(const services::TaskSnapshot& task) {
  std::string head;
  put_task_head(head, task);
  return field_size(field_size(task_size(head, task)));
}

void append_task_batch(std::string& out, const std::vector<services::TaskSnapshot>& tasks) {
  thread_local std::vector<std::string> heads;
  if (heads.size() < tasks.size()) heads.resize(tasks.size());
  std::size_t batch = 0;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    heads[i].clear();
    put_task_head(heads[i], tasks[i]);
    batch += field_size(task_size(heads[i], tasks[i]));
  }
  append_frame_prefix(out, field_size(batch));
  put_header(out, 8, batch);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    put_header(out, 1, task_size(heads[i], tasks[i]));
    put_task(out, heads[i], tasks[i]);
  }
}

void append_result_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 3, [&](std::string& body) { put_ack(body, ack); });
}
void append_heartbeat_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 4, [&](std::string& body) { put_ack(body, ack); });
}
void append_nack_ack(std::string& out, const AckMessage& ack, std::int64_t applied_delay_seconds, bool dead) {
  append_event(out, 5, [&](std::string& body) {
    put_ack(body, ack);
    put_number(body, 4, dead ? 0 : static_cast<std::uint64_t>(applied_delay_seconds));
    put_number(body, 5, dead ? 1 : 0);
  });
}
void append_abandon_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 6, [&](std::string& body) { put_ack(body, ack); });
}
void append_worker_error(std::string& out, std::string_view code, std::string_view message) {
  append_event(out, 7, [&](std::string& body) {
    put_text(body, 1, message);  // the other way round than in producerpb
    put_text(body, 2, code);
  });
}
void append_result_ack_batch(std::string& out, const std::vector<AckMessage>& acks) {
  append_list_event(out, 9, acks, put_ack);
}

// ---------------------------------------------------------------- health

Result<std::string_view> read_health_request(std::string_view message) {
  std::string_view service;
  CODEQ_TRY_VOID(each_field(message, [&](pbf_reader& field) {
    if (field.tag() != 1) return false;
    service = text_of(field);
    return true;
  }));
  return service;
}

void append_health_response(std::string& out, int serving_status) {
  std::string body;
  put_number(body, 1, static_cast<std::uint64_t>(serving_status));
  append_frame_prefix(out, body.size());
  out += body;
}

}  // namespace codeq::transport::grpc
