// Reads a page of metrics as strictly as its specification is written. For tests.
#pragma once

#include <regex.h>

#include <array>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "observe/exposition.h"

namespace codeq::observe {

class PageLine {
 public:
  explicit PageLine(const char* pattern) {
    if (regcomp(&regex_, pattern, REG_EXTENDED) != 0) std::abort();
  }
  ~PageLine() { regfree(&regex_); }
  PageLine(const PageLine&) = delete;
  PageLine& operator=(const PageLine&) = delete;
  bool fits(const std::string& line, std::vector<std::string>& groups) const {
    std::array<regmatch_t, 8> at{};
    if (regexec(&regex_, line.c_str(), at.size(), at.data(), 0) != 0) return false;
    groups.clear();
    for (const auto& group : at)
      groups.push_back(group.rm_so < 0 ? ""
                                       : line.substr(static_cast<std::size_t>(group.rm_so),
                                                     static_cast<std::size_t>(group.rm_eo - group.rm_so)));
    return true;
  }

 private:
  regex_t regex_{};
};

// What is wrong with the page; empty: nothing.
inline std::string faults_of(const std::string& page, MetricsFormat format) {
  static const PageLine kHelp(R"re(^# HELP ([a-z][a-z0-9_]*) [^"\]+$)re"),
      kType(R"re(^# TYPE ([a-z][a-z0-9_]*) (counter|gauge|histogram)$)re"),
      kUnit(R"re(^# UNIT ([a-z][a-z0-9_]*) (seconds|bytes)$)re"),
      kSample(
          R"re(^([a-z][a-z0-9_]*)(\{([a-z_]+="([^"\]|\\\\|\\"|\\n)*",?)+\})? ([-+0-9.eInfNa]+))re"
              R"re(( # (\{trace_id="[0-9a-f]{32}",span_id="[0-9a-f]{16}"\}) [0-9.e+-]+ [0-9]+\.[0-9]{3})?$)re");
  const bool open = format == MetricsFormat::kOpenMetrics;
  std::set<std::string> families, series;
  std::string family, type, bucket_set;
  double bucket_last = 0;
  for (std::size_t at = 0; at < page.size();) {
    const auto end = page.find('\n', at);
    if (end == std::string::npos) return "the last line does not end";
    const auto line = page.substr(at, end - at);
    at = end + 1;
    std::vector<std::string> m;
    if (line == "# EOF") return open && at == page.size() ? "" : "an end too early: " + line;
    if (kHelp.fits(line, m)) {
      if (!families.insert(m[1]).second) return "a second time: " + line;
      family = m[1], type.clear(), bucket_set.clear();
    } else if (kType.fits(line, m)) {
      if (m[1] != family || !type.empty()) return "not of the family: " + line;
      type = m[2];
      if (type == "counter" && family.ends_with("_total") == open) return "a counter's name: " + line;
    } else if (kUnit.fits(line, m)) {
      if (!open || m[1] != family || !family.ends_with("_" + m[2])) return "a unit: " + line;
    } else if (kSample.fits(line, m)) {
      const std::string name = m[1];
      std::string suffix = name.starts_with(family) ? name.substr(family.size()) : "?";
      const bool fits = type == "histogram"         ? suffix == "_bucket" || suffix == "_sum" || suffix == "_count"
                        : type == "counter" && open ? suffix == "_total"
                                                    : suffix.empty();
      if (!fits) return "not of the family: " + line;
      if (!series.insert(name + m[2]).second) return "a second time: " + line;
      if (!m[6].empty() && (!open || suffix != "_bucket")) return "an exemplar: " + line;
      if (suffix == "_bucket") {
        const auto labels = m[2];
        const auto set = labels.substr(0, labels.find("le=\""));
        const auto value = std::strtod(m[5].c_str(), nullptr);
        if (set == bucket_set && value < bucket_last) return "fewer than before: " + line;
        bucket_set = set, bucket_last = value;
        const auto le = labels.substr(labels.find("le=\"") + 4);
        if (open && !le.starts_with("+Inf") && le.find_first_of(".e") == std::string::npos) return "a bound: " + line;
      }
    } else {
      return "no such line: " + line;
    }
  }
  return open ? "no end" : "";
}

}  // namespace codeq::observe
