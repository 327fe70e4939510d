// fuzz-room: codeq_core
// The input's lines are taken as header lines of tracestate and of baggage. What is kept must be within the bounds, legal by
// itself, stable when it is sent on, and made of nothing but the lines.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "core/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace core = codeq::core;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string_view> lines;
  while (true) {
    const auto end = rest.find('\n');
    lines.push_back(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  const std::vector<std::string_view> parent{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
  const auto kept = core::extract({.traceparent = parent, .tracestate = lines, .baggage = lines});
  CHECK(kept.span.valid());
  CHECK(kept.tracestate.size() <= core::kTracestateBytesMax && core::valid_tracestate(kept.tracestate));
  CHECK(kept.baggage.size() <= core::kBaggageBytesMax && (kept.baggage.empty() || core::valid_baggage(kept.baggage)));
  const std::vector<std::string_view> state{kept.tracestate};
  const std::vector<std::string_view> baggage{kept.baggage};
  const auto again = core::extract({.traceparent = parent, .tracestate = state, .baggage = baggage});
  CHECK(again.tracestate == kept.tracestate && again.baggage == kept.baggage);
  if (lines.size() == 1) {
    CHECK(lines[0].find(kept.tracestate) != std::string_view::npos);
    CHECK(lines[0].find(kept.baggage) != std::string_view::npos);
  }
  CHECK(core::extract({.traceparent = {}, .tracestate = lines, .baggage = {}}).tracestate.empty());
  return 0;
}
