#include "observe/exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>

#include "observe/utf8.h"

namespace codeq::observe {
namespace {

constexpr std::string_view kTotal = "_total";

void append_escaped(std::string_view value, std::string& out) {
  for (const char c : value) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '"')
      out += "\\\"";
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool same(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

// Takes the part of `list` before the next `separator` that is not between quotes.
std::string_view take_part(std::string_view& list, char separator) {
  bool quoted = false;
  std::size_t at = 0;
  for (; at < list.size(); ++at) {
    if (quoted && list[at] == '\\')
      ++at;
    else if (list[at] == '"')
      quoted = !quoted;
    else if (list[at] == separator && !quoted)
      break;
  }
  at = std::min(at, list.size());
  const auto part = list.substr(0, at);
  list.remove_prefix(std::min(at + 1, list.size()));
  return trimmed(part);
}

// A quality in thousandths, `0`, `1`, `0.5`, ...; nothing: not one.
std::optional<int> quality(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  int value = (text[0] - '0') * 1000;
  text.remove_prefix(1);
  if (text.empty()) return value;
  if (text[0] != '.' || text.size() > 4) return std::nullopt;
  text.remove_prefix(1);
  for (int place = 100; !text.empty(); text.remove_prefix(1), place /= 10) {
    if (text[0] < '0' || text[0] > '9') return std::nullopt;
    value += (text[0] - '0') * place;
  }
  return value <= 1000 ? std::optional(value) : std::nullopt;
}

struct Wish {  // the most specific range that a type fits into decides
  int specific = -1, quality = 0;
  void consider(int how_specific, int its_quality) {
    if (how_specific < specific) return;
    quality = how_specific == specific ? std::max(quality, its_quality) : its_quality;
    specific = how_specific;
  }
};

void consider(std::string_view range, Wish& text, Wish& open_metrics) {
  constexpr int kAll = 0, kTypes = 1, kNamed = 2;
  const auto type = take_part(range, ';');
  int q = 1000;
  std::string_view version;
  while (!range.empty()) {
    auto parameter = take_part(range, ';');
    const auto name = take_part(parameter, '=');
    if (parameter.size() >= 2 && parameter.front() == '"' && parameter.back() == '"')
      parameter = parameter.substr(1, parameter.size() - 2);
    if (same(name, "q")) {
      const auto good = quality(parameter);
      if (!good) return;
      q = *good;
    } else if (same(name, "version")) {
      version = parameter;
    }
  }
  if (same(type, "*/*")) {
    text.consider(kAll, q);
    open_metrics.consider(kAll, q);
  } else if (same(type, "text/*")) {
    text.consider(kTypes, q);
  } else if (same(type, "application/*")) {
    open_metrics.consider(kTypes, q);
  } else if (same(type, "text/plain") && (version.empty() || version == "0.0.4")) {
    text.consider(kNamed, q);
  } else if (same(type, "application/openmetrics-text") && (version.empty() || version == "1.0.0")) {
    open_metrics.consider(kNamed, q);
  }
}

}  // namespace

MetricsFormat negotiate(const std::vector<std::string_view>& accept) {
  constexpr int kNamed = 2;
  Wish text, open_metrics;
  for (auto list : accept)
    while (!list.empty()) consider(take_part(list, ','), text, open_metrics);
  const bool wanted = open_metrics.specific == kNamed && open_metrics.quality > 0;
  const bool no_less =
      open_metrics.quality > text.quality || (open_metrics.quality == text.quality && text.specific < kNamed);
  return wanted && no_less ? MetricsFormat::kOpenMetrics : MetricsFormat::kText;
}

std::string clean_label(std::string_view value) {
  std::string out(value);
  scrub_utf8(out.data(), out.size());
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

std::string Page::take() && {
  if (format_ == MetricsFormat::kOpenMetrics) out_ += "# EOF\n";
  return std::move(out_);
}

double Page::Family::scaled(std::int64_t value) const {
  return unit_ == Unit::kSeconds ? static_cast<double>(value) / 1e9 : static_cast<double>(value);
}

std::string Page::Family::text_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void Page::Family::head() {
  if (std::exchange(headed_, true)) return;
  constexpr std::string_view kKinds[] = {"counter", "gauge", "histogram"};
  constexpr std::string_view kUnits[] = {"", "seconds", "bytes"};
  auto name = name_;
  const bool open = page_.format_ == MetricsFormat::kOpenMetrics;
  if (open && kind_ == Kind::kCounter && name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  fmt::format_to(std::back_inserter(page_.out_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help_,
                 kKinds[static_cast<std::size_t>(kind_)]);
  const auto unit = kUnits[static_cast<std::size_t>(unit_)];
  if (open && !unit.empty() && name.ends_with(unit))
    fmt::format_to(std::back_inserter(page_.out_), "# UNIT {} {}\n", name, unit);
}

void Page::Family::line(std::string_view suffix, Labels labels, std::string_view le, std::string_view value) {
  auto& out = page_.out_;
  out += name_;
  out += suffix;
  char separator = '{';
  for (const auto& [name, text] : labels) {
    out += separator;
    out += name;
    out += "=\"";
    append_escaped(text, out);
    out += '"';
    separator = ',';
  }
  if (!le.empty()) {
    out += separator;
    out += "le=\"";
    out += le;
    out += '"';
    separator = ',';
  }
  if (separator == ',') out += '}';
  out += ' ';
  out += value;
}

void Page::Family::number(Labels labels, std::string_view value) {
  head();
  line("", labels, "", value);
  page_.out_ += '\n';
}

void Page::Family::histogram(Labels labels, const HistogramCounts& counts, const std::vector<Exemplar>& exemplars) {
  if (counts.count() == 0) return;
  head();
  const bool open = page_.format_ == MetricsFormat::kOpenMetrics;
  std::uint64_t total = 0;
  for (std::size_t b = 0; b < counts.buckets.size(); ++b) {
    total += counts.buckets[b];
    std::string le = "+Inf";
    if (b < counts.bounds.size()) {
      le = text_of(scaled(counts.bounds[b]));
      if (open && le.find_first_of(".e") == std::string::npos) le += ".0";  // the canonical form there
    }
    line("_bucket", labels, le, std::to_string(total));
    if (open && b < exemplars.size() && exemplars[b].trace_id.valid()) {
      const auto& exemplar = exemplars[b];
      fmt::format_to(std::back_inserter(page_.out_), R"( # {{trace_id="{}",span_id="{}"}} {} {}.{:03})",
                     core::to_hex(exemplar.trace_id), core::to_hex(exemplar.span_id), scaled(exemplar.value),
                     exemplar.at_ns / 1'000'000'000, exemplar.at_ns / 1'000'000 % 1000);
    }
    page_.out_ += '\n';
  }
  line("_sum", labels, "",
       unit_ == Unit::kSeconds ? text_of(static_cast<double>(counts.sum) / 1e9) : std::to_string(counts.sum));
  page_.out_ += '\n';
  line("_count", labels, "", std::to_string(total));
  page_.out_ += '\n';
}

}  // namespace codeq::observe
