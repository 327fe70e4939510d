#include "app/waterfall.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

TEST(Waterfall, ChildrenComeBelowTheirParentAndShareOneAxis) {
  std::vector<WaterfallSpan> spans = {{.trace_id = "t",
                                       .span_id = "b",
                                       .parent_span_id = "a",
                                       .service = "codeq",
                                       .name = "codeq.task.queued",
                                       .start_ns = 1'000'000,
                                       .end_ns = 9'000'000,
                                       .error = false,
                                       .attributes = {{"codeq.wait.cause", "backoff"}}},
                                      {.trace_id = "t",
                                       .span_id = "a",
                                       .parent_span_id = "elsewhere",
                                       .service = "codeq",
                                       .name = "root",
                                       .start_ns = 0,
                                       .end_ns = 10'000'000,
                                       .error = false,
                                       .attributes = {}}};
  const auto text = draw_waterfall(spans, {.width = 80});
  EXPECT_LT(text.find("root"), text.find("  codeq.task.queued"));
  EXPECT_NE(text.find("cause=backoff"), std::string::npos);
  EXPECT_EQ(summarize(spans).ns_by_cause.at("queued, backoff"), 8'000'000);
}

TEST(Waterfall, SpansThatNameEachOtherAsParentDoNotLoop) {
  EXPECT_FALSE(draw_waterfall({{.trace_id = "t",
                                .span_id = "a",
                                .parent_span_id = "b",
                                .service = {},
                                .name = "x",
                                .start_ns = 0,
                                .end_ns = 1,
                                .error = false,
                                .attributes = {}},
                               {.trace_id = "t",
                                .span_id = "b",
                                .parent_span_id = "a",
                                .service = {},
                                .name = "y",
                                .start_ns = 0,
                                .end_ns = 1,
                                .error = false,
                                .attributes = {}}},
                              {})
                   .empty());
  EXPECT_EQ(draw_waterfall({}, {}), "no spans\n");
}

}  // namespace
}  // namespace codeq::app
