#include "core/json_scan.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace codeq::core {
namespace {

using namespace std::string_literals;

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonScan, AcceptsEveryFormOfRfc8259) {
  for (const auto& text : {"null"s,
                           "true"s,
                           "false"s,
                           "0"s,
                           "-0"s,
                           "1"s,
                           "-1.5e+10"s,
                           "1E5"s,
                           "0.0"s,
                           "0e0"s,
                           "\"\""s,
                           "[]"s,
                           "{}"s,
                           " \t\r\n[ ] "s,
                           "[1,2 , 3]"s,
                           "{\"a\":1,\"a\":2}"s,
                           "{ \"a\" : [ { } , null ] }"s,
                           R"("\"\\\/\b\f\n\r\t\u00e9\uD834\udd1e")"s,
                           "\"é€😀\x7f\""s,
                           "{\"\":\"\"}"s,
                           "[[],{},\"\"]"s}) {
    EXPECT_FALSE(validate(text).has_value()) << text;
  }
}

TEST(JsonScan, AcceptsNumbersAndEscapesThatOtherParsersConvertAndThenRefuse) {
  for (const auto& text : {"1e999"s, "-1e-99999999999"s, "123456789012345678901234567890"s, R"("\ud800")"s,
                           R"("\udc00\ud800x")"s, R"("\u0000")"s}) {
    EXPECT_FALSE(validate(text).has_value()) << text;
  }
}

TEST(JsonScan, RefusesWhatIsNotJson) {
  for (const auto& text : {""s,
                           " "s,
                           "nul"s,
                           "nulll"s,
                           "True"s,
                           "tru"s,
                           "+1"s,
                           "01"s,
                           "-"s,
                           "-01"s,
                           "1."s,
                           ".5"s,
                           "1e"s,
                           "1e+"s,
                           "1.e1"s,
                           "0x10"s,
                           "NaN"s,
                           "Infinity"s,
                           "1 2"s,
                           "[1,]"s,
                           "[,1]"s,
                           "[1 2]"s,
                           "["s,
                           "]"s,
                           "[1"s,
                           "[1}"s,
                           "{"s,
                           "}"s,
                           "{]"s,
                           "{\"a\"}"s,
                           "{\"a\":}"s,
                           "{\"a\":1,}"s,
                           "{,}"s,
                           "{a:1}"s,
                           "{1:1}"s,
                           "{\"a\" 1}"s,
                           "{\"a\":1 \"b\":2}"s,
                           "{\"a\":1"s,
                           "{\"a\":1]"s,
                           "\""s,
                           "\"a"s,
                           "\"\\"s,
                           "\"\\\""s,
                           R"("\x41")"s,
                           R"("\u12")"s,
                           R"("\u12g4")"s,
                           "\"\n\""s,
                           "\"\t\""s,
                           "\"\0\""s,
                           "'a'"s,
                           "// c\n1"s,
                           "/**/1"s,
                           "1\v"s,
                           "\f1"s,
                           "\xef\xbb\xbf"
                           "1"s,
                           "1\0"s,
                           "\xa0"
                           "1"s,
                           "{\"a\": tru}"s,
                           "[1,2,}]"s,
                           "null,"s,
                           "\"a\"\"b\""s}) {
    EXPECT_TRUE(validate(text).has_value()) << text;
  }
}

TEST(JsonScan, RefusesRawBytesThatAreNotUtf8WhereverTheyStand) {
  for (const auto& bytes : {"\x80"s, "\xbf"s, "\xc0\x80"s, "\xc1\xbf"s, "\xc3"s, "\xe0\x80\x80"s, "\xe0\x9f\xbf"s,
                            "\xed\xa0\x80"s, "\xed\xbf\xbf"s, "\xe2\x82"s, "\xf0\x80\x80\x80"s, "\xf0\x8f\xbf\xbf"s,
                            "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xff"s, "\xf0\x9f\x98"s}) {
    for (std::size_t before = 0; before < 17; ++before) {
      EXPECT_TRUE(validate("\"" + std::string(before, 'x') + bytes + "\"").has_value());
      EXPECT_TRUE(validate("\"" + std::string(before, 'x') + bytes + "yyyyyyyyyyyyyyyy\"").has_value());
    }
    EXPECT_TRUE(validate("[" + bytes + "]").has_value());
  }
  for (const auto& bytes : {"\xc2\x80"s, "\xdf\xbf"s, "\xe0\xa0\x80"s, "\xed\x9f\xbf"s, "\xee\x80\x80"s,
                            "\xef\xbf\xbf"s, "\xf0\x90\x80\x80"s, "\xf4\x8f\xbf\xbf"s}) {
    EXPECT_FALSE(validate("\"" + bytes + "\"").has_value());
  }
}

