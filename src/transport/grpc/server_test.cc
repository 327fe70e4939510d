// The streams over real sockets, with a whole broker on memory twins behind them. What clients of other makes see is in
// tests/e2e/test_stream_*.py; here is what needs the race detector or a look inside.
#include "transport/grpc/server.h"

#include <gtest/gtest.h>

#include <future>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <thread>

#include "services/rate_limit.h"
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

// TLS between a StreamClient and its socket.
struct TlsWire final : grpc::ClientWire {
  std::string seal(std::string_view plain) override {
    waiting += plain;
    peer.turn();
    if (peer.finished() && !waiting.empty()) peer.send(std::exchange(waiting, {}));
    return peer.take();
  }
  std::string open(std::string_view wire) override {
    peer.feed(wire);
    peer.turn();
    return std::exchange(peer.received, {});
  }
  TlsPeer peer{{.alpn = "\x02h2"}};
  std::string waiting;  // for the end of the handshake
};

std::shared_ptr<TlsContext> grpc_tls() {
  const TlsFolder folder;
  const auto issued = issue("localhost", nullptr);
  return TlsContext::open({.certificate_file = folder.write("cert.pem", issued.certificate_pem()),
                           .key_file = folder.write("key.pem", issued.key_pem()),
                           .alpn = {"h2"}})
      .value();
}

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() { open({}); }
  void open(GrpcOptions options, Clock* its_clock = nullptr, services::RateLimiter* its_rates = nullptr,
            std::shared_ptr<TlsContext> tls = nullptr) {
    server.reset();
    options.listeners = {{.host = "127.0.0.1", .port = 0, .producers = true, .workers = true, .tls = nullptr}};
    if (tls) {  // as a second one
      options.listeners.push_back(options.listeners.front());
      options.listeners.back().tls = std::move(tls);
    }
    auto started = GrpcServer::start(options, {.broker = *stack.partition,
                                               .authenticator = *stack.tokens,
                                               .clock = its_clock == nullptr ? stack.clock : *its_clock,
                                               .metrics = &stack.metrics,
                                               .rates = its_rates,
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

  // As it is seen over HTTP.
  http::Reply get(const std::string& id) {
    http::Client client(stack.server->port());
    return client.call("GET", "/v1/codeq/tasks/" + id, "producer");
  }
  services::QueueStats stats(const std::string& command = "A") {
    std::promise<Result<services::QueueStats>> promise;
    stack.partition->queue_stats({.tenant = "acme", .subject = "x", .request = {}, .received_steady_ns = 0}, command,
                                 [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get().value();
  }
  void create_many(int count, const std::string& payload) {
    StreamClient producer(port(), kProduce);
    producer.send(hello("producer"));
    producer.receive();
    for (int i = 0; i < count; ++i) producer.send(create(static_cast<std::uint64_t>(i), "A", payload));
    for (int i = 0; i < count; ++i) ASSERT_EQ(see(producer.receive()).fields[2], "1");
  }

  http::Stack stack;
  ManualClock clock;  // of the server, where a test says so
  std::unique_ptr<services::RateLimiter> rates;
  std::unique_ptr<GrpcServer> server;  // last: nothing of the above goes away before it
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
  const auto other = hog.begin(kWork);
  ASSERT_TRUE(hog.settle());
  EXPECT_EQ(hog.others_headers[other]["grpc-status"], "8");
  EXPECT_EQ(hog.others_headers[other]["grpc-message"], "overloaded, try again");
  const auto id = created("B");  // by somebody else
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready(1, "B"));
  worker.receive();
  EXPECT_EQ(see(worker.receive()).fields[1], id);
  // The message goes on, as it is the only one of its client.
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

// ---------------------------------------------------------------- a task that no client would take

TEST_F(GrpcServerTest, ATaskTooLargeForAMessageFailsWithAReasonAndTakesNoCredit) {
  GrpcOptions options;
  options.calls.message_bytes_max = 16U << 10U;
  options.calls.credits_max = 1;
  open(options);
  const std::string large = R"({"command":"A","maxAttempts":1,"payload":")" + std::string(20'000, 'x') + "\"}";
  for (const int count : {1, 4}) {  // an assignment; a batch
    SCOPED_TRACE(count);
    StreamClient worker(port(), kWork);
    worker.send(hello("worker"));
    worker.send(ready(count));
    worker.receive();
    for (int round = 0; round < 2; ++round) {
      const auto refused = stack.create(large);
      ASSERT_TRUE(http::eventually([&] { return get(refused).text("status") == "FAILED"; }));
      EXPECT_TRUE(get(refused).has("too large for a message"));
      EXPECT_EQ(stats().ready, 0U);
      stack.create();
      EXPECT_EQ(see(worker.receive()).tag, count == 1 ? 2U : 8U) << "the only credit is still there";
      worker.send(ready(count));  // refused, if what was not used were counted as used, or the other way round
      worker.flush();
    }
    worker.half_close();
    EXPECT_EQ(worker.end(), "0: ");
  }
}

TEST_F(GrpcServerTest, WhatFitsOfABatchIsHandedOutWithoutTheOneThatDoesNot) {
  GrpcOptions options;
  options.calls.message_bytes_max = 16U << 10U;
  open(options);
  const auto refused = stack.create(R"({"command":"A","maxAttempts":1,"payload":")" + std::string(20'000, 'x') + "\"}");
  const auto fits = stack.create();
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready(4));
  worker.receive();
  const auto batch = worker.receive();
  ASSERT_TRUE(batch.has_value());
  EXPECT_NE(batch->find(fits), std::string::npos);
  EXPECT_EQ(batch->find(refused), std::string::npos);
  ASSERT_TRUE(http::eventually([&] { return get(refused).text("status") == "FAILED"; }));
}

// ---------------------------------------------------------------- what came before the end

TEST_F(GrpcServerTest, WhatCameTogetherWithAResetIsStillAsked) {
  StreamClient producer(port(), kProduce);
  producer.send(hello("producer"));
  producer.receive();
  producer.hold();
  producer.send(create(1));
  producer.flush();
  producer.cancel();
  producer.let_go();
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  worker.receive();
  const auto id = see(worker.receive()).fields[1];
  ASSERT_NE(id, "");
  worker.hold();
  worker.send(result(id));
  worker.flush();
  worker.cancel();
  worker.let_go();
  EXPECT_TRUE(http::eventually([&] { return get(id).text("status") == "COMPLETED"; })) << get(id).body;
}

TEST_F(GrpcServerTest, WhatCameBeforeTheClientsLastWordIsAnsweredHoweverLittleMayBeUnderWay) {
  GrpcOptions options;
  options.calls.in_flight_max = 1;  // the rest of the burst waits, and its end with it
  open(options);
  StreamClient producer(port(), kProduce);
  producer.hold();
  producer.send(hello("producer"));
  for (std::uint64_t seq = 1; seq <= 5; ++seq) producer.send(create(seq));
  producer.half_close();
  producer.let_go();
  producer.receive();
  for (std::uint64_t seq = 1; seq <= 5; ++seq) {
    auto ack = see(producer.receive());
    EXPECT_EQ(ack.fields[1], std::to_string(seq));
    EXPECT_EQ(ack.fields[2], "1");
  }
  EXPECT_EQ(producer.end(), "0: ");
}

TEST_F(GrpcServerTest, WhatCameBeforeGarbageIsStillAsked) {
  StreamClient producer(port(), kProduce);
  producer.send(hello("producer"));
  producer.receive();
  producer.hold();
  producer.send(create(1));
  producer.send("\xff\xff");
  producer.let_go();
  EXPECT_EQ(producer.end(), "3: malformed message");
  EXPECT_TRUE(http::eventually([&] { return stats().ready == 1; }));
}

// ---------------------------------------------------------------- what a client's machine has, through TLS

TEST_F(GrpcServerTest, WhatAClientHasGotThroughTlsStaysItsWhenItHangsUp) {
  open({}, nullptr, nullptr, grpc_tls());
  constexpr int kTasks = 300;
  create_many(kTasks, '"' + std::string(3000, 'x') + '"');
  {
    TlsWire wire;
    StreamClient worker(server->port(1), kWork, {.wire = &wire});
    worker.send(hello("worker"));
    for (int i = 0; i < kTasks; ++i) worker.send(ready());
    worker.receive();
    for (int i = 0; i < kTasks; ++i) ASSERT_NE(see(worker.receive()).fields[1], "");
  }
  ASSERT_TRUE(http::eventually([&] { return server->connections() == 0; }));
  EXPECT_EQ(stats().in_progress, static_cast<std::uint64_t>(kTasks));
  EXPECT_EQ(stats().ready, 0U);
}

TEST_F(GrpcServerTest, WhatAClientsMachineHasNotGotThroughTlsGoesToOthers) {
  open({}, nullptr, nullptr, grpc_tls());
  constexpr int kTasks = 4000;
  create_many(kTasks, '"' + std::string(300, 'x') + '"');
  std::size_t seen = 0;
  {
    TlsWire wire;
    StreamClient worker(server->port(1), kWork, {.receive_buffer_bytes = 64 << 10, .wire = &wire});
    worker.send(hello("worker"));
    worker.receive();
    for (int i = 0; i < kTasks; ++i) worker.send(ready());
    worker.flush();
    // Until nothing moves any more: the io thread has had many turns, and no byte has come.
    std::size_t before = 0;
    do {
      before = worker.unread();
      for (int i = 0; i < 20; ++i) created("B");
    } while (worker.unread() != before || before == 0);
    ASSERT_TRUE(worker.look());
    for (const auto& message : worker.messages) seen += see(message).tag == 2 ? 1 : 0;
  }
  ASSERT_TRUE(http::eventually([&] { return server->connections() == 0; }));
  const auto after = stats();
  EXPECT_LE(after.in_progress, seen) << "leased to a client that has not got it";
  EXPECT_EQ(after.in_progress + after.ready, static_cast<std::uint64_t>(kTasks));
  EXPECT_GT(seen, 0U);
  EXPECT_LT(seen, static_cast<std::size_t>(kTasks)) << "the client has got all of them: this shows nothing";
}

// ---------------------------------------------------------------- who holds what others need

TEST_F(GrpcServerTest, AStreamThatIsNotReadIsResetWhereMemoryIsSpentAndWhatWaitedThereGoesBack) {
  GrpcOptions options;
  options.in_flight_bytes_max = 256U << 10U;
  open(options, &clock);
  const std::string large = R"({"command":"A","payload":")" + std::string(400'000, 'x') + "\"}";
  for (int i = 0; i < 4; ++i) stack.create(large);
  StreamClient deaf(port(), kWork, {.window_bytes = 65'535, .renews_window = false});
  deaf.send(hello("worker", "deaf"));
  for (int i = 0; i < 4; ++i) deaf.send(ready());
  deaf.receive();
  ASSERT_TRUE(http::eventually([&] { return server->held_bytes() > options.in_flight_bytes_max; }));
  std::int64_t passed_ms = 0;
  while (!deaf.ended && passed_ms < 20'000) {
    if (deaf.pump_within(300)) continue;  // a tick or more
    clock.advance_ns(500 * kNanosPerMilli);
    passed_ms += 500;
  }
  EXPECT_TRUE(deaf.ended);
  EXPECT_EQ(deaf.reset, static_cast<std::uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_GE(passed_ms, 2000) << "it had no time to read";
  ASSERT_TRUE(http::eventually([&] { return stats().ready == 4; }));
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  worker.receive();
  EXPECT_EQ(see(worker.receive()).fields[10], "1") << "an attempt was counted that nobody saw";
}

TEST_F(GrpcServerTest, AStreamThatIsNotReadMayStayWhereThereIsRoom) {
  open({}, &clock);
  for (int i = 0; i < 4; ++i) created("A", "\"" + std::string(400'000, 'x') + "\"");
  StreamClient deaf(port(), kWork, {.window_bytes = 65'535, .renews_window = false});
  deaf.send(hello("worker", "deaf"));
  for (int i = 0; i < 4; ++i) deaf.send(ready());
  deaf.receive();
  ASSERT_TRUE(http::eventually([&] { return server->held_bytes() > 256U << 10U; }));
  for (int i = 0; i < 5; ++i) {
    clock.advance_ns(5 * kNanosPerSecond);
    // Its end shows that the clock was looked at.
    StreamClient silent(port(), kWork);
    while (!silent.headers.contains(":status")) ASSERT_TRUE(silent.pump());
    clock.advance_ns(11 * kNanosPerSecond);
    EXPECT_EQ(silent.end(), "4: no Hello in time");
    while (deaf.pump_within(0)) {}  // answers PINGs
  }
  EXPECT_FALSE(deaf.ended);
}

TEST_F(GrpcServerTest, AClientThatMakesUsResetStreamsAgainAndAgainIsCut) {
  GrpcOptions options;
  options.reset_burst = 5;
  options.reset_per_second = 2;
  open(options, &clock);
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.receive();
  // Streams that are refused while the client may still send on them.
  const auto provoke = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) worker.begin("/no.such/Method");
    const auto sofar = worker.others_ended.size();
    worker.flush();
    while (worker.others_ended.size() < sofar + count && worker.pump()) {}
    return worker.others_ended.size() == sofar + count;
  };
  EXPECT_TRUE(provoke(5));
  clock.advance_ns(kNanosPerSecond);
  EXPECT_TRUE(provoke(2)) << "they come back with time";
  const auto before = server->connections();
  EXPECT_EQ(before, 1U);
  provoke(1);
  while (worker.pump()) {}
  EXPECT_TRUE(http::eventually([&] { return server->connections() == 0; }));
}

// ---------------------------------------------------------------- rate limits

class GrpcRatesTest : public GrpcServerTest {
 protected:
  GrpcRatesTest() {
    services::RateLimits limits{};
    limits[static_cast<std::size_t>(services::RateBucket::kWorker)] = {.requests_per_minute = 60, .burst = 1};
    rates = services::make_rate_limiter(limits, clock);
    open({}, &clock, rates.get());
  }
  [[nodiscard]] bool hits(int count) {
    return http::eventually([&] {
      return stack.metrics.exposition({}).find(R"(codeq_rate_limit_hits_total{scope="worker",operation="claim"} )" +
                                               std::to_string(count)) != std::string::npos;
    });
  }
};

TEST_F(GrpcRatesTest, AReadyBeyondTheLimitWaitsForItsTurnAndAsksForItOnce) {
  for (int i = 0; i < 3; ++i) created();
  StreamClient worker(port(), kWork);
  worker.send(hello("worker"));
  worker.send(ready());
  worker.receive();
  EXPECT_EQ(see(worker.receive()).tag, 2U);
  worker.send(ready());
  worker.flush();
  ASSERT_TRUE(hits(1));
  // Other events of the stream come meanwhile, and take no turn.
  for (int i = 0; i < 5; ++i) {
    worker.send(result("no id"));
    EXPECT_EQ(see(worker.receive()).tag, 3U) << "a task came before its time";
  }
  clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(see(worker.receive()).tag, 2U);
  EXPECT_TRUE(hits(1)) << "one turn, asked for once";
  EXPECT_EQ(stats().ready, 1U);
}

TEST_F(GrpcRatesTest, StreamsOfOneTokenHaveTurnsOfTheirOwn) {
  for (int i = 0; i < 3; ++i) created();
  StreamClient first(port(), kWork), second(port(), kWork), third(port(), kWork);
  int waiting = 0;
  for (auto* worker : {&first, &second, &third}) {
    worker->send(hello("worker"));
    worker->send(ready());
    EXPECT_EQ(see(worker->receive()).tag, 1U);
    if (waiting > 0) ASSERT_TRUE(hits(waiting));
    ++waiting;
  }
  EXPECT_EQ(see(first.receive()).tag, 2U);
  clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(see(second.receive()).tag, 2U);
  EXPECT_EQ(stats().ready, 1U) << "the third one's turn has not come";
  clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(see(third.receive()).tag, 2U);
  EXPECT_TRUE(hits(2));
}

}  // namespace
}  // namespace codeq::transport
