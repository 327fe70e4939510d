#include "transport/grpc/messages.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <protozero/pbf_reader.hpp>
#include <protozero/varint.hpp>

#include "core/codec.h"
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
    for (std::uint64_t eight = 0; end - at >= 8; at += 8) {
      std::memcpy(&eight, at, sizeof eight);
      if ((eight & 0x8080'8080'8080'8080) != 0) break;
    }
    if (at == end) return true;
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

constexpr std::size_t kKeptBytes = std::size_t{1} << 20;  // of memory between two messages
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

// A message under way, in memory that is known to be large enough: a field is a few stores, no bound is looked at per byte.
// Fields of their default value are left out, as proto3 wants it.
class Fields {
 public:
  // Of one field, beside its text: tag, length or number, and what a varint's stores may touch behind it.
  static constexpr std::size_t kFieldRoom = 4 + core::kVarintRoom;

  explicit Fields(char* at) : at_(at) {}
  void varint(std::uint64_t value) { at_ += core::put_varint(value, at_); }
  void header(std::uint32_t tag, std::size_t size) {
    varint(key_of(tag, pbf_wire_type::length_delimited));
    varint(size);
  }
  void bytes(std::string_view text) {
    if (text.empty()) return;  // may be null
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void text(std::uint32_t tag, std::string_view text) {
    if (text.empty()) return;
    header(tag, text.size());
    bytes(text);
  }
  void number(std::uint32_t tag, std::uint64_t value) {
    if (value == 0) return;
    varint(key_of(tag, pbf_wire_type::varint));
    varint(value);
  }
  void timestamp(std::uint32_t tag, std::int64_t ns) {
    const auto seconds = static_cast<std::uint64_t>(ns / 1'000'000'000);
    const auto nanos = static_cast<std::uint64_t>(ns % 1'000'000'000);
    header(tag, number_size(seconds) + number_size(nanos));
    number(1, seconds);
    number(2, nanos);
  }
  [[nodiscard]] char* end() const { return at_; }

 private:
  // All tags here but one are below 16, so that a key is one byte.
  static std::size_t number_size(std::uint64_t value) {
    return value == 0 ? 0 : 1 + static_cast<std::size_t>(protozero::length_of_varint(value));
  }
  char* at_;
};

std::size_t field_size(std::size_t size) {
  return 1 + static_cast<std::size_t>(protozero::length_of_varint(size)) + size;
}

// Memory of this thread for a part of a message of at most `bytes`; what was there before is void.
template <class Part>
char* scratch(std::size_t bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < bytes || memory.size() > std::max(kKeptBytes, 4 * bytes)) memory = std::vector<char>(2 * bytes);
  return memory.data();
}
std::string_view written(const char* from, const Fields& fields) {
  return {from, static_cast<std::size_t>(fields.end() - from)};
}

void append_header(std::string& out, std::uint32_t tag, std::size_t size) {
  std::array<char, Fields::kFieldRoom> header;
  Fields fields(header.data());
  fields.header(tag, size);
  out += written(header.data(), fields);
}
// The headers of a server event of `size` bytes that is field `tag`, behind the frame's prefix.
void append_event_header(std::string& out, std::uint32_t tag, std::size_t size) {
  append_frame_prefix(out, field_size(size));
  append_header(out, tag, size);
}

// A small message that is the value of field `tag` of a server event; `text_bytes`: of all its texts together.
template <class Write>
void append_event(std::string& out, std::uint32_t tag, std::size_t text_bytes, Write&& write) {
  constexpr std::size_t kFieldsMax = 8;
  struct Event;
  auto* const from = scratch<Event>(text_bytes + kFieldsMax * Fields::kFieldRoom);
  Fields body(from);
  write(body);
  append_event_header(out, tag, static_cast<std::size_t>(body.end() - from));
  out += written(from, body);
}

std::size_t text_bytes(const CreateAckMessage& ack) { return ack.task_id.size() + ack.error.size(); }
std::size_t text_bytes(const AckMessage& ack) { return ack.task_id.size() + ack.error.size(); }

void put(Fields& out, const CreateAckMessage& ack) {
  out.number(1, ack.seq);
  out.number(2, ack.error.empty() ? 1 : 0);
  out.text(3, ack.task_id);
  out.text(4, ack.error);
}

void put(Fields& out, const AckMessage& ack) {
  out.text(1, ack.task_id);
  out.number(2, ack.error.empty() ? 1 : 0);
  out.text(3, ack.error);
}

template <class Ack>
void append_list_event(std::string& out, std::uint32_t tag, const std::vector<Ack>& acks) {
  constexpr std::size_t kRoom = 5 * Fields::kFieldRoom;
  std::size_t bytes = kRoom;
  for (const auto& ack : acks) bytes += text_bytes(ack) + kRoom;
  struct List;
  auto* const from = scratch<List>(bytes);
  Fields list(from);
  for (const auto& ack : acks) {
    struct One;
    auto* const one = scratch<One>(text_bytes(ack) + kRoom);
    Fields body(one);
    put(body, ack);
    list.header(1, static_cast<std::size_t>(body.end() - one));
    list.bytes(written(one, body));
  }
  append_event_header(out, tag, static_cast<std::size_t>(list.end() - from));
  out += written(from, list);
}

// Tasks of one claim end their leases in the same second.
std::string_view lease_text(std::int64_t until_ns) {
  thread_local std::string text;
  thread_local std::int64_t of_second = INT64_MIN;
  if (until_ns / 1'000'000'000 != of_second) {
    of_second = until_ns / 1'000'000'000;
    text.clear();
    core::append_rfc3339_seconds(text, until_ns);
  }
  return text;
}

// A task as a field of another message: everything but its payload, then that.
std::string_view task_head(const services::TaskSnapshot& task) {
  constexpr std::size_t kFieldsMax = 20, kFixedTextBytes = 256;  // id, status, times, traceparent
  const auto& info = *task.info;
  const auto worker = task.worker ? core::worker_id_of(*task.worker) : std::string_view();
  struct Head;
  auto* const from = scratch<Head>(info.command.size() + info.webhook.size() + worker.size() + info.tenant.size() +
                                   info.trace.tracestate.size() + info.trace.baggage.size() + kFixedTextBytes +
                                   kFieldsMax * Fields::kFieldRoom);
  Fields out(from);
  out.text(1, info.id_text);
  out.text(2, info.command);
  out.number(4, static_cast<std::uint64_t>(info.priority));
  out.text(5, info.webhook);
  out.number(6, info.max_attempts);
  out.text(7, "IN_PROGRESS");
  out.text(8, worker);
  out.text(9, lease_text(task.lease_until_ns));
  out.number(10, task.attempts);
  out.text(11, info.tenant);
  out.timestamp(12, info.created_ns);
  out.timestamp(13, task.updated_ns);
  if (task.context.valid()) {
    thread_local std::string text;
    text.clear();
    core::append_traceparent(task.context, text);
    out.text(14, text);
    out.text(15, info.trace.tracestate);
  }
  out.text(16, info.trace.baggage);
  return written(from, out);
}
std::size_t task_size(std::size_t head, const services::TaskSnapshot& task) {
  return head + (task.payload->empty() ? 0 : field_size(task.payload->size()));
}
void append_task_field(std::string& out, std::uint32_t tag, std::string_view head, const services::TaskSnapshot& task) {
  append_header(out, tag, task_size(head.size(), task));
  out += head;
  if (task.payload->empty()) return;
  append_header(out, 3, task.payload->size());
  out += *task.payload;
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
  append_event(out, 1, tenant.size() + subject.size(), [&](Fields& body) {
    body.text(1, tenant);
    body.text(2, subject);
  });
}
void append_create_ack(std::string& out, const CreateAckMessage& ack) {
  append_event(out, 2, text_bytes(ack), [&](Fields& body) { put(body, ack); });
}
void append_producer_error(std::string& out, std::string_view code, std::string_view message) {
  append_event(out, 3, code.size() + message.size(), [&](Fields& body) {
    body.text(1, code);
    body.text(2, message);
  });
}
void append_create_ack_batch(std::string& out, const std::vector<CreateAckMessage>& acks) {
  append_list_event(out, 4, acks);
}

void append_worker_hello_ack(std::string& out, std::string_view worker_id, std::string_view tenant) {
  append_event(out, 1, worker_id.size() + tenant.size(), [&](Fields& body) {
    body.text(1, worker_id);
    body.text(2, tenant);
  });
}

void append_task(std::string& out, const services::TaskSnapshot& task) {
  const auto head = task_head(task);
  const auto assignment = field_size(task_size(head.size(), task));
  append_event_header(out, 2, assignment);
  append_task_field(out, 1, head, task);
}

std::size_t task_message_bytes(const services::TaskSnapshot& task) {
  return field_size(field_size(task_size(task_head(task).size(), task)));
}

std::size_t task_message_bytes_at_most(const services::TaskSnapshot& task) {
  const auto& info = *task.info;
  return kTaskOverheadBytes + info.command.size() + info.webhook.size() + info.tenant.size() +
         (task.worker ? task.worker->size() : 0) + info.trace.tracestate.size() + info.trace.baggage.size() +
         task.payload->size();
}

void append_task_batch(std::string& out, const std::vector<services::TaskSnapshot>& tasks) {
  // How long the list is stands before it: it is composed first.
  thread_local std::string list;
  list.clear();
  for (const auto& task : tasks) append_task_field(list, 1, task_head(task), task);
  append_event_header(out, 8, list.size());
  out += list;
  if (list.capacity() > kKeptBytes) std::string().swap(list);
}

void append_result_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 3, text_bytes(ack), [&](Fields& body) { put(body, ack); });
}
void append_heartbeat_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 4, text_bytes(ack), [&](Fields& body) { put(body, ack); });
}
void append_nack_ack(std::string& out, const AckMessage& ack, std::int64_t applied_delay_seconds, bool dead) {
  append_event(out, 5, text_bytes(ack), [&](Fields& body) {
    put(body, ack);
    body.number(4, dead ? 0 : static_cast<std::uint64_t>(applied_delay_seconds));
    body.number(5, dead ? 1 : 0);
  });
}
void append_abandon_ack(std::string& out, const AckMessage& ack) {
  append_event(out, 6, text_bytes(ack), [&](Fields& body) { put(body, ack); });
}
void append_worker_error(std::string& out, std::string_view code, std::string_view message) {
  append_event(out, 7, code.size() + message.size(), [&](Fields& body) {
    body.text(1, message);  // the other way round than in producerpb
    body.text(2, code);
  });
}
void append_result_ack_batch(std::string& out, const std::vector<AckMessage>& acks) {
  append_list_event(out, 9, acks);
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
  std::array<char, Fields::kFieldRoom> body;
  Fields fields(body.data());
  fields.number(1, static_cast<std::uint64_t>(serving_status));
  const auto message = written(body.data(), fields);
  append_frame_prefix(out, message.size());
  out += message;
}

}  // namespace codeq::transport::grpc
