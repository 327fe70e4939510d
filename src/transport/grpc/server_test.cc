// The streams over real sockets, with a whole broker on memory twins behind them. What clients of other makes see is in
// tests/e2e/test_stream_*.py; here is what needs the race detector or a look inside.
#include "transport/grpc/server.h"

#include <gtest/gtest.h>

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <thread>

#include "transport/grpc/test_client.h"
#include "transport/http/test_stack.h"

namespace codeq::transport {
namespace {

using grpc::StreamClient;
using protozero::pbf_reader;
using protozero::pbf_writer;

constexpr const char* kProduce = "/producerpb.ProducerStream/Stream";
constexpr const char* kWork = "/workerpb.WorkerStream/Stream";

template <class Write>
std::string event(std::uint32_t tag, Write&& write) {
  std::string body, message;
  pbf_writer inner(body);
  write(inner);
  pbf_writer(message).add_message(tag, body);
  return message;
}
std::string hello(const std::string& token, const std::string& worker_id = "") {
  return event(1, [&](pbf_writer& out) {
    out.add_string(1, token);
    if (!worker_id.empty()) out.add_string(2, worker_id);
  });
}
std::string create(std::uint64_t seq, const std::string& command = "A", const std::string& payload = "{\"n\":1}") {
  return event(2, [&](pbf_writer& out) {
    out.add_uint64(1, seq);
    out.add_string(2, command);
    out.add_bytes(3, payload);
  });
}
std::string ready(int count = 1, const std::string& command = "A") {
  return event(2, [&](pbf_writer& out) {
    out.add_string(1, command);
    out.add_int32(2, 60);
    out.add_int32(3, count);
  });
}
std::string result(const std::string& id) {
  return event(3, [&](pbf_writer& out) {
    out.add_string(1, id);
    out.add_string(2, "COMPLETED");
  });
}

// (tag of the event, its fields as text, by number); for an assignment those of the task.
struct Seen {
  std::uint32_t tag = 0;
  std::map<std::uint32_t, std::string> fields;
};
Seen see(const std::optional<std::string>& message) {
  Seen seen;
  if (!message) return seen;
  pbf_reader reader(*message);
  if (!reader.next()) return seen;
  seen.tag = reader.tag();
  auto body = reader.get_message();
  if (seen.tag == 2 && message->size() > 100) {  // a worker's task is nested once more
    body.next(1);
    body = body.get_message();
  }
  while (body.next()) {
    auto& field = seen.fields[body.tag()];  // a read takes the tag away
    if (body.wire_type() == protozero::pbf_wire_type::length_delimited)
      field = body.get_string();
    else
      field = std::to_string(body.get_uint64());
  }
  return seen;
}

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() { open({}); }
  void open(GrpcOptions options, Clock* clock = nullptr) {
    server.reset();
    options.listeners = {{.host = "127.0.0.1", .port = 0, .producers = true, .workers = true, .tls = nullptr}};
    auto started = GrpcServer::start(options, {.broker = *stack.partition,
                                               .authenticator = *stack.tokens,
                                               .clock = clock == nullptr ? stack.clock : *clock,
                                               .metrics = &stack.metrics,
                                               .rates = nullptr,
                                               .limits = {}});
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server = std::move(*started);
  }
  [[nodiscard]] std::uint16_t port() const { return server->port(0); }
  std::string created(const std::string& command = "A", const std::string& payload = "{\"n\":1}") {
    StreamClient producer(port(), kProduce);
    producer.send(hello("producer"));
    producer.send(create(1, command, payload));
    EXPECT_EQ(see(producer.receive()).tag, 1U);
    auto ack = see(producer.receive());
    EXPECT_EQ(ack.fields[2], "1") << ack.fields[4];
    return ack.fields[3];
  }

