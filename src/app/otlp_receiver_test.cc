// The real exporter against the real receiver, over loopback.
#include "app/otlp_receiver.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "observe/otlp/exporter.h"

namespace codeq::app {
namespace {

using namespace std::chrono_literals;
using observe::OtlpTracer;
using observe::Span;
constexpr auto kSoon = 30s;  // a bound for broken code, not a wait

observe::TracingOptions options_for(const std::string& endpoint) {
  observe::TracingOptions options;
  options.enabled = true;
  options.endpoint = endpoint;
  options.insecure = true;
  options.service_name = "orders";
  options.service_version = "1.2.3";
  options.schedule_delay = 5ms;
  options.retry_first = 5ms;
  options.retry_max = 20ms;
  return options;
}

std::unique_ptr<OtlpReceiver> receiver_on(std::uint16_t port = 0) {
  auto receiver = OtlpReceiver::start(port);
  EXPECT_TRUE(receiver.has_value()) << (receiver ? "" : receiver.error().message);
  return receiver ? *std::move(receiver) : nullptr;
}

std::unique_ptr<OtlpTracer> tracer_for(observe::TracingOptions options) {
  auto tracer = OtlpTracer::open(std::move(options));
  EXPECT_TRUE(tracer.has_value());
  return tracer ? *std::move(tracer) : nullptr;
}

void record_some(OtlpTracer& tracer, int count) {
  SystemRng rng;
  for (int i = 0; i < count; ++i) {
    tracer.record(
        Span{.context = tracer.start({}, rng), .parent = {}, .name = "n", .scope = static_cast<observe::Scope>(i % 6)});
  }
}

// A task's claim with all that a span can have.
Span claim(const OtlpTracer& tracer, const core::SpanContext& origin, const core::SpanContext& request, Rng& rng) {
  Span span{.context = tracer.start(origin, rng),
            .parent = origin.span_id,
            .parent_is_remote = true,
            .tracestate = "vendor=a:1,other=2",
            .name = "codeq.task.claim",
            .kind = observe::SpanKind::kConsumer,
            .scope = observe::Scope::kRepository,
            .start_ns = 1'700'000'000'123'456'789,
            .end_ns = 1'700'000'000'987'654'321,
            .error = true,
            .error_message = "went \"wrong\""};
  span.set("codeq.command", "GENERATE_MASTER");
  span.set("codeq.attempt", std::int64_t{2});
  span.set("codeq.has_webhook", true);
  span.link(request);
  span.link(origin);
  return span;
}

void expect_claim_arrived(const ReceivedSpan& got, const Span& sent, const core::SpanContext& origin) {
  const auto hex = [](const auto& id) {
    std::string out;
    for (const auto byte : id.bytes) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", byte);
      out += two;
    }
    return out;
  };
  EXPECT_EQ(got.trace_id, hex(sent.context.trace_id));
  EXPECT_EQ(got.span_id, hex(sent.context.span_id));
  EXPECT_EQ(got.parent_span_id, hex(sent.parent));
  EXPECT_EQ(got.trace_state, "vendor=a:1,other=2");
  EXPECT_EQ(got.name, "codeq.task.claim");
  EXPECT_EQ(got.kind, 5);
  EXPECT_EQ(got.start_ns, sent.start_ns);
  EXPECT_EQ(got.end_ns, sent.end_ns);
  EXPECT_EQ(got.attribute("codeq.command"), "GENERATE_MASTER");
  EXPECT_EQ(got.attribute("codeq.attempt"), "2");
  EXPECT_EQ(got.attribute("codeq.has_webhook"), "true");
  ASSERT_EQ(got.links.size(), 2U);
  EXPECT_EQ(got.links[1].trace_id, hex(origin.trace_id));
  EXPECT_EQ(got.links[1].span_id, hex(origin.span_id));
  EXPECT_EQ(got.links[1].flags, 3U);
  EXPECT_TRUE(got.error);
  EXPECT_EQ(got.error_message, "went \"wrong\"");
  EXPECT_EQ(got.flags, 0x303U);
  EXPECT_EQ(got.scope, "codeq/repository");
  EXPECT_EQ(got.service_name, "orders");
}

class Export : public ::testing::TestWithParam<bool> {};  // gzip

TEST_P(Export, EverythingOfASpanArrives) {
  auto receiver = receiver_on();
  auto options = options_for(receiver->endpoint());
  options.gzip = GetParam();
  options.headers = {{"authorization", "Bearer 1"}, {"x-empty", ""}};
  auto tracer = tracer_for(options);
  SeededRng rng(21);
  const auto origin = tracer->start({}, rng);
  const auto sent = claim(*tracer, origin, tracer->start({}, rng), rng);
  tracer->record(sent);
  ASSERT_TRUE(receiver->wait_for(1, kSoon));
  expect_claim_arrived(receiver->spans().at(0), sent, origin);
  const std::string headers = receiver->last_headers();
  for (const char* line : {"content-type: application/grpc\n", "te: trailers\n", "authorization: Bearer 1\n",
                           "x-empty: \n", ":method: POST\n"}) {
    EXPECT_NE(headers.find(line), std::string::npos) << line << "not in\n" << headers;
  }
  EXPECT_EQ(headers.find("grpc-encoding: gzip") != std::string::npos, GetParam());
  EXPECT_EQ(headers.find("accept:"), std::string::npos);
}
INSTANTIATE_TEST_SUITE_P(PlainAndGzip, Export, ::testing::Bool());

TEST(Export, AFlushDeliversEverySpanOnceInFullBatches) {
  auto receiver = receiver_on();
  auto options = options_for(receiver->endpoint());
  options.schedule_delay = 1h;
  auto tracer = tracer_for(options);
  record_some(*tracer, 5000);
  ASSERT_TRUE(tracer->flush(kSoon));
  EXPECT_EQ(receiver->spans().size(), 5000U);
  EXPECT_EQ(receiver->calls(), 10U);
  EXPECT_EQ(tracer->stats().exported, 5000U);
}

TEST(Export, AShutdownDeliversWhatIsLeft) {
  auto receiver = receiver_on();
  auto options = options_for(receiver->endpoint());
  options.schedule_delay = 1h;
  auto tracer = tracer_for(options);
  record_some(*tracer, 3);
  tracer->shutdown(kSoon);
  EXPECT_EQ(receiver->spans().size(), 3U);
}

TEST(Export, ACollectorThatComesBackGetsWhatWasQueued) {
  auto receiver = receiver_on();
  const std::uint16_t port = receiver->port();
  auto tracer = tracer_for(options_for(receiver->endpoint()));
  record_some(*tracer, 1);
  ASSERT_TRUE(receiver->wait_for(1, kSoon));
  receiver.reset();

  record_some(*tracer, 1000);
  EXPECT_FALSE(tracer->flush(10ms));
  EXPECT_EQ(tracer->stats().dropped, 0U);

  receiver = receiver_on(port);
  ASSERT_TRUE(receiver->wait_for(1000, kSoon));
  EXPECT_EQ(tracer->stats().dropped, 0U);
}

TEST(Export, AnUnavailableCollectorIsAskedAgainAndARefusingOneIsNot) {
  auto receiver = receiver_on();
  auto tracer = tracer_for(options_for(receiver->endpoint()));
  constexpr int kUnavailable = 14, kUnimplemented = 12;
  receiver->answer_with(kUnavailable);
  record_some(*tracer, 1);
  EXPECT_FALSE(tracer->flush(50ms));
  EXPECT_EQ(tracer->stats().dropped, 0U);
  receiver->answer_with(0);
  EXPECT_TRUE(tracer->flush(kSoon));
  EXPECT_EQ(tracer->stats().exported, 1U);

  receiver->answer_with(kUnimplemented);
  record_some(*tracer, 1);
  EXPECT_TRUE(tracer->flush(kSoon));
  EXPECT_EQ(tracer->stats().dropped, 1U);
}

TEST(Export, SpansThatTheCollectorRejectsCountAsDropped) {
  auto receiver = receiver_on();
  auto options = options_for(receiver->endpoint());
  options.schedule_delay = 1h;
  auto tracer = tracer_for(options);
  receiver->answer_with(0, 300);
  record_some(*tracer, 500);
  EXPECT_TRUE(tracer->flush(kSoon));
  EXPECT_EQ(tracer->stats().exported, 200U);
  EXPECT_EQ(tracer->stats().dropped, 300U);
}

TEST(Export, AShutdownDeliversAlsoOutOfABackOff) {
  auto receiver = receiver_on();
  auto options = options_for(receiver->endpoint());
  options.retry_first = options.retry_max = 1h;
  auto tracer = tracer_for(options);
  receiver->answer_with(14);
  record_some(*tracer, 1);
  while (receiver->calls() == 0) std::this_thread::yield();
  receiver->answer_with(0);
  tracer->shutdown(kSoon);
  EXPECT_EQ(tracer->stats().exported, 1U);
}

TEST(OtlpReceiver, WritesOneJsonLineASpan) {
  const std::string path = ::testing::TempDir() + "otlp-" + std::to_string(::getpid()) + ".jsonl";
  {
    auto receiver = OtlpReceiver::start({.port = 0, .out_file = path});
    ASSERT_TRUE(receiver.has_value());
    auto tracer = tracer_for(options_for((*receiver)->endpoint()));
    SeededRng rng(21);
    const auto origin = tracer->start({}, rng);
    tracer->record(claim(*tracer, origin, origin, rng));
    tracer->shutdown(kSoon);
  }
  std::ifstream file(path);
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  EXPECT_NE(line.find(R"("name":"codeq.task.claim","kind":5,"startNs":1700000000123456789)"), std::string::npos)
      << line;
  EXPECT_NE(line.find(R"("errorMessage":"went \"wrong\"")"), std::string::npos) << line;
  EXPECT_NE(line.find(R"("attributes":{"codeq.attempt":2,"codeq.command":"GENERATE_MASTER","codeq.has_webhook":true})"),
            std::string::npos)
      << line;
  EXPECT_FALSE(std::getline(file, line));
  ::unlink(path.c_str());
}

TEST(OtlpReceiver, ADiscardingOneTakesEverythingAndKeepsNothing) {
  auto receiver = OtlpReceiver::start({.port = 0, .out_file = {}, .discard = true});
  ASSERT_TRUE(receiver.has_value());
  auto tracer = tracer_for(options_for((*receiver)->endpoint()));
  record_some(*tracer, 20);
  tracer->shutdown(kSoon);
  EXPECT_EQ(tracer->stats().exported, 20U);
  EXPECT_TRUE((*receiver)->spans().empty());
}

TEST(OtlpReceiver, APortInUseIsAnErrorAndStopMayBeCalledTwice) {
  auto receiver = receiver_on();
  const auto second = OtlpReceiver::start(receiver->port());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::kIo);
  receiver->stop();
  receiver->stop();
}

TEST(OtlpDecode, NonsenseIsRefused) {
  EXPECT_EQ(decode_export_request("\x0a\xff").error().code, Code::kInvalidArgument);
  EXPECT_TRUE(decode_export_request("").has_value());
  // A span whose trace id has three bytes.
  EXPECT_FALSE(decode_export_request(std::string("\x0a\x09\x12\x07\x12\x05\x0a\x03"
                                                 "abc",
                                                 11))
                   .has_value());
  EXPECT_FALSE(unpack_grpc_body("\0\0\0\0", false).has_value());
  EXPECT_FALSE(unpack_grpc_body(std::string("\0\0\0\0\x02z", 6), false).has_value());
  EXPECT_FALSE(unpack_grpc_body(std::string("\1\0\0\0\1z", 6), true).has_value());
  EXPECT_EQ(*unpack_grpc_body(std::string("\0\0\0\0\1z", 6), false), "z");
}

TEST(OtlpDecode, TheScopesNameMayStandBehindItsSpans) {
  std::string span = "\x0a\x10" + std::string(16, '\x01') + "\x12\x08" + std::string(8, '\x02');
  std::string scope_spans = "\x12" + std::string(1, static_cast<char>(span.size())) + span +
                            "\x0a\x03\x0a\x01"
                            "s";
  std::string resource_spans = "\x12" + std::string(1, static_cast<char>(scope_spans.size())) + scope_spans;
  const auto spans =
      decode_export_request("\x0a" + std::string(1, static_cast<char>(resource_spans.size())) + resource_spans);
  ASSERT_TRUE(spans.has_value());
  ASSERT_EQ(spans->size(), 1U);
  EXPECT_EQ(spans->at(0).scope, "s");
}

TEST(OtlpDecode, AFloodOfEmptySpansIsBounded) {
  std::string span = "\x12\x1c\x0a\x10" + std::string(16, '\x01') + "\x12\x08" + std::string(8, '\x02');
  std::string spans;
  for (std::size_t i = 0; i <= kOtlpSpansMax; ++i) spans += span;
  const auto length = [](std::size_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    return out + static_cast<char>(value);
  };
  const std::string scope_spans = "\x12" + length(spans.size()) + spans;
  const auto refused = decode_export_request("\x0a" + length(scope_spans.size()) + scope_spans);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kBodyTooLarge);
}

}  // namespace
}  // namespace codeq::app