TEST(JsonScan, SeesAByteThatMattersAtEveryPlaceOfAString) {
  for (std::size_t length = 0; length < 40; ++length) {
    const std::string plain(length, 'x');
    EXPECT_FALSE(validate("\"" + plain + "\"").has_value());
    EXPECT_TRUE(validate("\"" + plain).has_value());
    for (std::size_t i = 0; i < length; ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        auto text = "\"" + plain + "\"";
        text[i + 1] = static_cast<char>(byte);
        const bool legal = byte >= 0x20 && byte < 0x80 && byte != '"' && (byte != '\\');
        EXPECT_EQ(!validate(text), legal) << i << " of " << length << ": " << byte;
      }
    }
  }
}

TEST(JsonScan, StopsAtTheDepthItIsGiven) {
  EXPECT_FALSE(validate(nested(64)).has_value());
  EXPECT_TRUE(validate(nested(65)).has_value());
  EXPECT_FALSE(validate(nested(3), 3).has_value());
  EXPECT_TRUE(validate(nested(4), 3).has_value());
  EXPECT_FALSE(validate("1", 0).has_value());
  EXPECT_TRUE(validate("[]", 0).has_value());
  EXPECT_FALSE(validate(nested(kJsonDepthLimit), kJsonDepthLimit).has_value());
  EXPECT_TRUE(validate(nested(kJsonDepthLimit + 1), kJsonDepthLimit * 10).has_value());
  EXPECT_TRUE(validate(std::string(1'000'000, '['), kJsonDepthLimit).has_value());
  const auto ignore = [](const JsonMember&) {};
  EXPECT_FALSE(scan_array(nested(64), ignore).has_value());
  EXPECT_TRUE(scan_array(nested(65), ignore).has_value());
  EXPECT_TRUE(scan_array("[]", ignore, 0).has_value());
}

TEST(JsonScan, TellsWhereItStopped) {
  EXPECT_EQ(validate("[1, x]")->offset, 4U);
  EXPECT_EQ(validate("[1] x")->offset, 4U);
  EXPECT_EQ(validate("{\"a\":1")->offset, 6U);
  EXPECT_EQ(validate("[1,2,}]")->offset, 5U);
}

TEST(JsonScan, SlicesTheMembersOfAnObjectByteForByte) {
  const std::string body =
      " { \"payload\" : { \"b\" : 1.0e+02,\t\"a\":[ ] } ,\"n\":12345678901234567890 , \"s\":\"x\\u0041\",\"t\":true,\"z\":null,\"e\":[]} ";
  std::vector<std::pair<std::string, std::string>> seen;
  std::vector<JsonType> types;
  const auto error = scan_object(body, [&](const JsonMember& member) {
    seen.emplace_back(member.key_raw, member.value);
    types.push_back(member.type);
  });
  ASSERT_FALSE(error.has_value());
  const std::vector<std::pair<std::string, std::string>> expected{{"\"payload\"", "{ \"b\" : 1.0e+02,\t\"a\":[ ] }"},
                                                                  {"\"n\"", "12345678901234567890"},
                                                                  {"\"s\"", "\"x\\u0041\""},
                                                                  {"\"t\"", "true"},
                                                                  {"\"z\"", "null"},
                                                                  {"\"e\"", "[]"}};
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(types, (std::vector{JsonType::kObject, JsonType::kNumber, JsonType::kString, JsonType::kBool,
                                JsonType::kNull, JsonType::kArray}));
}

TEST(JsonScan, SlicesTheElementsOfAnArray) {
  std::vector<std::string> seen;
  ASSERT_FALSE(scan_array("[ 1 ,[2, 3],{\"a\":4},\"]\"]", [&](const JsonMember& element) {
                 EXPECT_TRUE(element.key_raw.empty());
                 seen.emplace_back(element.value);
               }).has_value());
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "[2, 3]", "{\"a\":4}", "\"]\""}));
}

TEST(JsonScan, OfAnObjectRefusesEverythingElse) {
  const auto ignore = [](const JsonMember&) {};
  for (const std::string_view text : {"", " ", "[]", "1", "null", "{", "{} {}", "{\"a\":1}x", "{\"a\":1,}", "{\"a\"}",
                                      "{\"a\":tru}", "{\"a\":1]", "{a:1}"}) {
    EXPECT_TRUE(scan_object(text, ignore).has_value()) << text;
  }
  for (const std::string_view text : {"{}", " { } ", "{\"a\":1}", "{\"a\":{\"b\":[]}}\n"})
    EXPECT_FALSE(scan_object(text, ignore).has_value()) << text;
  EXPECT_TRUE(scan_array("{}", ignore).has_value());
}

