#include "messages.h"

#include <protozero/pbf_writer.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/json_scan.h"
#include "stage.h"
#include "transport/grpc/frame.h"
#include "transport/grpc/messages.h"
#include "transport/http/decode.h"
#include "transport/http/json_write.h"
#include "transport/http/request.h"
#include "work.h"

namespace codeq::stages {
namespace {

namespace grpc = transport::grpc;
namespace http = transport::http;
using protozero::pbf_writer;

constexpr std::size_t kDepthMax = 64;
constexpr std::size_t kMessageBytesMax = std::size_t{4} << 20;

std::vector<services::TaskSnapshot> claimed(std::size_t count) {
  QuietBroker broker(1);
  Work work(broker, count);
  work.create();
  work.claim();
  return work.held();
}

std::string frame(std::uint32_t tag, const std::string& body) {
  std::string message, framed;
  pbf_writer(message).add_message(tag, body);
  grpc::append_frame_prefix(framed, message.size());
  return framed + message;
}
std::string create_message() {
  std::string body;
  pbf_writer out(body);
  out.add_uint64(1, 123'456);
  out.add_string(2, kCommand);
  out.add_bytes(3, kPayload);
  out.add_int32(4, 5);
  return frame(2, body);
}
std::string ready_message() {
  std::string body;
  pbf_writer out(body);
  out.add_string(1, kCommand);
  out.add_int32(2, 60);
  return frame(2, body);
}
std::string result_message(const services::TaskSnapshot& task) {
  std::string body;
  pbf_writer out(body);
  out.add_string(1, task.info->id_text);
  out.add_string(2, "COMPLETED");
  out.add_bytes(3, kResult);
  return frame(3, body);
}

// Reads a burst of frames of that kind; `take` gets each message.
template <class Take>
Repeat reading(const std::string& framed, Take take) {
  std::string burst;
  for (std::size_t i = 0; i < kBurst; ++i) burst += framed;
  return [burst = std::move(burst), take, reader = std::make_unique<grpc::FrameReader>()] {
    reader->feed(burst);
    std::string_view message;
    while (reader->next(kMessageBytesMax, message) == grpc::FrameReader::State::kMessage) take(message);
    reader->compact();
  };
}
void take_create(std::string_view message) {
  const auto event = grpc::read_producer_event(message);
  const auto create = grpc::read_create(event->body);
  CHECK(create.has_value() && core::valid_json(create->payload, kDepthMax));
  keep(*create);
}
void take_ready(std::string_view message) {
  const auto event = grpc::read_worker_event(message);
  const auto ready = grpc::read_ready(event->body, 100);
  CHECK(ready.has_value() && ready->lease_seconds == 60);
  keep(*ready);
}
void take_result(std::string_view message) {
  const auto event = grpc::read_worker_event(message);
  const auto result = grpc::read_result(event->body);
  CHECK(result.has_value() && core::valid_json(result->result_json, kDepthMax));
  keep(*result);
}

// Appends to a buffer that is emptied and kept, as a connection's is.
template <class Append>
Repeat writing(std::size_t tasks, Append append) {
  return [tasks = claimed(tasks), append, out = std::string()]() mutable {
    out.clear();
    append(out, tasks);
    keep(out);
  };
}

std::string request(const char* target, const std::string& body) {
  return std::string("POST ") + target +
         " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
         "Content-Type: application/json\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
         "Content-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}
// Reads that request; `take` gets its body.
template <class Take>
Repeat requests(const char* target, const std::string& body, Take take) {
  return [bytes = request(target, body), take,
          reader = std::make_unique<http::RequestReader>(http::RequestLimits{})]() mutable {
    for (std::string_view left = bytes; !left.empty();) left.remove_prefix(reader->feed(left));
    CHECK(reader->state() == http::RequestReader::State::kComplete);
    take(std::string_view(reader->request().body));
    reader->next();
  };
}

std::string http_create() { return R"({"command":")" + kCommand + R"(","priority":5,"payload":)" + kPayload + "}"; }

using Tasks = std::vector<services::TaskSnapshot>;

}  // namespace

Repeat read_grpc_creates() { return reading(create_message(), &take_create); }
Repeat read_grpc_readies() { return reading(ready_message(), &take_ready); }
Repeat read_grpc_results() { return reading(result_message(claimed(1).front()), &take_result); }
Repeat write_grpc_create_acks() {
  return writing(kBurst, [](std::string& out, const Tasks& tasks) {
    for (const auto& task : tasks) grpc::append_create_ack(out, {.seq = 7, .task_id = task.info->id_text, .error = {}});
  });
}
Repeat write_grpc_tasks() {
  return writing(kBurst, [](std::string& out, const Tasks& tasks) {
    for (const auto& task : tasks) grpc::append_task(out, task);
  });
}
Repeat write_grpc_task_batch() {
  return writing(32, [](std::string& out, const Tasks& tasks) { grpc::append_task_batch(out, tasks); });
}
Repeat write_grpc_result_acks() {
  return writing(kBurst, [](std::string& out, const Tasks& tasks) {
    for (const auto& task : tasks) grpc::append_result_ack(out, {.task_id = task.info->id_text, .error = {}});
  });
}

Repeat read_http_create() {
  return requests("/v1/codeq/tasks", http_create(), [](std::string_view body) {
    const auto task = http::decode_create(body, kDepthMax);
    CHECK(task.has_value());
    keep(*task);
  });
}
Repeat read_http_create_batch() {
  std::string body = R"({"tasks":[)";
  for (int i = 0; i < 32; ++i) body += (i == 0 ? "" : ",") + http_create();
  return requests("/v1/codeq/tasks/batch", body + "]}", [](std::string_view text) {
    const auto tasks = http::decode_create_batch(text, kDepthMax);
    CHECK(tasks.has_value() && tasks->size() == 32);
    keep(*tasks);
  });
}
Repeat read_http_claim() {
  const std::string body = R"({"commands":[")" + kCommand + R"("],"leaseSeconds":60,"waitSeconds":10})";
  return requests("/v1/codeq/tasks/claim", body, [](std::string_view text) {
    const auto claim = http::decode_claim(text, kDepthMax);
    CHECK(claim.has_value());
    keep(*claim);
  });
}
Repeat read_http_submit() {
  const std::string body = R"({"status":"COMPLETED","result":)" + kResult + "}";
  return requests("/v1/codeq/tasks/019e0000-0000-8000-8000-000000000001/result", body, [](std::string_view text) {
    const auto submit = http::decode_submit(text, kDepthMax);
    CHECK(submit.has_value());
    keep(*submit);
  });
}
Repeat write_http_tasks() {
  return writing(kBurst, [zone = http::ZoneOffset()](std::string& out, const Tasks& tasks) {
    for (const auto& task : tasks) http::append_task(out, task, zone, true);
  });
}

}  // namespace codeq::stages
