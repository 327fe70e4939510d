#include "observe/exposition.h"

#include <gtest/gtest.h>

#include <limits>

#include "observe/test_page.h"

namespace codeq::observe {
namespace {

constexpr Bounds kBounds(std::to_array<std::int64_t>({2'500'000, 1'000'000'000, 10'000'000'000}));

struct Accept {
  std::vector<std::string_view> fields;
  MetricsFormat format;
};

TEST(Exposition, TheFormatIsTheOneThatIsWantedMost) {
  constexpr auto kText = MetricsFormat::kText, kOpen = MetricsFormat::kOpenMetrics;
  for (
      const auto& [fields, format] : std::vector<Accept>{
          {{}, kText},
          {{""}, kText},
          {{"*/*"}, kText},
          {{"text/plain"}, kText},
          {{"application/json"}, kText},
          {{"application/*"}, kText},
          {{"application/openmetrics-text"}, kOpen},
          {{"application/openmetrics-text; version=1.0.0; charset=utf-8"}, kOpen},
          {{"APPLICATION/OpenMetrics-Text;VERSION=\"1.0.0\""}, kOpen},
          {{"application/openmetrics-text; version=0.0.1"}, kText},
          {{"application/openmetrics-text; version=2.0.0"}, kText},
          {{"application/openmetrics-text;q=0"}, kText},
          {{"application/openmetrics-text, */*"}, kOpen},
          {{"application/openmetrics-text;q=0.5, */*;q=0.6"}, kText},
          {{"text/plain, application/openmetrics-text"}, kText},
          {{"text/plain;q=0.3, application/openmetrics-text;q=0.301"}, kOpen},
          {{"text/plain;version=0.0.3, application/openmetrics-text;q=0.001"}, kOpen},
          {{"text/*;q=0.8,text/plain;q=0.1", "application/openmetrics-text;q=0.2"}, kOpen},
          {{"application/openmetrics-text;q=nonsense"}, kText},
          {{"application/openmetrics-text;q=1.5"}, kText},
          {{"application/openmetrics-text;x=\"a,b;q=0\""}, kOpen},
          {{"application/openmetrics-text;x=\"\\"}, kOpen},
           // Prometheus 2.42 and 3.x.
          {{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"},
           kOpen},
          {{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
             "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.2"},
           kOpen}}) {
    EXPECT_EQ(negotiate(fields), format) << (fields.empty() ? "" : fields.front());
  }
}

std::string page_of(MetricsFormat format) {
  Page page(format);
  {
    auto counter = page.family("codeq_things_total", Kind::kCounter, "Things.");
    counter.sample({{"command", "a\"b\\c\nd"}}, std::uint64_t{7});
  }
  page.family("codeq_never_total", Kind::kCounter, "Never.");
  page.family("codeq_spent_seconds_total", Kind::kCounter, "Spent.", Unit::kSeconds).seconds({}, 1'500'000'000);
  page.family("codeq_level", Kind::kGauge, "A level.").sample({}, std::numeric_limits<double>::infinity());
  Histogram<kBounds> histogram;
  histogram.add(700'000'000);
  histogram.add(20'000'000'000);
  std::vector<Exemplar> exemplars(Histogram<kBounds>::kBuckets);
  exemplars[1].trace_id.bytes.fill(0xab);
  exemplars[1].span_id.bytes.fill(0xcd);
  exemplars[1].value = 700'000'000;
  exemplars[1].at_ns = 1'700'000'000'042'000'000;
  auto family = page.family("codeq_wait_seconds", Kind::kHistogram, "A wait.", Unit::kSeconds);
  family.histogram({{"command", "A"}}, histogram.read(), exemplars);
  family.histogram({{"command", "B"}}, Histogram<kBounds>().read());
  return std::move(page).take();
}

TEST(Exposition, TheTextFormatIsAsItIsWritten) {
  EXPECT_EQ(page_of(MetricsFormat::kText), R"(# HELP codeq_things_total Things.
# TYPE codeq_things_total counter
codeq_things_total{command="a\"b\\c\nd"} 7
# HELP codeq_spent_seconds_total Spent.
# TYPE codeq_spent_seconds_total counter
codeq_spent_seconds_total 1.5
# HELP codeq_level A level.
# TYPE codeq_level gauge
codeq_level +Inf
# HELP codeq_wait_seconds A wait.
# TYPE codeq_wait_seconds histogram
codeq_wait_seconds_bucket{command="A",le="0.0025"} 0
codeq_wait_seconds_bucket{command="A",le="1"} 1
codeq_wait_seconds_bucket{command="A",le="10"} 1
codeq_wait_seconds_bucket{command="A",le="+Inf"} 2
codeq_wait_seconds_sum{command="A"} 20.7
codeq_wait_seconds_count{command="A"} 2
)");
  EXPECT_EQ(faults_of(page_of(MetricsFormat::kText), MetricsFormat::kText), "");
}

TEST(Exposition, OpenMetricsNamesFamiliesWithoutTotalHasUnitsExemplarsAndAnEnd) {
  EXPECT_EQ(page_of(MetricsFormat::kOpenMetrics), R"(# HELP codeq_things Things.
# TYPE codeq_things counter
codeq_things_total{command="a\"b\\c\nd"} 7
# HELP codeq_spent_seconds Spent.
# TYPE codeq_spent_seconds counter
# UNIT codeq_spent_seconds seconds
codeq_spent_seconds_total 1.5
# HELP codeq_level A level.
# TYPE codeq_level gauge
codeq_level +Inf
# HELP codeq_wait_seconds A wait.
# TYPE codeq_wait_seconds histogram
# UNIT codeq_wait_seconds seconds
codeq_wait_seconds_bucket{command="A",le="0.0025"} 0
codeq_wait_seconds_bucket{command="A",le="1.0"} 1 # {trace_id="abababababababababababababababab",span_id="cdcdcdcdcdcdcdcd"} 0.7 1700000000.042
codeq_wait_seconds_bucket{command="A",le="10.0"} 1
codeq_wait_seconds_bucket{command="A",le="+Inf"} 2
codeq_wait_seconds_sum{command="A"} 20.7
codeq_wait_seconds_count{command="A"} 2
# EOF
)");
  EXPECT_EQ(faults_of(page_of(MetricsFormat::kOpenMetrics), MetricsFormat::kOpenMetrics), "");
}

}  // namespace
}  // namespace codeq::observe
