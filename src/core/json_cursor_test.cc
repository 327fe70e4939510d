#include "core/json_cursor.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace codeq::core {
namespace {

using namespace std::string_view_literals;

// Into every array and object; strings and what is neither are passed.
bool walk(JsonCursor& in) {
  std::string_view bytes;
  std::string room;
  switch (in.next()) {
    case JsonType::kObject:
      if (!in.enter_object()) return false;
      while (in.member(bytes)) {
        if (!walk(in)) return false;
      }
      return !in.failed();
    case JsonType::kArray:
      if (!in.enter_array()) return false;
      while (in.element()) {
        if (!walk(in)) return false;
      }
      return !in.failed();
    case JsonType::kString: return in.string(bytes, room);
    default: return in.value();
  }
}

std::string walked(std::string_view text, std::size_t depth_max) {
  JsonCursor in(text, depth_max);
  if (walk(in) && in.end()) return "";
  return std::to_string(in.error().offset) + " " + std::string(in.error().reason);
}

std::string validated(std::string_view text, std::size_t depth_max) {
  const auto error = validate(text, depth_max);
  return error ? std::to_string(error->offset) + " " + std::string(error->reason) : "";
}

TEST(JsonCursor, AWalkThroughAllLevelsAcceptsAndRefusesWhatOnePassDoes) {
  constexpr std::array kSeeds{
      R"({"command":"A","payload":{"jobId":"j-123","n":1.50e+02},"priority":5,"runAt":null})"sv,
      R"([null,true,false,0,-0.5E-1,"",[],{},"\"\\\/\b\f\n\r\t and a long piece of plain text behind it"])"sv,
      "[\"é€😀\u2028\", {\"a\" : [ { } , [ ] ]}]"sv,
      R"({"tasks":[{"command":"A"},{"command":"A","payload":[[[1]]]},{}],"more":{"x":{"y":{"z":[1,2,3]}}}})"sv,
  };
  constexpr auto kPieces = "{}[],:\"\\0123456789-+.eEtruefalsn \t\n/bu'\xc3\xa9\xed\xa0\x80\xff\0\x7f"sv;
  SeededRng rng(20261128);
  const auto pick = [&rng](std::size_t count) { return static_cast<std::size_t>(rng.next() % count); };
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text(kSeeds[pick(kSeeds.size())]);
    for (auto changes = pick(4); changes > 0; --changes) {
      const auto at = pick(text.size() + 1);
      switch (pick(3)) {
        case 0: text.insert(at, 1, kPieces[pick(kPieces.size())]); break;
        case 1: text.erase(at, 1 + pick(3)); break;
        default:
          text.resize(at);
          text += kSeeds[pick(kSeeds.size())].substr(pick(40));
          break;
      }
    }
    const auto depth_max = 1 + pick(6);
    const auto expected = validated(text, depth_max);
    ASSERT_EQ(walked(text, depth_max), expected) << text << " to the depth of " << depth_max;
    refused += expected.empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 2'000);
  EXPECT_LT(refused, 18'000);
}

TEST(JsonCursor, AStringsTextIsBorrowedUnlessItHadToBeConverted) {
  const std::string text = R"(["plain","tab\there"])";
  JsonCursor in(text);
  std::string_view found;
  std::string room;
  ASSERT_TRUE(in.enter_array() && in.element() && in.string(found, room) && in.element());
  EXPECT_EQ(found, "plain");
  EXPECT_EQ(found.data(), text.data() + 2);
  ASSERT_TRUE(in.string(found, room));
  EXPECT_EQ(found, "tab\there");
  EXPECT_FALSE(in.element());
  EXPECT_FALSE(in.failed());
  EXPECT_TRUE(in.end());
}

TEST(JsonCursor, GoingBackForgetsAnErrorAndWhatWasOpen) {
  JsonCursor in(R"([{"a":[1,"x"]},2])");
  ASSERT_TRUE(in.enter_array() && in.element());
  const auto place = in.place();
  std::string_view key;
  std::string text;
  ASSERT_TRUE(in.enter_object() && in.member(key) && in.enter_array() && in.element());
  ASSERT_FALSE(in.string(text));
  ASSERT_TRUE(in.failed());
  in.back_to(place);
  ASSERT_FALSE(in.failed());
  EXPECT_TRUE(in.value(key));
  EXPECT_EQ(key, R"({"a":[1,"x"]})");
  EXPECT_TRUE(in.element() && in.value() && !in.element() && in.end());
}

// Every byte that needs care, at every distance from the ends of the sixteen that are looked at together.
TEST(JsonCursor, AByteThatNeedsCareIsSeenWhereverItStands) {
  for (std::size_t length = 0; length < 40; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (const char c : {'\x1f', '\0', '\x80', '\xff', '"'}) {
        auto text = '"' + std::string(length, 'x') + '"';
        text[1 + at] = c;
        EXPECT_FALSE(valid_json(text)) << length << " " << at;
      }
      auto text = '"' + std::string(length, '\x7f') + '"';
      EXPECT_TRUE(valid_json(text));
      text.insert(1 + at, "\\n");
      EXPECT_EQ(json_unescape(text), std::string(at, '\x7f') + '\n' + std::string(length - at, '\x7f'));
    }
  }
}

}  // namespace
}  // namespace codeq::core
