#include "core/trace_context.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace codeq::core {
namespace {

constexpr std::string_view kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kSpan = "00f067aa0ba902b7";

std::string parent(std::string_view version, std::string_view trace, std::string_view span, std::string_view flags) {
  return std::string(version) + "-" + std::string(trace) + "-" + std::string(span) + "-" + std::string(flags);
}

// What a request with these header lines brings along.
TraceContext receive(std::vector<std::string_view> traceparent, std::vector<std::string_view> tracestate = {},
                     std::vector<std::string_view> baggage = {}) {
  return extract({.traceparent = traceparent, .tracestate = tracestate, .baggage = baggage});
}

const std::string kParent = parent("00", kTrace, kSpan, "01");

std::string kept_state(std::vector<std::string_view> lines) {
  const auto context = receive({kParent}, std::move(lines));
  EXPECT_EQ(to_hex(context.span.trace_id), kTrace) << "tracestate must never cost the traceparent";
  return context.tracestate;
}

std::string members(int count) {
  std::string list;
  for (int i = 1; i <= count; ++i) list += (i > 1 ? "," : "") + ("bar" + std::to_string(i)) + "=" + std::to_string(i);
  return list;
}

TEST(Traceparent, ComesBackAsItWasSent) {
  const auto context = parse_traceparent(kParent);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(to_hex(context->trace_id), kTrace);
  EXPECT_EQ(to_hex(context->span_id), kSpan);
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(format_traceparent(*context), kParent);
}

TEST(Traceparent, MissingMeansNoContextAndNoTracestate) {
  const auto context = receive({}, {"foo=1"});
  EXPECT_FALSE(context.span.valid());
  EXPECT_EQ(context.tracestate, "");
}

TEST(Traceparent, TwoLinesRestartTheTraceEvenWhenTheyAreEqual) {
  const auto context = receive({kParent, kParent}, {"foo=1"}, {"user=7"});
  EXPECT_FALSE(context.span.valid());
  EXPECT_EQ(context.tracestate, "");
  EXPECT_EQ(context.baggage, "user=7");
}

TEST(Traceparent, SpacesAndTabsAroundItAreNotPartOfIt) {
  for (const auto& [before, after] : {std::pair{" ", ""}, {"\t", ""}, {"", " "}, {"", "\t"}, {"\t ", " \t"}}) {
    EXPECT_TRUE(parse_traceparent(before + kParent + after).has_value());
  }
  EXPECT_FALSE(parse_traceparent(kParent + "\n").has_value());
}

TEST(Traceparent, OfVersion00HasExactly55Bytes) {
  EXPECT_FALSE(parse_traceparent(kParent + ".").has_value());
  EXPECT_FALSE(parse_traceparent(kParent + "-").has_value());
  EXPECT_FALSE(parse_traceparent(kParent + "-what-the-future-will-be-like").has_value());
}

TEST(Traceparent, OfAHigherVersionIsReadByItsFirst55BytesAndWrittenAsVersion00) {
  const auto future = parent("cc", kTrace, kSpan, "01");
  for (const auto& text :
       {future, future + "-", future + "-what-the-future-will-be-like", parent("01", kTrace, kSpan, "01")}) {
    const auto context = parse_traceparent(text);
    ASSERT_TRUE(context.has_value()) << text;
    EXPECT_EQ(format_traceparent(*context), kParent);
  }
  EXPECT_FALSE(parse_traceparent(future + ".what-the-future-will-be-like").has_value());
  EXPECT_FALSE(parse_traceparent(future + "0").has_value());
}

TEST(Traceparent, OfVersionFfIsIllegal) {
  EXPECT_FALSE(parse_traceparent(parent("ff", kTrace, kSpan, "01")).has_value());
  EXPECT_FALSE(parse_traceparent(parent("ff", kTrace, kSpan, "01") + "-x").has_value());
}

TEST(Traceparent, WithAnyFieldOfAWrongLengthIsIllegal) {
  const std::string trace(kTrace);
  const std::string span(kSpan);
  for (const auto& text :
       {parent("000", trace, span, "01"), parent("0000", trace, span, "01"), parent("0", trace, span, "01"),
        parent("", trace, span, "01"), parent("00", trace + "0", span, "01"), parent("00", trace.substr(1), span, "01"),
        parent("00", "", span, "01"), parent("00", trace, span + "0", "01"), parent("00", trace, span.substr(1), "01"),
        parent("00", trace, span, "001"), parent("00", trace, span, "1"), parent("00", trace, span, ""),
        std::string("00"), std::string()}) {
    EXPECT_FALSE(parse_traceparent(text).has_value()) << text;
  }
}

TEST(Traceparent, WithAByteThatIsNoLowerCaseHexDigitAnywhereIsIllegal) {
  for (const char bad : {'.', 'g', 'A', 'F', ' ', '-', '\0', '\x80'}) {
    for (std::size_t i = 0; i < kParent.size(); ++i) {
      if (kParent[i] == '-' && bad == '-') continue;
      auto text = kParent;
      text[i] = bad;
      EXPECT_FALSE(parse_traceparent(text).has_value()) << text;
    }
  }
}

TEST(Traceparent, WithAnAllZeroIdIsIllegal) {
  EXPECT_FALSE(parse_traceparent(parent("00", std::string(32, '0'), kSpan, "01")).has_value());
  EXPECT_FALSE(parse_traceparent(parent("00", kTrace, std::string(16, '0'), "01")).has_value());
}

TEST(Traceparent, KeepsTheSampledAndTheRandomBitAndClearsTheReservedOnes) {
  for (const auto& [sent, kept] :
       {std::pair{"00", 0}, {"01", 1}, {"02", 2}, {"03", 3}, {"ff", 3}, {"fc", 0}, {"09", 1}}) {
    for (const auto* version : {"00", "cc"}) {
      const auto context = parse_traceparent(parent(version, kTrace, kSpan, sent));
      ASSERT_TRUE(context.has_value());
      EXPECT_EQ(context->flags, kept);
    }
  }
}

TEST(TraceIds, AreReadOnlyAsLowerCaseHexOfTheRightLengthThatIsNotZero) {
  EXPECT_EQ(to_hex(parse_trace_id(kTrace).value()), kTrace);
  EXPECT_EQ(to_hex(parse_span_id(kSpan).value()), kSpan);
  EXPECT_FALSE(parse_trace_id(kTrace.substr(1)).has_value());
  EXPECT_FALSE(parse_trace_id("4BF92F3577B34DA6A3CE929D0E0E4736").has_value());
  EXPECT_FALSE(parse_trace_id(std::string(32, '0')).has_value());
  EXPECT_FALSE(parse_span_id(std::string(16, '0')).has_value());
  EXPECT_FALSE(parse_span_id("00f067aa0ba902b").has_value());
  EXPECT_FALSE(parse_span_id("00f067aa0ba902bx").has_value());
}

TEST(Tracestate, TravelsByteForByteWithSpacesTabsAndOrder) {
  for (const std::string_view line :
       {"foo=1,bar=2", "bar=2,foo=1", "foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3"}) {
    EXPECT_EQ(kept_state({line}), line);
  }
}

TEST(Tracestate, OfSeveralLinesIsOneListInTheirOrder) {
  EXPECT_EQ(kept_state({"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}), "foo=1,bar=2,rojo=1,congo=2,baz=3");
}

TEST(Tracestate, AroundALineSpacesBelongToTheHeaderAndNotToTheList) {
  for (const std::string_view line : {" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"})
    EXPECT_EQ(kept_state({line}), "foo=1");
}

TEST(Tracestate, EmptyMembersAreLegalAndEmptyLinesAddNothing) {
  EXPECT_EQ(kept_state({""}), "");
  EXPECT_EQ(kept_state({" \t"}), "");
  EXPECT_EQ(kept_state({","}), "");
  EXPECT_EQ(kept_state({" , ,\t"}), "");
  EXPECT_EQ(kept_state({"foo=1", ""}), "foo=1");
  EXPECT_EQ(kept_state({"", "foo=1"}), "foo=1");
  EXPECT_EQ(kept_state({"foo=1,,bar=2, ,"}), "foo=1,,bar=2, ,");
  EXPECT_TRUE(valid_tracestate(""));
}

TEST(Tracestate, WithAKeyTwiceIsDropped) {
  EXPECT_EQ(kept_state({"foo=1,foo=1"}), "");
  EXPECT_EQ(kept_state({"foo=1,foo=2"}), "");
  EXPECT_EQ(kept_state({"foo=1", "foo=1"}), "");
  EXPECT_EQ(kept_state({"foo=1", "bar=3", "foo=2"}), "");
}

TEST(Tracestate, TakesEveryLegalCharacter) {
  const std::string key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
  std::string value;
  for (char c = 0x20; c < 0x7f; ++c) {
    if (c != ',' && c != '=') value += c;
  }
  EXPECT_EQ(kept_state({key + "=" + value}), key + "=" + value);
  EXPECT_EQ(kept_state({key + "@a-z0-9_-*/=" + value}), key + "@a-z0-9_-*/=" + value);
  EXPECT_EQ(kept_state({"0rojo=1,1@2=3"}), "0rojo=1,1@2=3");  // Level 2: a key may begin with a digit
}

TEST(Tracestate, WithAnIllegalKeyIsDroppedAsAWhole) {
  for (const std::string_view line :
       {"foo =1", "FOO=1", "foo.bar=1", "foo\t=1", "=1", "_foo=1", "-foo=1", "f\xc3\xb6=1", "foo", "foo,bar=1"}) {
    EXPECT_EQ(kept_state({line}), "") << line;
    EXPECT_EQ(kept_state({"ok=1", line}), "") << line;
  }
}

TEST(Tracestate, WithAnIllegalTenantFormIsDropped) {
  for (const std::string_view line : {"foo@=1,bar=2", "@foo=1,bar=2", "foo@@bar=1,bar=2", "foo@bar@baz=1,bar=2"}) {
    EXPECT_EQ(kept_state({line}), "") << line;
  }
}

TEST(Tracestate, Has32MembersAtMost) {
  EXPECT_EQ(kept_state({members(32)}), members(32));
  EXPECT_EQ(kept_state({members(33)}), "");
  EXPECT_EQ(kept_state({members(32), "baz=1"}), "");
}

TEST(Tracestate, KeysEndAt256AndTenantsAt241AndSystemsAt14) {
  const auto key = [](std::size_t length, char c) { return std::string(length, c); };
  EXPECT_NE(kept_state({"foo=1", key(256, 'z') + "=1"}), "");
  EXPECT_EQ(kept_state({"foo=1", key(257, 'z') + "=1"}), "");
  EXPECT_NE(kept_state({"foo=1", key(241, 't') + "@" + key(14, 'v') + "=1"}), "");
  EXPECT_EQ(kept_state({"foo=1", key(242, 't') + "@v=1"}), "");
  EXPECT_EQ(kept_state({"foo=1", "t@" + key(15, 'v') + "=1"}), "");
}

TEST(Tracestate, WithAnIllegalValueIsDropped) {
  for (const std::string_view line :
       {"foo=bar=baz", "foo=,bar=3", "foo= ,bar=3", "foo=a\x7f", "foo=a\tb", "foo=\xc3\xb6", "foo=\x01"}) {
    EXPECT_EQ(kept_state({line}), "") << line;
  }
  EXPECT_NE(kept_state({"foo=" + std::string(256, 'x')}), "");
  EXPECT_EQ(kept_state({"foo=" + std::string(257, 'x')}), "");
  EXPECT_EQ(kept_state({"foo=  leading spaces are part of it"}), "foo=  leading spaces are part of it");
}

TEST(Tracestate, IsKeptWholeFarBeyond512Bytes) {
  std::string list;
  for (int i = 0; i < 30; ++i) list += (i > 0 ? "," : "") + ("k" + std::to_string(i)) + "=" + std::string(256, 'v');
  ASSERT_GT(list.size(), 7000U);
  EXPECT_EQ(kept_state({list}), list);
}

TEST(Tracestate, BeyondOurOwnBoundIsDroppedInOneLineOrInMany) {
  EXPECT_EQ(kept_state({"foo=1" + std::string(kTracestateBytesMax, ',')}), "");
  const std::vector<std::string_view> lines(3000, "a=1,");
  EXPECT_EQ(kept_state(lines), "");
}

TEST(Baggage, TravelsByteForByteWithPropertiesSpacesAndPercentSigns) {
  for (const std::string_view line :
       {"userId=alice", "userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false",
        "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue", "empty=", "a=b=c",
        "!#$%&'*+-.^_`|~09azAZ=()/:<=>?@[]{}"}) {
    EXPECT_EQ(receive({kParent}, {}, {line}).baggage, line);
    EXPECT_EQ(receive({}, {}, {line}).baggage, line) << "it does not depend on a trace";
  }
}

TEST(Baggage, OfSeveralLinesIsOneList) {
  EXPECT_EQ(receive({kParent}, {}, {"a=1", "", " b=2;p "}).baggage, "a=1,b=2;p");
}

TEST(Baggage, ThatIsIllegalIsDroppedAlone) {
  for (const std::string_view line :
       {"a", "=1", "a b=1", "a=1 2", "a=\"1\"", "a=1\\2", "a=1;", "a=1;;p", "a=1;=2", "a=1;p q", "a=1,,b=2", "a=1,",
        "a=\xc3\xa9", "\xc3\xa9=1", "a=1\x01", "a@b=1", "a=1;p=x y"}) {
    const auto context = receive({kParent}, {"foo=1"}, {line});
    EXPECT_EQ(context.baggage, "") << line;
    EXPECT_EQ(context.tracestate, "foo=1");
    EXPECT_TRUE(context.span.valid());
  }
}

TEST(Baggage, EndsAt8192BytesAnd180Members) {
  EXPECT_EQ(receive({}, {}, {"a=" + std::string(kBaggageBytesMax - 2, 'v')}).baggage.size(), kBaggageBytesMax);
  EXPECT_EQ(receive({}, {}, {"a=" + std::string(kBaggageBytesMax - 1, 'v')}).baggage, "");
  std::string list = "a=1";
  for (int i = 1; i < 180; ++i) list += ",a=1";
  EXPECT_EQ(receive({}, {}, {list}).baggage, list);
  EXPECT_EQ(receive({}, {}, {list, "a=1"}).baggage, "");
}

}  // namespace
}  // namespace codeq::core
