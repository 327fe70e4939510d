// An ExportTraceServiceRequest as plain spans: what the built-in OTLP receiver keeps.
//
// Source   opentelemetry-proto v1; the fields are listed in docs/formats/otlp.md
// Errors   kInvalidArgument  not such a message; kBodyTooLarge  past a bound below
// Bounds   foreign bytes, fuzzed: no recursion, memory at most a small multiple of the bounds
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace codeq::app {

inline constexpr std::size_t kOtlpBodyBytesMax = std::size_t{16} << 20;  // as received and unpacked, each
inline constexpr std::size_t kOtlpSpansMax = 65'536;                     // of one request
inline constexpr std::size_t kOtlpElementsMax = 1'000'000;               // its attributes and links together

struct ReceivedLink {
  std::string trace_id, span_id;  // lower-case hex
  std::uint32_t flags = 0;
};

struct ReceivedSpan {
  std::string trace_id, span_id;  // lower-case hex
  std::string parent_span_id;     // empty: a root
  std::string trace_state;
  std::string name;
  int kind = 0;                   // 1 internal, 2 server, 3 client, 4 producer, 5 consumer
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  std::map<std::string, std::variant<std::string, std::int64_t, bool, double>> attributes;  // arrays and maps: ""
  std::vector<ReceivedLink> links;
  bool error = false;
  std::string error_message;
  std::uint32_t flags = 0;        // W3C flags, 0x100 parent's remoteness known, 0x200 parent remote
  std::string scope;
  std::string service_name;

  // As text, "" where it is not set: 3, true, COMPLETED.
  [[nodiscard]] std::string attribute(const std::string& key) const;
};

Result<std::vector<ReceivedSpan>> decode_export_request(std::string_view message);

// The one message of a unary gRPC body; `gzip`: what grpc-encoding said.
Result<std::string> unpack_grpc_body(std::string_view body, bool gzip);

// One JSON object without a newline:
// {"traceId":..,"spanId":..,"parentSpanId":..,"name":..,"kind":..,"startNs":..,"endNs":..,"traceState":..,"flags":..,
//  "error":..,"errorMessage":..,"scope":..,"service":..,"attributes":{..},"links":[{"traceId":..,"spanId":..,"flags":..}]}
std::string to_json(const ReceivedSpan& span);

}  // namespace codeq::app
