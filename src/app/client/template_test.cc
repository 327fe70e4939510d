#include "app/client/template.h"

#include <gtest/gtest.h>

#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

Values values() {
  Values out;
  out.base = "https://iam/v1";
  out.texts = {{"email", "a@b"}, {"password", R"(x","admin":true,"y":"\)"}, {"apikey", "k&1"}};
  out.lists = {{"scopes", {"one", "two\""}}};
  return out;
}

std::string filled(std::string_view text, Place place) {
  const auto out = fill(text, values(), place);
  EXPECT_TRUE(out) << out.error().message;
  return out.value_or("");
}

TEST(Template, NamesAreFoundHoweverTheyAreWritten) {
  for (const auto* text : {"{{email}}", "{{ email }}", "{{.Email}}", "{{ .EMAIL }}"})
    EXPECT_EQ(filled(text, Place::kHeader), "a@b") << text;
}

TEST(Template, AValueCannotLeaveItsStringInJson) {
  const auto inside = filled(R"({"password":"{{password}}"})", Place::kJson);
  EXPECT_TRUE(core::valid_json(inside)) << inside;
  const auto bare = filled(R"({"password":{{password}}})", Place::kJson);
  EXPECT_EQ(inside, bare) << "the quotes are added where the template has none";
  EXPECT_EQ(inside.find(R"("admin":true)"), std::string::npos) << inside;
}

TEST(Template, AnEscapedQuoteInATemplateDoesNotEndItsString) {
  EXPECT_EQ(filled(R"({"a":"\"{{email}}"})", Place::kJson), R"({"a":"\"a@b"})");
}

TEST(Template, AListIsAJsonArrayAndElsewhereItsWords) {
  EXPECT_EQ(filled("{{scopes}}", Place::kJson), R"(["one","two\""])");
  EXPECT_EQ(filled(R"("{{scopes}}")", Place::kJson), R"("one two\"")");
  EXPECT_EQ(filled("{{scopes}}", Place::kForm), "one%20two%22");
}

TEST(Template, AUrlIsPercentEncodedButForItsBase) {
  EXPECT_EQ(filled("{{iamBaseUrl}}/login?key={{apiKey}}&u={{email}}", Place::kUrl),
            "https://iam/v1/login?key=k%261&u=a%40b");
}

TEST(Template, WhatCannotBeFilledIsRefused) {
  EXPECT_FALSE(fill("{{nobody}}", values(), Place::kUrl));
  EXPECT_FALSE(fill("{{email", values(), Place::kUrl));
  auto two_lines = values();
  two_lines.texts["email"] = "a\r\nX-Role: ADMIN";
  EXPECT_FALSE(fill("{{email}}", two_lines, Place::kHeader));
}

}  // namespace
}  // namespace codeq::app::client
