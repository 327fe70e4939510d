// fuzz-room: codeq_app
// The body of a call to the built-in OTLP receiver. The first byte says whether grpc-encoding was gzip.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "app/otlp_decode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto message = codeq::app::unpack_grpc_body(body, (data[0] & 1) != 0);
  const auto spans = codeq::app::decode_export_request(message ? std::string_view(*message) : body);
  if (!spans) return 0;
  for (const auto& span : *spans) {
    const std::string json = codeq::app::to_json(span);
    if (json.find('\n') != std::string::npos) std::abort();  // one span, one line
    if (span.trace_id.size() != 32 || span.span_id.size() != 16) std::abort();
  }
  return 0;
}
