// fuzz-room: codeq_observe
// A collector's answer: header lines up to an empty one, then the body.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "observe/otlp/export_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using codeq::observe::ExportAnswer;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  codeq::observe::RawAnswer raw{.http_status = 200};
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.empty()) break;
    codeq::observe::read_answer_header(line, raw);
  }
  raw.body = rest;
  const ExportAnswer answer = codeq::observe::judge(raw);
  if (answer.outcome == ExportAnswer::Outcome::kDelivered && raw.grpc_status != 0) std::abort();
  for (const char c : answer.what) {
    if (c < 0x20 || c > 0x7e) std::abort();  // it goes to the log
  }
  return 0;
}
