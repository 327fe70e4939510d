// Counts the allocations of the recording thread; a program of its own, since it replaces operator new.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#include "observe/otlp/encode.h"
#include "observe/otlp/span_queue.h"

namespace {
thread_local std::uint64_t allocations = 0;
}  // namespace

// noinline: g++ otherwise sees free() meet a pointer of operator new and warns.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace codeq::observe {
namespace {

// The collector is played by this thread, so that nothing depends on how quick another one is.
TEST(Recording, AllocatesNothingPerSpanInSteadyState) {
  TracingOptions options;
  options.schedule_delay = std::chrono::hours(1);
  SpanQueue queue(options);
  SeededRng rng(11);
  const Sampler sampler;
  std::string scratch;
  const auto round = [&] {
    for (std::size_t i = 0; i < options.batch_spans; ++i) {
      Span span{.context = start_span(sampler, {}, rng),
                .parent = {},
                .tracestate = "vendor=1",
                .name = "codeq.task.create",
                .kind = SpanKind::kProducer,
                .scope = static_cast<Scope>(i % 6),
                .start_ns = 1,
                .end_ns = 2};
      span.set("codeq.command", "GENERATE_MASTER");
      span.set("codeq.priority", std::int64_t{5});
      span.set("codeq.has_webhook", true);
      span.link(span.context);
      queue.push(span.scope, encode_span(span, scratch));
    }
    auto batch = queue.take();
    ASSERT_EQ(batch.front().spans, options.batch_spans);
    queue.settle(std::move(batch), options.batch_spans);
  };
  round();
  const std::uint64_t before = allocations;
  ASSERT_GT(before, 0U);  // the counter counts
  for (int i = 0; i < 20; ++i) round();
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(queue.stats().exported, 21 * options.batch_spans);
}

}  // namespace
}  // namespace codeq::observe
