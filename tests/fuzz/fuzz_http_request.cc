// fuzz-room: codeq_transport
// A connection's bytes: cut into requests in one piece and in small ones, which must agree; then routed and decoded.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "core/json_scan.h"
#include "core/trace_context.h"
#include "transport/http/decode.h"
#include "transport/http/decode_admin.h"
#include "transport/http/request.h"
#include "transport/http/router.h"

namespace {

using namespace codeq::transport::http;
constexpr RequestLimits kLimits{.header_bytes_max = 2048, .body_bytes_max = 512};
constexpr std::size_t kDepthMax = 64;

// What a connection would have seen, as text.
std::vector<std::string> requests_of(std::string_view bytes, std::size_t piece) {
  std::vector<std::string> seen;
  RequestReader reader(kLimits);
  std::string kept;
  std::size_t at = 0;
  while (at < bytes.size() || !kept.empty()) {
    const auto n = std::min(piece, bytes.size() - at);
    kept.append(bytes, at, n);
    at += n;
    for (;;) {
      const auto taken = reader.feed(kept);
      CHECK(taken <= kept.size());
      kept.erase(0, taken);
      // Only when bad bytes are called bad may depend on how they arrive (Beast wants to see the end of a chunk extension).
      if (reader.state() == RequestReader::State::kFailed) return seen;
      if (reader.state() != RequestReader::State::kComplete) break;
      const auto& r = reader.request();
      CHECK(r.body.size() <= kLimits.body_bytes_max && r.target.size() <= kLimits.header_bytes_max);
      seen.push_back(std::to_string(static_cast<int>(r.method)) + " " + r.target + " " + r.authorization + " " +
                     r.request_id + " " + std::to_string(r.traceparent.views().size()) +
                     (r.keep_alive ? " k " : " c ") + r.body);
      reader.next();
      if (kept.empty()) break;
    }
    // What the reader leaves in the buffer is bounded, or a connection would grow without end.
    if (kept.size() > kLimits.header_bytes_max + piece) break;
    if (at == bytes.size()) break;
  }
  return seen;
}

void decode_all(std::string_view body) {
  if (const auto task = decode_create(body, kDepthMax)) {
    CHECK(codeq::core::valid_json(task->payload));
    CHECK(!task->command.empty() && task->delay_ms >= 0);
  }
  if (const auto tasks = decode_create_batch(body, kDepthMax)) CHECK(!tasks->empty() && tasks->size() <= kBatchMax);
  if (const auto claim = decode_claim(body, kDepthMax))
    CHECK(claim->count == 1 && claim->wait_ms >= 0 && claim->wait_ms <= 30'000);
  if (const auto claim = decode_claim_batch(body, kDepthMax)) CHECK(claim->count >= 1 && claim->count <= kBatchMax);
  static_cast<void>(decode_heartbeat(body, kDepthMax));
  static_cast<void>(decode_nack(body, kDepthMax));
  static_cast<void>(decode_abandon(body, kDepthMax));
  static_cast<void>(decode_submit_batch(body, kDepthMax));
  if (const auto reason = decode_cancel(body, kDepthMax)) CHECK(reason->size() <= kReasonBytesMax);
  for (const bool redrive : {false, true})
    if (const auto work = decode_dead_work(body, redrive, kDepthMax)) {
      CHECK(work->filter.ids.size() <= kIdsMax && work->filter.limit >= 1 && work->filter.limit <= 10'000);
      CHECK(work->rate_per_second >= 0 && (redrive || work->rate_per_second == 0));
    }
  if (const auto submit = decode_submit(body, kDepthMax)) {
    for (const auto& upload : submit->uploads) CHECK(valid_artifact_name(upload.name));
    if (submit->submit.result_json) CHECK(codeq::core::valid_json(*submit->submit.result_json));
  }
}

void decode_query(std::string_view query) {
  if (const auto filter = decode_task_query(query)) CHECK(filter->limit >= 1 && filter->limit <= kListMax);
  if (const auto asked = decode_dead_letter_query(query)) CHECK(asked->from.empty() || asked->from.size() == 16);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = requests_of(text, std::max<std::size_t>(1, text.size()));
  const auto pieces = requests_of(text, 1 + data[0] % 7U);
  CHECK(whole == pieces);

  RequestReader reader({});
  reader.feed(text);
  if (reader.state() == RequestReader::State::kComplete) {
    auto& request = reader.request();
    const auto found = match(request.method, request.target);
    CHECK((found.kind == Match::Kind::kRoute) == (found.route != nullptr));
    CHECK(found.location.find('\n') == std::string::npos);
    std::string value;
    static_cast<void>(query_value(found.query, "waitSeconds", value));
    decode_query(found.query);
    const auto parent = request.traceparent.views();
    const auto state = request.tracestate.views();
    const auto baggage = request.baggage.views();
    static_cast<void>(codeq::core::extract({.traceparent = parent, .tracestate = state, .baggage = baggage}));
    decode_all(request.body);
  }
  decode_all(text);
  decode_query(text);
  return 0;
}
