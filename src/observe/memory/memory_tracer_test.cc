#include "observe/memory/memory_tracer.h"

#include <gtest/gtest.h>

namespace codeq::observe {
namespace {

TEST(MemoryTracer, KeepsACopyOfWhatASpanBorrowed) {
  SeededRng rng(3);
  MemoryTracer tracer;
  {
    std::string name = "codeq.task.create";
    Span span{.context = tracer.start({}, rng), .parent = {}, .name = name};
    span.set("codeq.command", std::string_view("GENERATE_MASTER"));
    span.set("codeq.attempt", std::int64_t{3});
    span.set("codeq.has_webhook", true);
    span.link(tracer.start({}, rng));
    tracer.record(span);
    name.assign(name.size(), 'x');
  }
  const auto spans = tracer.spans();
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].name, "codeq.task.create");
  EXPECT_EQ(spans[0].attribute("codeq.command"), "GENERATE_MASTER");
  EXPECT_EQ(spans[0].attribute("codeq.attempt"), "3");
  EXPECT_EQ(spans[0].attribute("codeq.has_webhook"), "true");
  EXPECT_EQ(spans[0].attribute("codeq.worker_id"), "");
  EXPECT_EQ(spans[0].links.size(), 1U);
}

TEST(MemoryTracer, AnUnsampledSpanIsNotKept) {
  SeededRng rng(3);
  MemoryTracer tracer(Sampler(Sampler::Kind::kParentBasedTraceIdRatio, 0.0));
  tracer.record(Span{.context = tracer.start({}, rng), .parent = {}});
  EXPECT_TRUE(tracer.spans().empty());
  EXPECT_EQ(tracer.stats().recorded, 0U);
}

}  // namespace
}  // namespace codeq::observe
