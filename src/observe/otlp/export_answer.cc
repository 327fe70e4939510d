#include "observe/otlp/export_answer.h"

#include <charconv>
#include <protozero/pbf_reader.hpp>

namespace codeq::observe {
namespace {

constexpr int kOk = 0, kCancelled = 1, kUnknown = 2, kDeadlineExceeded = 4, kPermissionDenied = 7,
              kResourceExhausted = 8, kAborted = 10, kOutOfRange = 11, kUnimplemented = 12, kInternal = 13,
              kUnavailable = 14, kDataLoss = 15, kUnauthenticated = 16;
constexpr std::size_t kWhatBytesMax = 200;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

int status_of_http(long http) {
  switch (http) {
    case 400: return kInternal;
    case 401: return kUnauthenticated;
    case 403: return kPermissionDenied;
    case 404: return kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return kUnavailable;
    default: return kUnknown;
  }
}

bool retryable(int status, bool retry_info) {
  switch (status) {
    case kCancelled:
    case kDeadlineExceeded:
    case kAborted:
    case kOutOfRange:
    case kUnavailable:
    case kDataLoss: return true;
    case kResourceExhausted: return retry_info;
    default: return false;
  }
}

// The collector's words go to our log: short and printable.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, kWhatBytesMax));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

bool has_retry_info(std::string_view base64) {
  // google.rpc.Status.details holds an Any whose type_url ends so. The text is found after decoding the base64.
  static constexpr std::string_view kType = "google.rpc.RetryInfo";
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : base64) {
    int value = -1;
    if (c >= 'A' && c <= 'Z')
      value = c - 'A';
    else if (c >= 'a' && c <= 'z')
      value = c - 'a' + 26;
    else if (c >= '0' && c <= '9')
      value = c - '0' + 52;
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else
      break;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<char>(bits >> held));
    }
  }
  return bytes.find(kType) != std::string::npos;
}

// ExportTraceServiceResponse { partial_success = 1 { rejected_spans = 1 (int64); error_message = 2 } }
void read_partial_success(std::string_view body, ExportAnswer& answer) {
  constexpr std::size_t kPrefix = 5;
  if (body.size() <= kPrefix || body[0] != 0) return;
  try {
    protozero::pbf_reader response(body.data() + kPrefix, body.size() - kPrefix);
    while (response.next(1, protozero::pbf_wire_type::length_delimited)) {
      protozero::pbf_reader partial = response.get_message();
      while (partial.next()) {
        if (partial.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::varint)) {
          const std::int64_t rejected = partial.get_int64();
          answer.rejected_spans = rejected > 0 ? static_cast<std::uint64_t>(rejected) : 0;
        } else if (partial.tag_and_type() == protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited)) {
          const auto view = partial.get_view();
          answer.what = printable({view.data(), view.size()});
        } else {
          partial.skip();
        }
      }
    }
  } catch (const protozero::exception&) {
    // The status said OK: the spans are there, only the fine print is not readable.
  }
}

}  // namespace

void read_answer_header(std::string_view line, RawAnswer& answer) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (name == "grpc-status") {
    int status = kUnknown;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), status);
    answer.grpc_status = error == std::errc{} && end == value.data() + value.size() ? status : kUnknown;
  } else if (name == "grpc-message") {
    answer.grpc_message = value.substr(0, kWhatBytesMax);
  } else if (name == "grpc-status-details-bin") {
    answer.retry_info = has_retry_info(value);
  } else if (name == "content-type") {
    answer.is_grpc = value.starts_with("application/grpc");
  }
}

ExportAnswer judge(const RawAnswer& raw) {
  ExportAnswer answer;
  int status = kUnknown;
  if (raw.grpc_status) {
    status = *raw.grpc_status;
    answer.what = "grpc-status " + std::to_string(status);
    if (!raw.grpc_message.empty()) answer.what += ": " + printable(raw.grpc_message);
  } else if (raw.http_status == 200) {
    // A stream that ended with no status is a broken connection; a page that is no gRPC at all is a wrong address.
    status = raw.is_grpc ? kUnavailable : kUnknown;
    answer.what = raw.is_grpc ? "the answer ended without grpc-status" : "the answer is not gRPC";
  } else {
    status = status_of_http(raw.http_status);
    answer.what = "HTTP status " + std::to_string(raw.http_status);
  }
  if (status == kOk) {
    answer.outcome = ExportAnswer::Outcome::kDelivered;
    answer.what.clear();
    read_partial_success(raw.body, answer);
  } else {
    answer.outcome =
        retryable(status, raw.retry_info) ? ExportAnswer::Outcome::kRetry : ExportAnswer::Outcome::kRefused;
  }
  return answer;
}

}  // namespace codeq::observe
