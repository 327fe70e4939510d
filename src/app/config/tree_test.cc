#include "app/config/tree.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

std::string why(std::string_view yaml) {
  const auto tree = parse_yaml(yaml);
  return tree ? "accepted" : tree.error().message;
}

std::string json(std::string_view yaml) {
  const auto tree = parse_yaml(yaml);
  return tree ? to_json(*tree) : tree.error().message;
}

TEST(ConfigTree, KeepsLinesAndOrder) {
  const auto tree = parse_yaml("b: 1\n\na:\n  - x\n  - y\n");
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->keys, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(tree->key_lines, (std::vector<int>{1, 3}));
  ASSERT_EQ(tree->items.size(), 2U);
  EXPECT_EQ(tree->items[1].items.at(1).line, 5);
}

TEST(ConfigTree, AnEmptyTextIsNull) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
    const auto tree = parse_yaml(text);
    ASSERT_TRUE(tree) << text;
    EXPECT_EQ(tree->kind, Tree::Kind::kNull) << text;
  }
}

TEST(ConfigTree, QuotedScalarsAreStringsInJsonAndPlainOnesWhatTheyLookLike) {
  EXPECT_EQ(json("[1, '1', -2.5e3, 01, 1., true, 'true', yes, ~, '', 0x1F, !!str 5]"),
            R"([1,"1",-2.5e3,"01","1.",true,"true","yes",null,"","0x1F","5"])");
  EXPECT_EQ(json("a: \"q\\\"\\\\\\n\""), R"({"a":"q\"\\\u000a"})");
}

TEST(ConfigTree, AliasesAnchorsTagsAndSecondDocumentsAreRefused) {
  EXPECT_EQ(why("a: &x 1\nb: *x\n"), "line 1: anchors are not accepted");
  EXPECT_NE(why("a: *x\n"), "accepted");
  EXPECT_EQ(why("a: !!binary 1\n"), "line 1: tags other than !!str are not accepted");
  EXPECT_EQ(why("a: !x {}\n"), "line 1: tags other than !!str are not accepted");
  EXPECT_EQ(why("a: 1\n---\nb: 2\n"), "line 2: a second document; one is read");
  EXPECT_EQ(why("[a]: 1\n"), "line 1: a key must be a plain word");
}

TEST(ConfigTree, DepthIsBoundedInEveryNotation) {
  const auto nested = [](const std::string& open, int levels) {
    std::string text;
    for (int i = 0; i < levels; ++i) text += open;
    return text;
  };
  EXPECT_EQ(why(nested("[", kConfigDepthMax) + nested("]", kConfigDepthMax)), "accepted");
  EXPECT_EQ(why(nested("[", 33) + nested("]", 33)), "line 1: nested deeper than 32 levels");
  EXPECT_NE(why(nested("[", 500'000)), "accepted");
  EXPECT_NE(why(nested("{a: ", 200'000)), "accepted");
  EXPECT_NE(why(nested("- ", 500'000)), "accepted");
  EXPECT_NE(why(nested("? ", 500'000)), "accepted");
  std::string indented;
  for (int i = 0; i < 1000; ++i) indented += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_NE(why(indented), "accepted");
}

TEST(ConfigTree, WhatIsNoTextIsRefused) {
  EXPECT_EQ(why("a: \xff\n"), "the file is not UTF-8 text");
  EXPECT_EQ(why(std::string("a: \0\n", 5)), "the file contains a NUL byte");
  EXPECT_EQ(why(std::string(kConfigBytesMax + 1, '#')), "the file is larger than 1 MiB");
}

TEST(ConfigTree, JsonTextBecomesTheSameTree) {
  const std::string text = R"({"a":[1,"1",null,true,{"b":-1.5}]})";
  const auto tree = parse_json(text, 7);
  ASSERT_TRUE(tree);
  EXPECT_EQ(to_json(*tree), text);
  EXPECT_EQ(tree->items[0].line, 7);
  EXPECT_FALSE(parse_json("{a: 1}", 1));
  EXPECT_FALSE(parse_json("{} {}", 1));
  EXPECT_FALSE(parse_json("", 1));
  EXPECT_FALSE(parse_json(std::string(100'000, '['), 1));
}

}  // namespace
}  // namespace codeq::app
