// A page of metrics in one of the two syntaxes that Prometheus reads.
//
// Source   Prometheus exposition formats, text version 0.0.4; OpenMetrics 1.0.0 (draft-richih-opsawg-openmetrics-00)
// Threads  one at a time
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "core/trace_context.h"

namespace codeq::observe {

enum class MetricsFormat : std::uint8_t { kText, kOpenMetrics };

// Which of the two a request is answered in, by the values of its Accept header fields (RFC 9110, 12.5.1): OpenMetrics
// only where it is asked for by name, and not less than the text. Nothing that we have: the text.
MetricsFormat negotiate(const std::vector<std::string_view>& accept);

// What a bucket was last given whose trace can be looked up.
struct Exemplar {
  core::TraceId trace_id;  // invalid: none
  core::SpanId span_id;
  std::int64_t value = 0;
  std::int64_t at_ns = 0;  // since the epoch
};

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };
enum class Unit : std::uint8_t { kNone, kSeconds, kBytes };  // seconds are nanoseconds until they are written

class Page {
 public:
  explicit Page(MetricsFormat format) : format_(format) {}

  // One family; its head is written with its first sample, so an unused family is not on the page at all.
  class Family {
   public:
    void sample(Labels labels, std::uint64_t value) { number(labels, std::to_string(value)); }
    void sample(Labels labels, double value) { number(labels, text_of(value)); }
    void seconds(Labels labels, std::int64_t ns) { sample(labels, static_cast<double>(ns) / 1e9); }
    // Nothing where it is empty. `exemplars`: none, or one for each bucket.
    void histogram(Labels labels, const HistogramCounts& counts, const std::vector<Exemplar>& exemplars = {});

   private:
    friend class Page;
    Family(Page& page, std::string_view name, Kind kind, std::string_view help, Unit unit)
        : page_(page), name_(name), help_(help), kind_(kind), unit_(unit) {}
    void head();
    void number(Labels labels, std::string_view value);
    void line(std::string_view suffix, Labels labels, std::string_view le, std::string_view value);
    [[nodiscard]] double scaled(std::int64_t value) const;
    [[nodiscard]] static std::string text_of(double value);

    Page& page_;
    std::string_view name_, help_;
    Kind kind_;
    Unit unit_;
    bool headed_ = false;
  };

  // `name` as in the text format: a counter ends with _total. `help` holds neither quotes nor backslashes.
  Family family(std::string_view name, Kind kind, std::string_view help, Unit unit = Unit::kNone) {
    return {*this, name, kind, help, unit};
  }
  std::string take() &&;  // the whole page

 private:
  MetricsFormat format_;
  std::string out_;
};

// What may stand in a label: UTF-8, no control characters. Done before counting, so that two commands cannot end up as
// two series of one name, for which Prometheus refuses the page.
std::string clean_label(std::string_view value);

}  // namespace codeq::observe
