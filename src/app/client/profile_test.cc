#include "app/client/profile.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace codeq::app::client {
namespace {

Profile profile(std::string_view text, std::string_view name) {
  const auto file = ProfileFile::parse(text, "config.yaml");
  EXPECT_TRUE(file) << file.error().message;
  const auto found = file->find(name);
  EXPECT_TRUE(found && *found);
  return found && *found ? **found : Profile{};
}

TEST(ProfileFile, EveryFieldOfTheReferencesShapeIsRead) {
  const auto out = profile(R"(
currentProfile: a
profiles:
  a:
    baseUrl: http://b:1
    iamBaseUrl: http://iam
    iamApiKey: key
    token: t
    producerToken: p
    workerToken: w
    admin: true
    auth:
      login: {urlTemplate: u, method: PUT, headers: {X-Key: "{{apiKey}}"}, bodyTemplate: b, contentType: c, tokenPath: a.b}
      exchange: {urlTemplate: eu, method: POST, headers: {X: y}, contentType: ec, tokenPath: et, audience: aud, tenantId: ten, scopes: [s1, s2]}
)",
                           "a");
  EXPECT_EQ(out.base_url, "http://b:1");
  EXPECT_EQ(out.iam_base_url, "http://iam");
  EXPECT_EQ(out.iam_api_key, "key");
  EXPECT_EQ(out.token, "t");
  EXPECT_EQ(out.producer_token, "p");
  EXPECT_EQ(out.worker_token, "w");
  EXPECT_EQ(out.admin, true);
  EXPECT_EQ(out.login.url_template, "u");
  EXPECT_EQ(out.login.method, "PUT");
  EXPECT_EQ(out.login.headers, (Headers{{"X-Key", "{{apiKey}}"}}));
  EXPECT_EQ(out.login.body_template, "b");
  EXPECT_EQ(out.login.token_path, "a.b");
  EXPECT_EQ(out.exchange.audience, "aud");
  EXPECT_EQ(out.exchange.tenant_id, "ten");
  EXPECT_EQ(out.exchange.scopes, (std::vector<std::string>{"s1", "s2"}));
}

TEST(ProfileFile, WhatWeDoNotKnowIsKeptWhenTheFileIsWritten) {
  auto file =
      ProfileFile::parse("profiles: {a: {baseUrl: 'http://x', theirs: {deep: [1, two, 'true']}}}\nother: yes\n", "f");
  ASSERT_TRUE(file);
  file->set("a", "token", "true");
  file->set_flag("b", "admin", false);
  file->set_current("b");
  const auto text = file->to_yaml();
  const auto again = ProfileFile::parse(text, "f");
  ASSERT_TRUE(again) << text;
  EXPECT_EQ(again->current(), "b");
  EXPECT_EQ((*again->find("a"))->token, "true");
  EXPECT_EQ((*again->find("b"))->admin, false);
  EXPECT_NE(text.find("theirs"), std::string::npos) << text;
  EXPECT_NE(text.find("two"), std::string::npos) << text;
  EXPECT_NE(text.find("other"), std::string::npos) << text;
}

TEST(ProfileFile, AnyTokenComesBackAsItWas) {
  for (const std::string token :
       {"null", "~", "123", "a: b", "#x", "\"quoted\"", "line\nbreak", " edge ", "{{x}}", "é"}) {
    auto file = ProfileFile::parse("", "f");
    file->set("a", "token", token);
    const auto again = ProfileFile::parse(file->to_yaml(), "f");
    ASSERT_TRUE(again) << file->to_yaml();
    EXPECT_EQ((*again->find("a"))->token, token);
  }
}

TEST(ProfileFile, AWrongKindOfValueIsNamedWithItsLineAndWithoutItsText) {
  const auto file = ProfileFile::parse("profiles:\n  a:\n    token: [secret-one]\n", "config.yaml");
  ASSERT_TRUE(file);
  const auto found = file->find("a");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("config.yaml: line 3: `token`"), std::string::npos) << found.error().message;
  EXPECT_EQ(found.error().message.find("secret-one"), std::string::npos);
  EXPECT_FALSE(ProfileFile::parse("- a list", "f"));
  EXPECT_FALSE(ProfileFile::parse("profiles: text", "f"));
  EXPECT_FALSE(ProfileFile::parse("a: [", "f"));
}

TEST(ProfileFile, IsWrittenForItsOwnerAlone) {
  std::string name = ::testing::TempDir() + "codeq-profile.XXXXXX";
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const std::filesystem::path path = std::filesystem::path(name) / "new" / "config.yaml";
  auto file = ProfileFile::load(path);
  ASSERT_TRUE(file) << "a file that is not there is an empty one";
  file->set("a", "token", "t");
  ASSERT_TRUE(file->save(path));
  struct stat found{};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  ASSERT_EQ(stat(path.parent_path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1)
      << "nothing else is left there";
  const auto again = ProfileFile::load(path);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again->find("a"))->token, "t");
  std::filesystem::remove_all(name);
}

TEST(ProfileFile, LiesWhereTheVariableSaysElseAtHome) {
  const auto with = [](const char* folder, const char* home) {
    return profile_path([=](const char* name) { return std::string_view(name) == "HOME" ? home : folder; });
  };
  EXPECT_EQ(*with("/c", "/h"), "/c/config.yaml");
  EXPECT_EQ(*with(nullptr, "/h"), "/h/.codeq/config.yaml");
  EXPECT_FALSE(with(nullptr, nullptr));
}

}  // namespace
}  // namespace codeq::app::client