  http::Stack stack;
  std::unique_ptr<GrpcServer> server;
};

TEST_F(GrpcServerTest, ATaskIsCreatedHandedOutAndCompleted) {
  const auto id = created();
  StreamClient worker(port(), kWork);
  worker.send(hello("worker", "my-worker"));
  worker.send(ready());
  EXPECT_EQ(see(worker.receive()).fields[1], "my-worker");
  auto task = see(worker.receive());
  EXPECT_EQ(task.fields[1], id);
  EXPECT_EQ(task.fields[3], "{\"n\":1}");
  EXPECT_EQ(task.fields[8], "my-worker");
  worker.send(result(id));
  EXPECT_EQ(see(worker.receive()).fields[2], "1");
  worker.send(result(id));
  EXPECT_EQ(see(worker.receive()).fields[3], "not-in-progress");
  worker.half_close();
  EXPECT_EQ(worker.end(), "0: ");
}

TEST_F(GrpcServerTest, ACreditWaitsForItsTask) {
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  EXPECT_EQ(see(worker.receive()).tag, 1U);
  const auto id = created();
  EXPECT_EQ(see(worker.receive()).fields[1], id);
}

TEST_F(GrpcServerTest, AnotherTokenWithTheSameWorkerIdIsNotTheOwner) {
  const auto id = created();
  StreamClient owner(port(), kWork), other(port(), kWork);
  owner.send(hello("worker", "shared"));
  owner.send(ready());
  owner.receive();
  EXPECT_EQ(see(owner.receive()).fields[1], id);
  other.send(hello("second", "shared"));
  other.send(result(id));
  other.receive();
  EXPECT_EQ(see(other.receive()).fields[3], "not-owner");
  // The same identity may go on over another stream.
  StreamClient again(port(), kWork);
  again.send(hello("worker", "shared"));
  again.send(result(id));
  again.receive();
  EXPECT_EQ(see(again.receive()).fields[2], "1");
}

TEST_F(GrpcServerTest, CreditsOfAVanishedStreamTakeNothingWithThem) {
  {
    StreamClient worker(port(), kWork);
    worker.send(hello("worker"));
    for (int i = 0; i < 10; ++i) worker.send(ready());
    worker.receive();
    worker.cancel();
  }
  ASSERT_TRUE(http::eventually([&] { return server->connections() == 0; }));
  const auto id = created();
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  worker.receive();
  auto task = see(worker.receive());
  EXPECT_EQ(task.fields[1], id);
  EXPECT_EQ(task.fields[10], "1") << "an attempt was counted that nobody saw";
}

TEST_F(GrpcServerTest, AClientThatDoesNotReadGetsNoMoreThanItsRoomAndTheRestGoesToOthers) {
  for (int i = 0; i < 40; ++i) created("A", "\"" + std::string(900'000, 'x') + "\"");
  StreamClient deaf(port(), kWork);
  deaf.send(hello("worker", "deaf"));
  for (int i = 0; i < 40; ++i) deaf.send(ready());
  deaf.receive();  // the windows that it gave are 8 MiB, and are not given again without reading
  StreamClient worker(port(), kWork);
  worker.send(hello("worker", "keen"));
  for (int i = 0; i < 20; ++i) worker.send(ready());
  worker.receive();
  for (int i = 0; i < 20; ++i) ASSERT_NE(see(worker.receive()).fields[1], "");
  EXPECT_LT(server->held_bytes(), 32U << 20U);
}

TEST_F(GrpcServerTest, WhoHasMoreThanItsShareOfTheMemoryOpensNoFurtherStreamAndOthersDo) {
  GrpcOptions options;
  options.in_flight_bytes_max = 3U << 20U;
  options.window_bytes = 4U << 20U;
  open(options);
  StreamClient hog(port(), kProduce);
  hog.send(hello("producer"));
  hog.receive();
  const auto message = create(1, "A", "\"" + std::string(3U << 20U, 'x') + "\"");
  std::string bytes;
  grpc::append_frame_prefix(bytes, message.size());
  bytes += message;
  std::size_t sent = 0;
  while (server->held_bytes() <= options.in_flight_bytes_max / 2) {
    hog.send_raw(std::string_view(bytes).substr(sent, 32U << 10U));
    sent += 32U << 10U;
    ASSERT_LT(sent, bytes.size());
    ASSERT_TRUE(hog.settle());
  }
  ASSERT_LE(server->held_bytes(), options.in_flight_bytes_max);
  hog.headers.clear();
  hog.open_another(kWork);
  ASSERT_TRUE(hog.settle());
  EXPECT_EQ(hog.headers["grpc-status"], "8");
  EXPECT_EQ(hog.headers["grpc-message"], "overloaded, try again");
  const auto id = created("B");  // by somebody else
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready(1, "B"));
  worker.receive();
  EXPECT_EQ(see(worker.receive()).fields[1], id);
  // The message goes on, as it is the only one of its client.
  hog.ended = false;
  hog.send_raw(std::string_view(bytes).substr(sent));
  EXPECT_EQ(see(hog.receive()).fields[2], "1");
}

TEST_F(GrpcServerTest, FourMebibytesAreAMessageAndOneByteMoreIsNot) {
  StreamClient producer(port(), kProduce);
  producer.send(hello("producer"));
  producer.receive();
  const std::size_t most = (4U << 20U) - (64U << 10U);
  producer.send(create(1, "BIG", "\"" + std::string(most - 64, 'x') + "\""));
  EXPECT_EQ(see(producer.receive()).fields[2], "1");
  producer.send(create(2, "BIG", "\"" + std::string(most + 10, 'x') + "\""));
  EXPECT_EQ(see(producer.receive()).fields[4], "payload is too large");
  producer.send(create(3, "BIG", std::string(4U << 20U, 'x')));
  EXPECT_EQ(producer.end().substr(0, 2), "8:");
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready(4, "BIG"));
  worker.receive();
  const auto batch = worker.receive();
  ASSERT_TRUE(batch.has_value());
  EXPECT_LE(batch->size(), 4U << 20U);
}

TEST_F(GrpcServerTest, WithoutAHelloAStreamEndsAtItsTime) {
  ManualClock clock;
  open({}, &clock);
  StreamClient silent(port(), kWork);
  while (!silent.headers.contains(":status")) ASSERT_TRUE(silent.pump());
  clock.advance_ns(11 * kNanosPerSecond);
  EXPECT_EQ(silent.end(), "4: no Hello in time");
}

TEST_F(GrpcServerTest, ADrainAnswersWhatIsUnderWayAndSaysGoodbye) {
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  worker.receive();
  EXPECT_TRUE(server->drain(std::chrono::seconds(10)));
  auto goodbye = see(worker.receive());
  EXPECT_EQ(goodbye.tag, 7U);
  EXPECT_EQ(goodbye.fields[2], "Unavailable");
  EXPECT_EQ(worker.end(), "14: the broker is stopping");
}

TEST_F(GrpcServerTest, ManyClientsAtOnceLoseNothingAndGetNothingTwice) {
  constexpr int kProducers = 3, kWorkers = 3, kTasks = 200;
  std::vector<std::string> done[kWorkers];
  std::atomic<int> completed{0};
  {
    std::vector<std::jthread> threads;
    for (int p = 0; p < kProducers; ++p)
      threads.emplace_back([this] {
        StreamClient producer(port(), kProduce);
        producer.send(hello("producer"));
        producer.receive();
        for (int i = 0; i < kTasks; ++i) producer.send(create(static_cast<std::uint64_t>(i)));
        for (int i = 0; i < kTasks; ++i) ASSERT_EQ(see(producer.receive()).fields[2], "1");
      });
    for (int w = 0; w < kWorkers; ++w)
      threads.emplace_back([this, w, &done, &completed] {
        StreamClient worker(port(), kWork);
        worker.send(hello("worker", "w" + std::to_string(w)));
        for (int i = 0; i < 16; ++i) worker.send(ready());
        worker.receive();
        while (completed < kProducers * kTasks) {
          worker.flush();
          if (worker.messages.empty() && !worker.pump()) break;
          while (!worker.messages.empty()) {
            auto seen = see(worker.messages.front());
            worker.messages.pop_front();
            if (seen.tag == 3) {
              ASSERT_EQ(seen.fields[2], "1") << seen.fields[3];
              if (++completed == kProducers * kTasks) server->begin_drain();  // the others wait for tasks
              continue;
            }
            if (seen.tag != 2) continue;
            done[w].push_back(seen.fields[1]);
            worker.send(result(seen.fields[1]));
            worker.send(ready());
          }
        }
      });
  }
  std::set<std::string> ids;
  for (const auto& part : done) ids.insert(part.begin(), part.end());
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(kProducers * kTasks));
  EXPECT_EQ(completed, kProducers * kTasks);
}

}  // namespace
}  // namespace codeq::transport
