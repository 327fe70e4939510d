#include "app/waterfall.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace codeq::app {
namespace {

std::string duration(std::int64_t ns) {
  const auto ms = static_cast<double>(ns) / 1e6;
  if (ms >= 10'000) return fmt::format("{:.1f} s", ms / 1000);
  if (ms >= 100) return fmt::format("{:.0f} ms", ms);
  if (ms >= 1) return fmt::format("{:.1f} ms", ms);
  return fmt::format("{:.0f} us", ms * 1000);
}

std::string detail(const WaterfallSpan& span) {
  std::string text;
  for (const auto* key : {"codeq.attempt", "codeq.wait.cause", "codeq.run.outcome", "codeq.submit.status",
                          "codeq.webhook.attempt", "http.response.status_code"})
    if (const auto it = span.attributes.find(key); it != span.attributes.end()) {
      const std::string name = key;
      text += (text.empty() ? "" : " ") + name.substr(name.rfind('.') + 1) + "=" + it->second;
    }
  return text;
}

// Depth first from the roots (spans whose parent is not among them), each level by start.
std::vector<std::pair<const WaterfallSpan*, std::size_t>> tree_order(const std::vector<WaterfallSpan>& spans) {
  std::set<std::string> ids;
  for (const auto& span : spans) ids.insert(span.span_id);
  std::multimap<std::string, const WaterfallSpan*> children;
  for (const auto& span : spans) children.emplace(ids.contains(span.parent_span_id) ? span.parent_span_id : "", &span);
  std::vector<std::pair<const WaterfallSpan*, std::size_t>> order;
  std::vector<std::pair<const WaterfallSpan*, std::size_t>> stack;
  const auto push_children = [&](const std::string& id, std::size_t depth) {
    std::vector<const WaterfallSpan*> level;
    for (auto [it, end] = children.equal_range(id); it != end; ++it) level.push_back(it->second);
    std::sort(level.begin(), level.end(), [](const auto* a, const auto* b) {
      return std::pair(a->start_ns, a->end_ns) > std::pair(b->start_ns, b->end_ns);
    });
    for (const auto* span : level) stack.emplace_back(span, depth);
  };
  push_children("", 0);
  while (!stack.empty() && order.size() <= spans.size()) {  // the bound: foreign spans may name each other as parents
    const auto [span, depth] = stack.back();
    stack.pop_back();
    order.emplace_back(span, depth);
    push_children(span->span_id, depth + 1);
  }
  return order;
}

}  // namespace

std::string draw_waterfall(std::vector<WaterfallSpan> spans, const WaterfallOptions& options) {
  if (spans.empty()) return "no spans\n";
  auto first = INT64_MAX;
  auto last = INT64_MIN;
  for (const auto& span : spans) {
    first = std::min(first, span.start_ns);
    last = std::max(last, span.end_ns);
  }
  const auto total = std::max<std::int64_t>(last - first, 1);
  std::size_t name_width = 0;
  const auto order = tree_order(spans);
  for (const auto& [span, depth] : order) name_width = std::max(name_width, span->name.size() + 2 * depth);
  name_width = std::min<std::size_t>(name_width, 46);
  const auto bar_width =
      std::max<std::size_t>(options.width > name_width + 14 ? options.width - name_width - 14 : 20, 20);
  std::string out = fmt::format("trace {}   {} spans   {}\n\n", spans.front().trace_id, spans.size(), duration(total));
  for (const auto& [span, depth] : order) {
    auto name = std::string(2 * depth, ' ') + span->name;
    if (name.size() > name_width) name = name.substr(0, name_width - 1) + "~";
    const auto at = [&](std::int64_t ns) {
      return static_cast<std::size_t>(std::llround(static_cast<double>(ns - first) / static_cast<double>(total) *
                                                   static_cast<double>(bar_width - 1)));
    };
    const auto from = at(span->start_ns);
    const auto to = std::max(at(span->end_ns), from);
    std::string bar(bar_width, ' ');
    for (auto i = from; i <= to && i < bar_width; ++i)
      bar[i] = span->error ? '!' : span->name.ends_with(".queued") || span->name.ends_with(".delayed") ? '.' : '=';
    out += fmt::format("{:<{}} |{}| {:>8}  {}\n", name, name_width, bar, duration(span->end_ns - span->start_ns),
                       detail(*span));
  }
  out += "\n=  work   .  waiting   !  error\n";
  return out;
}

WaitSummary summarize(const std::vector<WaterfallSpan>& spans) {
  WaitSummary summary;
  for (const auto& span : spans) {
    const auto ns = span.end_ns - span.start_ns;
    if (span.name == "codeq.task.queued") {
      const auto cause = span.attributes.find("codeq.wait.cause");
      summary.ns_by_cause["queued, " + (cause == span.attributes.end() ? "?" : cause->second)] += ns;
    } else if (span.name == "codeq.task.delayed") {
      const auto cause = span.attributes.find("codeq.wait.cause");
      summary.ns_by_cause["delayed, " + (cause == span.attributes.end() ? "?" : cause->second)] += ns;
    } else if (span.name == "codeq.task.run") {
      summary.run_ns += ns;
    } else if (span.name == "codeq.task.claim") {
      ++summary.attempts;
    }
  }
  return summary;
}

}  // namespace codeq::app
