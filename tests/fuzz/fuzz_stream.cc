// fuzz-room: codeq_transport_grpc codeq_storage codeq_log
// The bytes of one gRPC stream: cut into messages in one piece and in small ones, which must agree; then given to the call of
// a producer or a worker with a whole broker in memory behind it. No more tasks leave than there were credits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "log/memory/memory_log.h"
#include "observe/metrics.h"
#include "observe/null_tracer.h"
#include "services/auth.h"
#include "services/partition.h"
#include "storage/memory/memory_store.h"
#include "transport/grpc/frame.h"
#include "transport/grpc/health_call.h"
#include "transport/grpc/producer_call.h"
#include "transport/grpc/worker_call.h"

namespace {

using namespace codeq;
using namespace codeq::transport::grpc;

constexpr std::size_t kMessageMax = 4096;

std::vector<std::string> messages_of(std::string_view bytes, std::size_t piece) {
  std::vector<std::string> seen;
  FrameReader reader;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    std::string_view message;
    for (;;) {
      const auto state = reader.next(kMessageMax, message);
      if (state == FrameReader::State::kNeedsMore) break;
      if (state != FrameReader::State::kMessage) return seen;
      CHECK(message.size() <= kMessageMax);
      seen.emplace_back(message);
    }
    reader.compact();
    CHECK(reader.pending() <= kMessageMax + kFramePrefixBytes + piece);
  }
  return seen;
}

class NoWebhooks final : public services::WebhookSender {
 public:
  void send(services::WebhookJob, std::move_only_function<void(services::WebhookOutcome)> finished) override {
    finished({.http_status = 500, .error = ""});
  }
};

const services::Authenticator& tokens() {
  static const auto made = services::make_authenticator(
      {.producer_type = "static",
       .producer_config = R"({"token":"p","subject":"alice","raw":{"tenantId":"acme"}})",
       .worker_type = "static",
       .worker_config = R"({"token":"w","subject":"bob","raw":{"tenantId":"acme"},"eventTypes":["*"],
         "scopes":["codeq:claim","codeq:heartbeat","codeq:abandon","codeq:nack","codeq:result"]})"});
  CHECK(made.has_value());
  return **made;
}

struct Broker {
  Broker() {
    CHECK(partition.start().has_value());
    std::vector<services::CreateTask> tasks(3);
    for (auto& task : tasks) task.command = "A", task.payload = "{}";
    partition.create({.tenant = "acme", .subject = "alice", .request = {}}, std::move(tasks), [](const auto&) {});
    settle();
  }
  ~Broker() { partition.vanish(); }
  void settle() {
    for (int i = 0; i < 1000; ++i) {
      bool moved = partition.step();
      moved = partition.step_committer() || moved;
      moved = partition.step_image() || moved;
      moved = partition.step_reader() || moved;
      if (!moved) return;
    }
  }
  ManualClock clock;
  SeededRng rng{1};
  log::MemoryLog log;
  storage::MemoryStore store;
  observe::NullTracer tracer;
  observe::Metrics metrics;
  NoWebhooks webhooks;
  services::Partition partition{{.threaded = false},
                                {.log = log,
                                 .store = store,
                                 .clock = clock,
                                 .rng = rng,
                                 .tracer = tracer,
                                 .metrics = metrics,
                                 .webhooks = webhooks,
                                 .disk_low = [] { return false; },
                                 .on_failure = [](const Error&) { CHECK(false); }}};
};

void check_output(const Call& call) {
  FrameReader reader;
  reader.feed(call.output);
  std::string_view message;
  while (reader.next(std::size_t{4} << 20U, message) == FrameReader::State::kMessage) {}
  CHECK(reader.empty());
}

void drive(Call& call, const std::shared_ptr<Letters>& mailbox, Broker& broker,
           const std::vector<std::string>& messages) {
  std::vector<Letter> letters;
  const auto turn = [&] {
    for (int i = 0; i < 20; ++i) {
      broker.settle();
      mailbox->take(letters);
      if (letters.empty()) break;
      for (auto& letter : letters) letter.call->answered(letter.job, letter.answer);
      letters.clear();
      call.burst_over();
    }
  };
  for (const auto& message : messages) {
    if (call.ending || call.paused()) turn();
    if (call.ending || call.paused()) break;
    call.message(message, broker.clock.steady_ns());
    if (call.message_bytes_max() % 2 == 0 && message.size() % 3 == 0) call.burst_over(), turn();
  }
  if (!call.ending) call.burst_over();
  turn();
  check_output(call);
  broker.clock.advance_ns(kNanosPerSecond);
  call.tick(broker.clock.steady_ns());
  turn();
  if (!call.ending) call.half_closed();
  turn();
  check_output(call);
  call.gone();
  turn();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto messages = messages_of(bytes, std::max<std::size_t>(1, bytes.size()));
  CHECK(messages == messages_of(bytes, 1 + data[0] % 7U));
  Broker broker;
  CallDeps deps{.broker = broker.partition,
                .authenticator = tokens(),
                .clock = broker.clock,
                .metrics = &broker.metrics,
                .rates = nullptr,
                .limits = {}};
  deps.limits.credits_max = 8;
  deps.limits.pools_max = 2;
  deps.limits.in_flight_max = 4;
  const auto mailbox = std::make_shared<Letters>([] {}, [](const Letter&) {});
  std::shared_ptr<Call> call;
  switch (data[0] >> 4U & 3U) {
    case 0:
      messages.insert(messages.begin(), std::string("\x0a\x03\x0a\x01p", 5));
      call = std::make_shared<ProducerCall>(deps, mailbox, core::TraceContext{});
      break;
    case 1:
      messages.insert(messages.begin(), std::string("\x0a\x03\x0a\x01w", 5));
      call = std::make_shared<WorkerCall>(deps, mailbox, core::TraceContext{});
      break;
    case 2: call = std::make_shared<WorkerCall>(deps, mailbox, core::TraceContext{}); break;
    default:
      call = std::make_shared<HealthCall>(deps, mailbox, std::vector<std::string_view>{"workerpb.WorkerStream"},
                                          (data[0] & 1U) != 0);
  }
  drive(*call, mailbox, broker, messages);
  std::size_t handed = 0;
  for (const auto& one : call->handed) handed += one.leases.size();
  CHECK(handed <= 3);
  mailbox->close();
  return 0;
}
