#include "transport/http/trace_write.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "core/json_scan.h"
#include "observe/span.h"
#include "services/task_spans.h"
#include "transport/http/json_write.h"

namespace codeq::transport::http {
namespace {

// One after the other with commas between them.
class List {
 public:
  explicit List(std::string& out) : out_(out) { out_ += '['; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { out_ += ']'; }
  std::string& next() {
    if (!first_) out_ += ',';
    first_ = false;
    return out_;
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void append_text(std::string& out, std::string_view key, std::string_view text) {
  out += '"';
  out += key;
  out += "\":";
  core::append_json_string(out, text);
}

void append_quoted(std::string& out, std::string_view key, std::int64_t number) {
  out += '"';
  out += key;
  out += "\":\"";
  append_number(out, number);
  out += '"';
}

struct OtlpValue {
  std::string& out;
  void operator()(std::string_view text) const { append_text(out, "stringValue", text); }
  void operator()(std::int64_t number) const { append_quoted(out, "intValue", number); }
  void operator()(bool yes) const { out += yes ? R"("boolValue":true)" : R"("boolValue":false)"; }
};

void append_attribute(std::string& out, const observe::Attribute& attribute) {
  out += '{';
  append_text(out, "key", attribute.key);
  out += R"(,"value":{)";
  std::visit(OtlpValue{out}, attribute.value);
  out += "}}";
}

void append_otlp_span(std::string& out, const observe::Span& span) {
  out += '{';
  append_text(out, "traceId", core::to_hex(span.context.trace_id));
  out += ',';
  append_text(out, "spanId", core::to_hex(span.context.span_id));
  if (!span.tracestate.empty()) append_text(out += ',', "traceState", span.tracestate);
  if (span.parent.valid()) append_text(out += ',', "parentSpanId", core::to_hex(span.parent));
  out += R"(,"flags":)";
  constexpr std::int64_t kHasIsRemote = 0x100, kIsRemote = 0x200;
  append_number(out, std::int64_t{span.context.flags} | kHasIsRemote | (span.parent_is_remote ? kIsRemote : 0));
  append_text(out += ',', "name", span.name);
  out += R"(,"kind":)";
  append_number(out, static_cast<std::int64_t>(span.kind));
  append_quoted(out += ',', "startTimeUnixNano", span.start_ns);
  append_quoted(out += ',', "endTimeUnixNano", span.end_ns);
  out += R"(,"attributes":)";
  {
    List attributes(out);
    for (std::uint32_t i = 0; i < span.attribute_count; ++i) append_attribute(attributes.next(), span.attributes[i]);
  }
  out += R"(,"links":)";
  {
    List links(out);
    for (std::uint32_t i = 0; i < span.link_count; ++i) {
      append_text(links.next() += '{', "traceId", core::to_hex(span.links[i].trace_id));
      append_text(out += ',', "spanId", core::to_hex(span.links[i].span_id));
      out += R"(,"flags":)";
      append_number(out, span.links[i].flags);
      out += '}';
    }
  }
  out += R"(,"status":{)";
  if (span.error) {
    out += R"("code":2)";
    if (!span.error_message.empty()) append_text(out += ',', "message", span.error_message);
  }
  out += "}}";
}

std::vector<observe::Span> spans_of(const services::TimelineSnapshot& timeline) {
  std::vector<observe::Span> spans(timeline.events.size());
  for (std::size_t i = 0; i < spans.size(); ++i) {
    services::to_span(*timeline.task.info, timeline.events[i], spans[i]);
    if (spans[i].end_ns == 0) spans[i].end_ns = timeline.now_ns;  // its commit is under way
  }
  return spans;
}

void append_micros(std::string& out, std::int64_t ns) {
  std::array<char, 32> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), static_cast<double>(ns) / 1000.0,
                                        std::chars_format::fixed, 3).ptr);
}

void append_slice(std::string& out, const observe::Span& span, std::size_t line, std::int64_t base_ns) {
  append_text(out += '{', "name", span.name);
  append_text(out += ',', "cat", observe::kScopeNames[static_cast<std::size_t>(span.scope)]);
  out += R"(,"ph":"X","pid":1,"tid":)";
  append_number(out, static_cast<std::int64_t>(line) + 1);
  append_micros(out += R"(,"ts":)", span.start_ns - base_ns);
  append_micros(out += R"(,"dur":)", span.end_ns - span.start_ns);
  append_text(out += R"(,"args":{)", "spanId", core::to_hex(span.context.span_id));
  if (span.parent.valid()) append_text(out += ',', "parentSpanId", core::to_hex(span.parent));
  if (span.error) out += R"(,"error":true)";
  for (std::uint32_t i = 0; i < span.attribute_count; ++i) {
    out += ',';
    core::append_json_string(out, span.attributes[i].key);
    append_value(out += ':', span.attributes[i].value);
  }
  out += "}}";
}

// The line of each span: the first on which every span that is still open holds it.
std::vector<std::size_t> lines_of(const std::vector<observe::Span>& spans) {
  std::vector<std::vector<std::int64_t>> open;  // of each line: ends of the spans that hold what comes next, innermost last
  std::vector<std::size_t> lines;
  for (const auto& span : spans) {
    std::size_t line = 0;
    for (; line < open.size(); ++line) {
      auto& ends = open[line];
      while (!ends.empty() && ends.back() <= span.start_ns) ends.pop_back();
      if (ends.empty() || span.end_ns <= ends.back()) break;
    }
    if (line == open.size()) open.emplace_back();
    open[line].push_back(span.end_ns);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace

std::optional<TraceFormat> trace_format(std::string_view name) {
  if (name == "json") return TraceFormat::kJson;
  if (name == "otlp") return TraceFormat::kOtlp;
  if (name == "perfetto") return TraceFormat::kPerfetto;
  return std::nullopt;
}

void append_otlp(std::string& out, const services::TimelineSnapshot& timeline) {
  const auto spans = spans_of(timeline);
  out += R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"codeq"}}]},"scopeSpans":)";
  {
    List scopes(out);
    for (std::size_t scope = 0; scope < observe::kScopeNames.size(); ++scope) {
      const auto belongs = [&](const observe::Span& span) { return static_cast<std::size_t>(span.scope) == scope; };
      if (std::none_of(spans.begin(), spans.end(), belongs)) continue;
      append_text(scopes.next() += R"({"scope":{)", "name", observe::kScopeNames[scope]);
      out += R"(},"spans":)";
      {
        List list(out);
        for (const auto& span : spans)
          if (belongs(span)) append_otlp_span(list.next(), span);
      }
      out += '}';
    }
  }
  out += "}]}";
}

void append_perfetto(std::string& out, const services::TimelineSnapshot& timeline) {
  auto spans = spans_of(timeline);
  std::ranges::stable_sort(spans, [](const auto& a, const auto& b) {
    return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.end_ns > b.end_ns;
  });
  const auto base_ns = spans.empty() ? timeline.now_ns : spans.front().start_ns;
  const auto& info = *timeline.task.info;
  out += R"({"displayTimeUnit":"ms","otherData":{)";
  append_text(out, "taskId", info.id_text);
  append_text(out += ',', "traceId", core::to_hex(info.timeline_trace_id));
  append_quoted(out += ',', "startUnixNano", base_ns);
  out += R"(},"traceEvents":)";
  {
    List events(out);
    append_text(events.next() += R"({"name":"process_name","ph":"M","pid":1,"args":{)", "name", "codeq, task " + info.id_text);
    out += "}}";
    const auto lines = lines_of(spans);
    for (std::size_t i = 0; i < spans.size(); ++i) append_slice(events.next(), spans[i], lines[i], base_ns);
  }
  out += '}';
}

}  // namespace codeq::transport::http
