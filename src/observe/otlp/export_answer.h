// What a collector's answer means for the batch: delivered, try again, or give up.
//
// Source   OTLP specification 1.x, "OTLP/gRPC Response" (retryable codes, RetryInfo, partial success);
//          gRPC PROTOCOL-HTTP2.md and http-grpc-status-mapping.md
// Bounds   foreign bytes, fuzzed; looks at no more than the caller kept
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace codeq::observe {

struct ExportAnswer {
  enum class Outcome : std::uint8_t { kDelivered, kRetry, kRefused, kCancelled };
  Outcome outcome = Outcome::kRetry;
  std::uint64_t rejected_spans = 0;  // partial success
  std::string what;                  // why not, in a few words, printable
};

// What of the HTTP/2 answer matters; header names in lower case.
struct RawAnswer {
  long http_status = 0;
  std::optional<int> grpc_status;  // header or trailer
  std::string grpc_message;        // likewise; percent-encoded as it came
  bool retry_info = false;         // grpc-status-details-bin holds a google.rpc.RetryInfo
  bool is_grpc = false;            // content-type application/grpc
  std::string body;                // length-prefixed messages
};

// One header or trailer line "name: value".
void read_answer_header(std::string_view line, RawAnswer& answer);
ExportAnswer judge(const RawAnswer& answer);

}  // namespace codeq::observe
