// What the bench writes is read by the broker's own reader, and the other way round.
#include "app/bench/stream_messages.h"

#include <gtest/gtest.h>

#include <memory>

#include "transport/grpc/frame.h"
#include "transport/grpc/messages.h"

namespace codeq::app {
namespace {

namespace wire = transport::grpc;

std::string_view unframed(const std::string& message) {
  return std::string_view(message).substr(wire::kFramePrefixBytes);
}

TEST(BenchStreamMessages, TheBrokerReadsWhatAProducerWrites) {
  std::string message;
  write_hello(message, "token");
  auto event = wire::read_producer_event(message);
  ASSERT_TRUE(event && event->kind == wire::ProducerEvent::Kind::kHello);
  EXPECT_EQ(wire::read_hello(event->body)->token, "token");

  message.clear();
  write_create(message, {.seq = 7, .command = "B", .payload = "{}", .priority = 3, .run_at_ns = 1'500'000'000});
  event = wire::read_producer_event(message);
  ASSERT_TRUE(event && event->kind == wire::ProducerEvent::Kind::kCreate);
  const auto create = wire::read_create(event->body);
  ASSERT_TRUE(create.has_value());
  EXPECT_EQ(create->seq, 7U);
  EXPECT_EQ(create->command, "B");
  EXPECT_EQ(create->payload, "{}");
  EXPECT_EQ(create->priority, 3);
  EXPECT_EQ(create->run_at_ns, 1'500'000'000);

  message.clear();
  write_create_batch(message, {{.seq = 1, .command = "B", .payload = "1"}, {.seq = 2, .command = "C", .payload = "2"}});
  event = wire::read_producer_event(message);
  ASSERT_TRUE(event && event->kind == wire::ProducerEvent::Kind::kCreateBatch);
  const auto tasks = wire::read_create_batch(event->body, 10);
  ASSERT_TRUE(tasks && tasks->size() == 2);
  EXPECT_EQ(wire::read_create((*tasks)[1])->command, "C");
  EXPECT_FALSE(wire::read_create((*tasks)[1])->run_at_ns.has_value());
}

TEST(BenchStreamMessages, TheBrokerReadsWhatAWorkerWrites) {
  std::string message;
  write_ready(message, {"A", "B"}, 30, 5);
  auto event = wire::read_worker_event(message);
  ASSERT_TRUE(event && event->kind == wire::WorkerEvent::Kind::kReady);
  const auto ready = wire::read_ready(event->body, 100);
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->commands, (std::vector<std::string_view>{"A", "B"}));
  EXPECT_EQ(ready->lease_seconds, 30);
  EXPECT_EQ(ready->count, 5);

  message.clear();
  write_result(message, "t-1");
  event = wire::read_worker_event(message);
  ASSERT_TRUE(event && event->kind == wire::WorkerEvent::Kind::kResult);
  const auto result = wire::read_result(event->body);
  EXPECT_EQ(result->task_id, "t-1");
  EXPECT_EQ(result->status, "COMPLETED");
  EXPECT_EQ(result->result_json, R"({"ok":true})");

  message.clear();
  write_result_batch(message, {"t-1", "t-2"});
  event = wire::read_worker_event(message);
  ASSERT_TRUE(event && event->kind == wire::WorkerEvent::Kind::kResultBatch);
  EXPECT_EQ(wire::read_result_batch(event->body, 10)->size(), 2U);
}

TEST(BenchStreamMessages, AProducerReadsWhatTheBrokerAnswers) {
  ProducerAnswer answer;
  std::string message;
  wire::append_producer_hello_ack(message, "acme", "me");
  ASSERT_TRUE(read_producer_answer(unframed(message), answer));
  EXPECT_TRUE(answer.is_hello);

  message.clear();
  wire::append_create_ack(message, {.seq = 9, .task_id = "t-9"});
  ASSERT_TRUE(read_producer_answer(unframed(message), answer));
  ASSERT_EQ(answer.acks.size(), 1U);
  EXPECT_FALSE(answer.is_hello);
  EXPECT_TRUE(answer.acks[0].ok);
  EXPECT_EQ(answer.acks[0].seq, 9U);

  message.clear();
  wire::append_create_ack_batch(message, {{.seq = 1, .task_id = "t-1"}, {.seq = 2, .error = "overloaded"}});
  ASSERT_TRUE(read_producer_answer(unframed(message), answer));
  ASSERT_EQ(answer.acks.size(), 2U);
  EXPECT_FALSE(answer.acks[1].ok);
  EXPECT_EQ(answer.acks[1].error, "overloaded");

  message.clear();
  wire::append_producer_error(message, "Unavailable", "stopping");
  ASSERT_TRUE(read_producer_answer(unframed(message), answer));
  EXPECT_EQ(answer.error, "stopping");
  EXPECT_TRUE(answer.acks.empty());
}

TEST(BenchStreamMessages, AWorkerReadsWhatTheBrokerAnswers) {
  WorkerAnswer answer;
  std::string message;
  wire::append_worker_hello_ack(message, "w", "acme");
  ASSERT_TRUE(read_worker_answer(unframed(message), answer));
  EXPECT_TRUE(answer.is_hello);

  auto info = std::make_shared<core::TaskInfo>();
  info->id_text = "t-1";
  services::TaskSnapshot task;
  task.info = std::move(info);
  task.payload = std::make_shared<const std::string>("{\"n\":1}");
  message.clear();
  wire::append_task(message, task);
  ASSERT_TRUE(read_worker_answer(unframed(message), answer));
  ASSERT_EQ(answer.tasks.size(), 1U);
  EXPECT_TRUE(answer.spends_credit);
  EXPECT_EQ(answer.tasks[0].payload, "{\"n\":1}");
  EXPECT_EQ(answer.tasks[0].id, "t-1");

  message.clear();
  wire::append_task_batch(message, {task, task});
  ASSERT_TRUE(read_worker_answer(unframed(message), answer));
  EXPECT_EQ(answer.tasks.size(), 2U);
  EXPECT_TRUE(answer.spends_credit);

  message.clear();
  wire::append_result_ack_batch(message, {{.task_id = "a"}, {.task_id = "b", .error = "not-owner"}});
  ASSERT_TRUE(read_worker_answer(unframed(message), answer));
  ASSERT_EQ(answer.acks.size(), 2U);
  EXPECT_TRUE(answer.acks[0].ok && !answer.acks[1].ok && answer.tasks.empty() && !answer.spends_credit);
  EXPECT_EQ(answer.acks[1].task_id, "b");

  message.clear();
  wire::append_worker_error(message, "PermissionDenied", "missing scope");
  ASSERT_TRUE(read_worker_answer(unframed(message), answer));
  EXPECT_EQ(answer.error, "missing scope");
}

TEST(BenchStreamMessages, WhatIsNoMessageIsRefused) {
  ProducerAnswer produced;
  WorkerAnswer worked;
  for (const std::string bytes : {"\x12\xff", "\x12\x02\x08", "\xff"}) {
    EXPECT_FALSE(read_producer_answer(bytes, produced));
    EXPECT_FALSE(read_worker_answer(bytes, worked));
  }
}

TEST(BenchStreamMessages, AFieldOfAnotherTypeIsSkipped) {
  ProducerAnswer answer;
  ASSERT_TRUE(read_producer_answer("\x12\x07\x0a\x01x\x18\x01\x20\x01", answer));
  ASSERT_EQ(answer.acks.size(), 1U);
  EXPECT_EQ(answer.acks[0].seq, 0U) << "a text where a number belongs";
  EXPECT_EQ(answer.acks[0].task_id, "") << "a number where a text belongs";
}

}  // namespace
}  // namespace codeq::app
