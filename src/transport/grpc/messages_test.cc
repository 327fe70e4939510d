// What we read and write, against protozero's own reader and writer. The wire itself is judged by foreign clients
// (tests/e2e/test_stream_*.py, tests/interop/go).
#include "transport/grpc/messages.h"

#include <gtest/gtest.h>

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "transport/grpc/frame.h"

namespace codeq::transport::grpc {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

std::string message_of(const std::string& framed) {
  FrameReader reader;
  reader.feed(framed);
  std::string_view message;
  EXPECT_EQ(reader.next(1U << 20U, message), FrameReader::State::kMessage);
  return std::string(message);
}

TEST(StreamMessages, ACreateIsReadFieldByFieldAndUnknownFieldsAreSkipped) {
  std::string body;
  pbf_writer out(body);
  out.add_uint64(1, 7);
  out.add_string(2, "RENDER");
  out.add_bytes(3, "{}");
  out.add_int32(4, -3);
  out.add_string(99, "from the future");
  out.add_fixed64(98, 1);
  std::string at;
  pbf_writer time(at);
  time.add_int64(1, 1'700'000'000);
  time.add_int32(2, 5);
  out.add_message(8, at);
  const auto create = read_create(body);
  ASSERT_TRUE(create.has_value());
  EXPECT_EQ(create->seq, 7U);
  EXPECT_EQ(create->command, "RENDER");
  EXPECT_EQ(create->payload, "{}");
  EXPECT_EQ(create->priority, -3);
  EXPECT_EQ(create->run_at_ns, 1'700'000'000'000'000'005);
}

TEST(StreamMessages, GarbageAndWrongTypesAreMalformedAndNothingElse) {
  std::string wrong;
  pbf_writer(wrong).add_uint64(2, 5);  // command as a number
  for (const std::string& bad :
       {std::string("\xff\xff\xff"), std::string("\x0a\x7f"), wrong, std::string("\x12\x02\xc3\x28")}) {
    const auto read = read_create(bad);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().message, "malformed message");
  }
}

TEST(StreamMessages, OfAOneofTheLastCounts) {
  std::string message;
  pbf_writer out(message);
  out.add_message(1, std::string());
  out.add_message(6, std::string("\x0a\x01x"));
  const auto event = read_worker_event(message);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, WorkerEvent::Kind::kAbandon);
  EXPECT_EQ(read_owner_call(event->body)->task_id, "x");
}

TEST(StreamMessages, ABatchBeyondItsBoundIsRefusedAndNotCutShort) {
  std::string body;
  pbf_writer out(body);
  for (int i = 0; i < 4; ++i) out.add_message(1, std::string());
  EXPECT_EQ(read_create_batch(body, 4)->size(), 4U);
  const auto over = read_create_batch(body, 3);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, Code::kBatchTooLarge);
}

services::TaskSnapshot task(std::string payload) {
  auto info = std::make_shared<core::TaskInfo>();
  info->id_text = "id-1";
  info->command = "C";
  info->tenant = "acme";
  info->trace.tracestate = "a=1";
  info->trace.baggage = "k=v";
  services::TaskSnapshot snapshot;
  snapshot.info = std::move(info);
  snapshot.payload = std::make_shared<const std::string>(std::move(payload));
  snapshot.worker = std::make_shared<const std::string>(core::holder_of("w", "subject"));
  snapshot.context = {.trace_id = {{1}}, .span_id = {{2}}, .flags = 1};
  snapshot.attempts = 1;
  return snapshot;
}

TEST(StreamMessages, ATaskIsAsLargeAsWasSaidAndShowsNoTokenSubject) {
  for (const auto& payload : {std::string("1"), std::string(200, 'x'), std::string(70'000, 'y')}) {
    const auto one = task(payload);
    std::string out;
    append_task(out, one);
    const auto message = message_of(out);
    EXPECT_EQ(message.size(), task_message_bytes(one));
    EXPECT_EQ(message.find("subject"), std::string::npos);
    pbf_reader event(message);
    ASSERT_TRUE(event.next(2));
    auto assignment = event.get_message();
    ASSERT_TRUE(assignment.next(1));
    std::map<std::uint32_t, std::string> texts;
    for (auto fields = assignment.get_message(); fields.next();) {
      auto& text = texts[fields.tag()];  // a read takes the tag away
      if (fields.wire_type() == protozero::pbf_wire_type::length_delimited)
        text = fields.get_string();
      else
        fields.skip();
    }
    EXPECT_EQ(texts[1], "id-1");
    EXPECT_EQ(texts[3], payload);
    EXPECT_EQ(texts[8], "w");
    EXPECT_EQ(texts[14].size(), 55U);
    EXPECT_EQ(texts[15], "a=1");
    EXPECT_EQ(texts[16], "k=v");
  }
}

TEST(StreamMessages, ABatchHoldsEveryTask) {
  std::string out;
  append_task_batch(out, {task("1"), task("\"two\""), task("[3]")});
  const auto message = message_of(out);
  pbf_reader event(message);
  ASSERT_TRUE(event.next(8));
  std::size_t tasks = 0;
  for (auto batch = event.get_message(); batch.next(1); batch.skip()) ++tasks;
  EXPECT_EQ(tasks, 3U);
}

TEST(StreamMessages, TheTwoErrorsHaveTheirFieldsTheOtherWayRound) {
  std::string worker, producer;
  append_worker_error(worker, "Code", "text");
  append_producer_error(producer, "Code", "text");
  const auto first_field = [](const std::string& framed) {
    const auto message = message_of(framed);
    pbf_reader event(message);
    event.next();
    auto error = event.get_message();
    error.next(1);
    return error.get_string();
  };
  EXPECT_EQ(first_field(worker), "text");
  EXPECT_EQ(first_field(producer), "Code");
}

}  // namespace
}  // namespace codeq::transport::grpc
