#include "app/bench/stream_messages.h"

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

namespace codeq::app {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::pbf_writer;

// What a field of that number is read as; one of another wire type is not known here.
constexpr std::uint32_t number(protozero::pbf_tag_type tag) {
  return protozero::tag_and_type(tag, pbf_wire_type::varint);
}
constexpr std::uint32_t bytes(protozero::pbf_tag_type tag) {
  return protozero::tag_and_type(tag, pbf_wire_type::length_delimited);
}

constexpr std::string_view kOk = R"({"ok":true})";

std::string_view view(const protozero::data_view& data) { return {data.data(), data.size()}; }
std::string_view text_of(pbf_reader& reader) { return view(reader.get_view()); }
void add(pbf_writer& out, protozero::pbf_tag_type tag, std::string_view text) {
  out.add_bytes(tag, text.data(), text.size());
}

void write_fields(pbf_writer& out, const StreamCreate& task) {
  out.add_uint64(1, task.seq);
  add(out, 2, task.command);
  add(out, 3, task.payload);
  if (task.priority != 0) out.add_int32(4, task.priority);
  if (task.run_at_ns == 0) return;
  pbf_writer run_at(out, 8);  // google.protobuf.Timestamp
  run_at.add_int64(1, task.run_at_ns / 1'000'000'000);
  run_at.add_int32(2, static_cast<std::int32_t>(task.run_at_ns % 1'000'000'000));
}

void write_fields(pbf_writer& out, std::string_view task_id) {
  add(out, 1, task_id);
  add(out, 2, "COMPLETED");
  add(out, 3, kOk);
}

StreamAck read_create_ack(pbf_reader reader) {
  StreamAck ack;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case number(1): ack.seq = reader.get_uint64(); break;
      case number(2): ack.ok = reader.get_bool(); break;
      case bytes(3): ack.task_id = text_of(reader); break;
      case bytes(4): ack.error = text_of(reader); break;
      default: reader.skip();
    }
  }
  return ack;
}

StreamAck read_result_ack(pbf_reader reader) {
  StreamAck ack;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case bytes(1): ack.task_id = text_of(reader); break;
      case number(2): ack.ok = reader.get_bool(); break;
      case bytes(3): ack.error = text_of(reader); break;
      default: reader.skip();
    }
  }
  return ack;
}

StreamTask read_task(pbf_reader reader) {
  StreamTask task;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case bytes(1): task.id = text_of(reader); break;
      case bytes(3): task.payload = text_of(reader); break;
      default: reader.skip();
    }
  }
  return task;
}

std::string_view read_text(pbf_reader reader, protozero::pbf_tag_type tag) {
  std::string_view text;
  while (reader.next(tag, pbf_wire_type::length_delimited)) text = text_of(reader);
  return text.empty() ? "error without a message" : text;
}

}  // namespace

void write_hello(std::string& out, std::string_view token) {
  pbf_writer event(out);
  pbf_writer hello(event, 1);
  add(hello, 1, token);
}

void write_create(std::string& out, const StreamCreate& task) {
  pbf_writer event(out);
  pbf_writer create(event, 2);
  write_fields(create, task);
}

void write_create_batch(std::string& out, const std::vector<StreamCreate>& tasks) {
  pbf_writer event(out);
  pbf_writer batch(event, 3);
  for (const auto& task : tasks) {
    pbf_writer create(batch, 1);
    write_fields(create, task);
  }
}

bool read_producer_answer(std::string_view message, ProducerAnswer& answer) {
  answer.is_hello = false;
  answer.acks.clear();
  answer.error = {};
  try {
    pbf_reader event(message.data(), message.size());
    while (event.next()) {
      switch (event.tag_and_type()) {
        case bytes(1):
          event.skip();
          answer.is_hello = true;
          break;
        case bytes(2): answer.acks.push_back(read_create_ack(event.get_message())); break;
        case bytes(3): answer.error = read_text(event.get_message(), 2); break;
        case bytes(4): {
          auto batch = event.get_message();
          while (batch.next(1, pbf_wire_type::length_delimited))
            answer.acks.push_back(read_create_ack(batch.get_message()));
          break;
        }
        default: event.skip();
      }
    }
    return true;
  } catch (const protozero::exception&) { return false; }
}

void write_ready(std::string& out, const std::vector<std::string>& commands, std::int32_t lease_seconds,
                 std::int32_t count) {
  pbf_writer event(out);
  pbf_writer ready(event, 2);
  for (const auto& command : commands) add(ready, 1, command);
  ready.add_int32(2, lease_seconds);
  ready.add_int32(3, count);
}

void write_result(std::string& out, std::string_view task_id) {
  pbf_writer event(out);
  pbf_writer result(event, 3);
  write_fields(result, task_id);
}

void write_result_batch(std::string& out, const std::vector<std::string_view>& task_ids) {
  pbf_writer event(out);
  pbf_writer batch(event, 7);
  for (const auto id : task_ids) {
    pbf_writer result(batch, 1);
    write_fields(result, id);
  }
}

bool read_worker_answer(std::string_view message, WorkerAnswer& answer) {
  answer.is_hello = answer.spends_credit = false;
  answer.tasks.clear();
  answer.acks.clear();
  answer.error = {};
  try {
    pbf_reader event(message.data(), message.size());
    while (event.next()) {
      switch (event.tag_and_type()) {
        case bytes(1):
          event.skip();
          answer.is_hello = true;
          break;
        case bytes(2):
        case bytes(8): {
          answer.spends_credit = true;
          auto tasks = event.get_message();
          while (tasks.next(1, pbf_wire_type::length_delimited)) answer.tasks.push_back(read_task(tasks.get_message()));
          break;
        }
        case bytes(3): answer.acks.push_back(read_result_ack(event.get_message())); break;
        case bytes(7): answer.error = read_text(event.get_message(), 1); break;
        case bytes(9): {
          auto batch = event.get_message();
          while (batch.next(1, pbf_wire_type::length_delimited))
            answer.acks.push_back(read_result_ack(batch.get_message()));
          break;
        }
        default: event.skip();
      }
    }
    return true;
  } catch (const protozero::exception&) { return false; }
}

}  // namespace codeq::app
