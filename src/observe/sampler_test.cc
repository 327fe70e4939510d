#include "observe/sampler.h"

#include <gtest/gtest.h>

#include "observe/null_tracer.h"

namespace codeq::observe {
namespace {

core::TraceId id_ending(std::uint64_t low) {
  core::TraceId id;
  id.bytes[0] = 1;
  for (std::size_t i = 16; i > 8; --i, low >>= 8) id.bytes[i - 1] = static_cast<std::uint8_t>(low);
  return id;
}

core::SpanContext parent_with(std::uint8_t flags) {
  core::SpanContext parent;
  parent.trace_id = id_ending(0xffffffffffffffffU);
  parent.span_id.bytes[7] = 9;
  parent.flags = flags;
  return parent;
}

TEST(Sampler, ARootIsKeptByTheLastEightBytesOfItsTraceIdAsOtherSdksDo) {
  const Sampler half(Sampler::Kind::kParentBasedTraceIdRatio, 0.5);
  EXPECT_TRUE(half.sample({}, id_ending(0)));
  EXPECT_TRUE(half.sample({}, id_ending(0x7fffffffffffffffU)));
  EXPECT_FALSE(half.sample({}, id_ending(0x8000000000000000U)));
  EXPECT_FALSE(half.sample({}, id_ending(0xffffffffffffffffU)));
}

TEST(Sampler, RatioOneKeepsAllAndRatioZeroNothing) {
  for (const std::uint64_t low :
       {std::uint64_t{1}, std::uint64_t{0x8000000000000000U}, std::uint64_t{0xffffffffffffffffU}}) {
    EXPECT_TRUE(Sampler(Sampler::Kind::kTraceIdRatio, 1.0).sample({}, id_ending(low)));
    EXPECT_FALSE(Sampler(Sampler::Kind::kTraceIdRatio, 0.0).sample({}, id_ending(low)));
  }
}

TEST(Sampler, AParentDecidesForItsChildrenAtAnyRatio) {
  const Sampler none(Sampler::Kind::kParentBasedTraceIdRatio, 0.0);
  const Sampler all(Sampler::Kind::kParentBasedTraceIdRatio, 1.0);
  EXPECT_TRUE(none.sample(parent_with(core::kFlagSampled), parent_with(0).trace_id));
  EXPECT_FALSE(all.sample(parent_with(0), parent_with(0).trace_id));
}

TEST(Sampler, TheSixKindsDecideAsTheirNamesSay) {
  using Kind = Sampler::Kind;
  const auto sampled = parent_with(core::kFlagSampled);
  const auto unsampled = parent_with(0);
  const auto id = sampled.trace_id;
  EXPECT_TRUE(Sampler(Kind::kAlwaysOn).sample(unsampled, id));
  EXPECT_FALSE(Sampler(Kind::kAlwaysOff).sample(sampled, id));
  EXPECT_FALSE(Sampler(Kind::kTraceIdRatio, 0.5).sample(sampled, id));
  EXPECT_TRUE(Sampler(Kind::kParentBasedAlwaysOn).sample({}, id));
  EXPECT_FALSE(Sampler(Kind::kParentBasedAlwaysOn).sample(unsampled, id));
  EXPECT_FALSE(Sampler(Kind::kParentBasedAlwaysOff).sample({}, id));
  EXPECT_TRUE(Sampler(Kind::kParentBasedAlwaysOff).sample(sampled, id));
}

TEST(Sampler, AChildKeepsTraceIdAndRandomBitAndGetsASpanIdOfItsOwn) {
  SeededRng rng(7);
  const auto parent = parent_with(core::kFlagSampled | core::kFlagRandomTraceId);
  const auto child = start_span(Sampler(), parent, rng);
  EXPECT_EQ(child.trace_id, parent.trace_id);
  EXPECT_NE(child.span_id, parent.span_id);
  EXPECT_TRUE(child.span_id.valid());
  EXPECT_EQ(child.flags, core::kFlagSampled | core::kFlagRandomTraceId);
  EXPECT_EQ(start_span(Sampler(), parent_with(core::kFlagSampled), rng).flags, core::kFlagSampled);
}

TEST(Sampler, ARootSaysThatItsTraceIdIsRandom) {
  SeededRng rng(7);
  const auto root = start_span(Sampler(), {}, rng);
  EXPECT_TRUE(root.valid());
  EXPECT_EQ(root.flags, core::kFlagSampled | core::kFlagRandomTraceId);
  EXPECT_EQ(start_span(Sampler(Sampler::Kind::kParentBasedTraceIdRatio, 0), {}, rng).flags, core::kFlagRandomTraceId);
}

TEST(NullTracer, MakesUpNoIds) {
  SeededRng rng(1);
  NullTracer tracer;
  EXPECT_FALSE(tracer.enabled());
  EXPECT_FALSE(tracer.start(parent_with(core::kFlagSampled), rng).valid());
  tracer.record(Span{});
  EXPECT_EQ(tracer.stats().recorded, 0U);
}

}  // namespace
}  // namespace codeq::observe
