// fuzz-room: codeq_core
// Whatever is accepted is written back in the one form that every version 00 reader takes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "core/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace core = codeq::core;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto context = core::parse_traceparent(text);
  if (context) {
    CHECK(context->valid());
    const auto written = core::format_traceparent(*context);
    CHECK(written.size() == 55);
    CHECK(core::parse_traceparent(written) == context);
    CHECK(text.find(core::to_hex(context->trace_id)) != std::string_view::npos);
    CHECK(text.find(core::to_hex(context->span_id)) != std::string_view::npos);
  }
  if (const auto id = core::parse_trace_id(text)) CHECK(core::to_hex(*id) == text);
  if (const auto id = core::parse_span_id(text)) CHECK(core::to_hex(*id) == text);
  return 0;
}