TEST(JsonScan, AVisitorCanStopIt) {
  int seen = 0;
  const auto error = scan_object("{\"a\":1,\"b\":2,\"c\":3}", [&](const JsonMember&) { return ++seen < 2; });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->offset, 11U);
  EXPECT_EQ(seen, 2);
}

TEST(JsonUnescape, GivesTheTextInUtf8) {
  EXPECT_EQ(json_unescape(R"("plain")"), "plain");
  EXPECT_EQ(json_unescape(R"("")"), "");
  EXPECT_EQ(json_unescape(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(json_unescape(R"("\u0041\u00e9\u20AC\ud83d\ude00")"), "Aé€😀");
  EXPECT_EQ(json_unescape(R"("\u0000")"), "\0"s);
}

TEST(JsonUnescape, MakesHalfASurrogatePairTheReplacementCharacter) {
  EXPECT_EQ(json_unescape(R"("\ud800")"), "\ufffd");
  EXPECT_EQ(json_unescape(R"("\ud800x")"), "\ufffdx");
  EXPECT_EQ(json_unescape(R"("\udc00\ud800")"), "\ufffd\ufffd");
  EXPECT_EQ(json_unescape(R"("\ud800\ud83d\ude00")"), "\ufffd😀");
  EXPECT_EQ(json_unescape(R"("\ud800\u0041")"), "\ufffdA");
  EXPECT_EQ(json_unescape(R"("\ud800\n")"), "\ufffd\n");
}

TEST(JsonUnescape, RefusesWhatIsNoStringToken) {
  for (const std::string_view token : {"", "\"", "a", "1", "null", "\"a", "a\"", "\"a\"b", "\"\\\"", "\"\\u12\"",
                                       "\"\\q\"", "\"\x01\"", "\"\xff\"", " \"a\""}) {
    EXPECT_FALSE(json_unescape(token).has_value()) << token;
  }
}

TEST(JsonInt, TakesIntegersThatFitAndNothingElse) {
  EXPECT_EQ(json_int("0"), 0);
  EXPECT_EQ(json_int("-0"), 0);
  EXPECT_EQ(json_int("-17"), -17);
  EXPECT_EQ(json_int("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(json_int("-9223372036854775808"), INT64_MIN);
  for (const std::string_view token : {"", "-", "+1", "01", "-01", "5.0", "1e2", "1E2", "9223372036854775808",
                                       "-9223372036854775809", " 1", "1 ", "\"5\"", "x", "0x1"}) {
    EXPECT_FALSE(json_int(token).has_value()) << token;
  }
}

TEST(JsonName, PrefersTheExactNameAndElseIgnoresAsciiCase) {
  const std::vector<std::string_view> names{"runAt", "RUNAT", "command"};
  EXPECT_EQ(json_name("\"runAt\"", names), 0U);
  EXPECT_EQ(json_name("\"RUNAT\"", names), 1U);
  EXPECT_EQ(json_name("\"runat\"", names), 0U);
  EXPECT_EQ(json_name("\"CoMMand\"", names), 2U);
  EXPECT_EQ(json_name("\"comm\\u0061nd\"", names), 2U);
  EXPECT_FALSE(json_name("\"commands\"", names).has_value());
  EXPECT_FALSE(json_name("\"\"", names).has_value());
  EXPECT_FALSE(json_name("", names).has_value());
  EXPECT_FALSE(json_name("\"\\q\"", names).has_value());
}

TEST(JsonEscape, WritesAsGoDoes) {
  std::string out = "x";
  append_json_string(out, "a\"\\/\b\f\n\r\t\x01\x1f\x7f<>&é😀\u2028\u2029"s);
  EXPECT_EQ(out, R"(x"a\"\\/\b\f\n\r\t\u0001\u001f)"
                 "\x7f"
                 R"(\u003c\u003e\u0026é😀\u2028\u2029")");
}

TEST(JsonEscape, ReplacesEachByteThatIsNotUtf8) {
  std::string out;
  json_escape_append(out, "a\xff\xe2\x82z\xc3"s);
  EXPECT_EQ(out, R"(a\ufffd\ufffd\ufffdz\ufffd)");
}

TEST(JsonEscape, AnyBytesBecomeAValidStringAndUtf8ComesBack) {
  SeededRng rng(11);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(rng.next() % 40, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(rng.next());
    std::string out;
    append_json_string(out, bytes);
    EXPECT_FALSE(validate(out).has_value());
    std::string ascii = bytes;
    for (auto& byte : ascii) byte = static_cast<char>(byte & 0x7f);
    out.clear();
    append_json_string(out, ascii);
    EXPECT_EQ(json_unescape(out), ascii);
  }
}

}  // namespace
}  // namespace codeq::core
