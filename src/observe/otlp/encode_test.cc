#include "observe/otlp/encode.h"

#include <gtest/gtest.h>

#include <protozero/pbf_reader.hpp>

namespace codeq::observe {
namespace {

core::SpanContext context(std::uint8_t trace, std::uint8_t span, std::uint8_t flags) {
  core::SpanContext made;
  made.trace_id.bytes.fill(trace);
  made.span_id.bytes.fill(span);
  made.flags = flags;
  return made;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// The string fields numbered `field` of the encoded span's body.
std::vector<std::string> fields(std::string_view encoded, protozero::pbf_tag_type field) {
  std::vector<std::string> found;
  protozero::pbf_reader list(encoded.data(), encoded.size());
  EXPECT_TRUE(list.next(2));
  auto body = list.get_message();
  while (body.next()) {
    if (body.tag() == field)
      found.push_back(body.get_string());
    else
      body.skip();
  }
  EXPECT_FALSE(list.next());
  return found;
}

// The worked example of docs/formats/otlp.md; a change here is a change there.
TEST(EncodeSpan, TheWorkedExampleHasTheseBytes) {
  Span span{.context = context(0x11, 0x22, 0x03),
            .parent = {},
            .parent_is_remote = true,
            .tracestate = "a=1",
            .name = "codeq.task.claim",
            .kind = SpanKind::kConsumer,
            .scope = Scope::kRepository,
            .start_ns = 1,
            .end_ns = 256,
            .error = true,
            .error_message = "no"};
  span.parent.bytes.fill(0x33);
  span.set("k", "v");
  span.set("n", std::int64_t{300});
  span.set("b", true);
  span.link(context(0x44, 0x55, 0x01));
  std::string scratch;
  EXPECT_EQ(hex(encode_span(span, scratch)),
            "129f01"                                      // ScopeSpans.spans, 159 bytes
            "0a1011111111111111111111111111111111"        // trace_id
            "12082222222222222222"                        // span_id
            "1a03613d31"                                  // trace_state
            "22083333333333333333"                        // parent_span_id
            "2a10636f6465712e7461736b2e636c61696d"        // name
            "3005"                                        // kind CONSUMER
            "390100000000000000"                          // start
            "410001000000000000"                          // end
            "4a080a016b12030a0176"                        // k = "v"
            "4a080a016e120318ac02"                        // n = 300
            "4a070a016212021001"                          // b = true
            "6a21"                                        // link
            "0a1044444444444444444444444444444444"
            "12085555555555555555"
            "3501000000"
            "7a0612026e6f1802"                            // status: "no", ERROR
            "850103030000");                              // flags 0x303: remote parent, random, sampled
}

TEST(EncodeSpan, ARootHasNoParentAndIsNotRemote) {
  std::string scratch;
  const Span span{.context = context(1, 2, 1), .parent = {}, .parent_is_remote = true, .name = "n"};
  const auto bytes = encode_span(span, scratch);
  EXPECT_TRUE(fields(bytes, 4).empty());
  EXPECT_TRUE(bytes.ends_with(std::string_view("\x85\x01\x01\x01\x00\x00", 6)));
}

TEST(EncodeSpan, NegativeAndEmptyValuesAreLegal) {
  std::string scratch;
  Span span{.context = context(1, 2, 1), .parent = {}, .name = ""};
  span.set("minus", std::int64_t{-1});
  span.set("empty", std::string_view());
  span.set("no", false);
  const auto attributes = fields(encode_span(span, scratch), 9);
  ASSERT_EQ(attributes.size(), 3U);
  EXPECT_EQ(hex(attributes[0]).substr(14), "120b18ffffffffffffffffff01");
  EXPECT_EQ(hex(attributes[1]).substr(14), "12020a00");
  EXPECT_EQ(hex(attributes[2]).substr(8), "12021000");
}

TEST(EncodeSpan, StrayBytesDoNotCostTheBatch) {
  std::string scratch;
  Span span{.context = context(1, 2, 1),
            .parent = {},
            .name =
                "a\xff"
                "b\xc3\xb6\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 0123456789\xe2\x82"};
  EXPECT_EQ(fields(encode_span(span, scratch), 5), std::vector<std::string>{"a?b\xc3\xb6????????? 0123456789??"});
}

TEST(EncodeSpan, ALongTextIsCutBetweenCharacters) {
  std::string scratch;
  const std::string longer = std::string(kSpanTextBytesMax - 1, 'x') + "\xe2\x82\xac and more";
  const Span span{.context = context(1, 2, 1), .parent = {}, .tracestate = std::string_view(longer), .name = longer};
  const auto bytes = encode_span(span, scratch);
  EXPECT_EQ(fields(bytes, 5), std::vector<std::string>{std::string(kSpanTextBytesMax - 1, 'x')});
  EXPECT_EQ(fields(bytes, 3), std::vector<std::string>{longer});
}

TEST(EncodeSpan, TheFullestSpanFits) {
  std::string scratch;
  const std::string text(kSpanTextBytesMax + 1, 'y');
  const std::string state(kSpanTracestateBytesMax, 'z');
  Span span{.context = context(1, 2, 3),
            .parent = {},
            .tracestate = state,
            .name = text,
            .start_ns = -1,
            .end_ns = -1,
            .error = true,
            .error_message = text};
  span.parent.bytes.fill(1);
  for (std::size_t i = 0; i < span.attributes.size(); ++i) span.set(text, text);
  for (std::size_t i = 0; i < span.links.size(); ++i) span.link(context(1, 2, 3));
  EXPECT_EQ(fields(encode_span(span, scratch), 9).size(), span.attributes.size());
}

TEST(EncodeRequest, ScopesWithoutSpansAreLeftOut) {
  TracingOptions options;
  options.service_version = "1.0";
  options.resource_attributes = {{"telemetry.sdk.name", "forged"}, {"zone", "b"}};
  ScopeBodies bodies;
  std::string scratch;
  const Span span{.context = context(1, 2, 1), .parent = {}, .name = "n", .scope = Scope::kHttp};
  bodies[static_cast<std::size_t>(Scope::kHttp)] = encode_span(span, scratch);
  std::string request;
  encode_request(encode_resource(options), bodies, request);

  protozero::pbf_reader top(request);
  ASSERT_TRUE(top.next(1));
  auto resource_spans = top.get_message();
  ASSERT_TRUE(resource_spans.next(1));
  const std::string resource = resource_spans.get_string();
  EXPECT_NE(resource.find("service.name"), std::string::npos);
  EXPECT_NE(resource.find("zone"), std::string::npos);
  EXPECT_EQ(resource.find("forged"), std::string::npos);
  ASSERT_TRUE(resource_spans.next(2));
  auto scope_spans = resource_spans.get_message();
  ASSERT_TRUE(scope_spans.next(1));
  auto scope = scope_spans.get_message();
  ASSERT_TRUE(scope.next(1));
  EXPECT_EQ(scope.get_string(), "codeq/http");
  EXPECT_TRUE(scope_spans.next(2));
  scope_spans.skip();
  EXPECT_FALSE(scope_spans.next());
  EXPECT_FALSE(resource_spans.next());
  EXPECT_FALSE(top.next());
}

}  // namespace
}  // namespace codeq::observe
