// What the exporter does without a collector. With one: app/otlp_receiver_test.cc.
#include "observe/otlp/exporter.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>

namespace codeq::observe {
namespace {

using namespace std::chrono_literals;

// Takes connections into its backlog and never says a word.
class SilentListener {
 public:
  SilentListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  SilentListener(const SilentListener&) = delete;
  SilentListener& operator=(const SilentListener&) = delete;
  ~SilentListener() { ::close(socket_); }
  [[nodiscard]] std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

TracingOptions options_for(std::string endpoint) {
  TracingOptions options;
  options.enabled = true;
  options.endpoint = std::move(endpoint);
  options.insecure = true;
  options.batch_spans = 4;
  options.queue_spans = 16;
  options.timeout = 1h;  // only the shutdown ends a call
  options.connect_timeout = 1h;
  options.retry_first = options.retry_max = 1ms;
  return options;
}

void record_some(OtlpTracer& tracer, int count) {
  SeededRng rng(5);
  for (int i = 0; i < count; ++i) tracer.record(Span{.context = tracer.start({}, rng), .parent = {}, .name = "n"});
}

TEST(OtlpTracer, AHangingCollectorCostsSpansButNeitherRecordNorShutdownWaitsForIt) {
  const SilentListener collector;
  auto tracer = OtlpTracer::open(options_for(collector.endpoint()));
  ASSERT_TRUE(tracer.has_value());
  record_some(**tracer, 100);
  EXPECT_EQ((*tracer)->stats().dropped, 84U);  // 16 fit
  EXPECT_FALSE((*tracer)->flush(20ms));
  (*tracer)->shutdown(20ms);
  EXPECT_EQ((*tracer)->stats().dropped, 100U);
  EXPECT_EQ((*tracer)->stats().exported, 0U);
  record_some(**tracer, 1);
  EXPECT_EQ((*tracer)->stats().dropped, 101U);
}

TEST(OtlpTracer, ACollectorThatStopsReadingCostsNextToNoCpu) {
  const SilentListener collector;
  TracingOptions options = options_for(collector.endpoint());
  options.batch_spans = options.queue_spans = 1000;
  auto tracer = OtlpTracer::open(options);
  ASSERT_TRUE(tracer.has_value());
  const std::string name(1000, 'n');  // far more than the 64 KiB of a first HTTP/2 window
  SeededRng rng(5);
  for (int i = 0; i < 1000; ++i)
    (*tracer)->record(Span{.context = (*tracer)->start({}, rng), .parent = {}, .name = name});
  const std::clock_t before = std::clock();  // CPU time of the process
  EXPECT_FALSE((*tracer)->flush(400ms));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 5);
}

TEST(OtlpTracer, ARefusedConnectionKeepsTheSpansUntilTheShutdownsDeadline) {
  std::string gone;
  {
    const SilentListener briefly;
    gone = briefly.endpoint();
  }
  auto tracer = OtlpTracer::open(options_for(gone));
  ASSERT_TRUE(tracer.has_value());
  record_some(**tracer, 10);
  EXPECT_FALSE((*tracer)->flush(20ms));
  EXPECT_EQ((*tracer)->stats().dropped, 0U);
  (*tracer)->shutdown(20ms);
  EXPECT_EQ((*tracer)->stats().dropped, 10U);
}

TEST(OtlpTracer, AnUnknownHostAndAMissingCertificateFailOpen) {
  for (const bool insecure : {true, false}) {
    TracingOptions options = options_for("no-such-host.invalid:4317");
    options.insecure = insecure;
    options.certificate = "/nonexistent/ca.pem";
    auto tracer = OtlpTracer::open(options);
    ASSERT_TRUE(tracer.has_value());
    record_some(**tracer, 4);
    (*tracer)->shutdown(20ms);
    EXPECT_EQ((*tracer)->stats().dropped, 4U);
  }
}

TEST(OtlpTracer, AnUnsampledSpanIsNeitherQueuedNorCounted) {
  TracingOptions options = options_for("127.0.0.1:1");
  options.sampler = Sampler(Sampler::Kind::kParentBasedTraceIdRatio, 0.0);
  auto tracer = OtlpTracer::open(options);
  ASSERT_TRUE(tracer.has_value());
  record_some(**tracer, 10);
  EXPECT_EQ((*tracer)->stats().recorded, 0U);
}

TEST(OtlpTracer, ShutdownMayBeCalledTwiceAndByTheDestructor) {
  auto tracer = OtlpTracer::open(options_for("127.0.0.1:1"));
  ASSERT_TRUE(tracer.has_value());
  (*tracer)->shutdown(1h);
  (*tracer)->shutdown(1h);
}

}  // namespace
}  // namespace codeq::observe
