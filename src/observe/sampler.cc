#include "observe/sampler.h"

#include <cstddef>
#include <utility>

#include "base/check.h"

namespace codeq::observe {
namespace {
constexpr double kTwoTo63 = 9223372036854775808.0;

std::uint64_t big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = (value << 8) | bytes[i];
  return value;
}

void put_big_endian(std::uint64_t value, std::uint8_t* bytes) {
  for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<std::uint8_t>(value);
}

std::uint64_t draw_nonzero(Rng& rng) {
  std::uint64_t value = rng.next_public();
  while (value == 0) value = rng.next_public();
  return value;
}
}  // namespace

Sampler::Sampler(Kind kind, double ratio) : kind_(kind), ratio_(ratio) {
  CHECK(ratio >= 0.0 && ratio <= 1.0);
  below_ = static_cast<std::uint64_t>(ratio * kTwoTo63);
}

bool Sampler::sample(const core::SpanContext& parent, const core::TraceId& trace_id) const {
  const bool by_ratio = (big_endian(trace_id.bytes.data() + 8) >> 1) < below_;
  switch (kind_) {
    case Kind::kAlwaysOn: return true;
    case Kind::kAlwaysOff: return false;
    case Kind::kTraceIdRatio: return by_ratio;
    case Kind::kParentBasedAlwaysOn: return parent.valid() ? parent.sampled() : true;
    case Kind::kParentBasedAlwaysOff: return parent.valid() && parent.sampled();
    case Kind::kParentBasedTraceIdRatio: return parent.valid() ? parent.sampled() : by_ratio;
  }
  std::unreachable();
}

core::SpanContext start_span(const Sampler& sampler, const core::SpanContext& parent, Rng& rng) {
  core::SpanContext context;
  if (parent.valid()) {
    context.trace_id = parent.trace_id;
    context.flags = parent.flags & core::kFlagRandomTraceId;
  } else {
    put_big_endian(rng.next_public(), context.trace_id.bytes.data());
    put_big_endian(draw_nonzero(rng), context.trace_id.bytes.data() + 8);
    context.flags = core::kFlagRandomTraceId;
  }
  put_big_endian(draw_nonzero(rng), context.span_id.bytes.data());
  if (sampler.sample(parent, context.trace_id)) context.flags |= core::kFlagSampled;
  return context;
}

}  // namespace codeq::observe
