// One trace as bars in a terminal: who waited, who worked, for how long.
//
// Shape    spans in tree order (parent before child, then by start); bars share one time axis
// Cost     O(n log n); made for hundreds of spans, not for millions
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace codeq::app {

struct WaterfallSpan {
  std::string trace_id, span_id, parent_span_id;   // lower-case hex; no parent: empty
  std::string service, name;
  std::int64_t start_ns = 0, end_ns = 0;
  bool error = false;
  std::map<std::string, std::string> attributes;
};

struct WaterfallOptions {
  std::size_t width = 100;
};

std::string draw_waterfall(std::vector<WaterfallSpan> spans, const WaterfallOptions& options);

struct WaitSummary {
  std::map<std::string, std::int64_t> ns_by_cause;
  std::int64_t run_ns = 0;
  std::uint32_t attempts = 0;
};
WaitSummary summarize(const std::vector<WaterfallSpan>& spans);

}  // namespace codeq::app
