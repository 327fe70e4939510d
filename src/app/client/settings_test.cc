#include "app/client/settings.h"

#include <gtest/gtest.h>

#include <map>

namespace codeq::app::client {
namespace {

using Env = std::map<std::string, std::string>;

GetEnv from(const Env& env) {
  return [&env](const char* name) -> const char* {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  };
}

constexpr const char* kFile = R"(
currentProfile: work
profiles:
  work: {baseUrl: "https://work:1/", token: shared, workerToken: work-worker, admin: true}
  home: {baseUrl: "http://home:2", producerToken: home-producer}
)";

Settings settings(const ClientGlobals& globals, const Env& env, const char* text = kFile) {
  const auto file = ProfileFile::parse(text, "config.yaml");
  EXPECT_TRUE(file);
  const auto out = resolve(globals, *file, from(env), true);
  EXPECT_TRUE(out) << out.error().message;
  return out.value_or(Settings{});
}

TEST(Settings, WithoutAnythingThereAreTheReferencesDefaultsButNoTokenAndNoRole) {
  const auto out = settings({}, {}, "");
  EXPECT_EQ(out.profile_name, "default");
  EXPECT_EQ(out.base_url, "http://localhost:8080");
  EXPECT_EQ(out.iam_base_url, "https://api.storifly.ai/v1/accounts");
  EXPECT_EQ(out.producer_token, "");
  EXPECT_EQ(out.worker_token, "");
  EXPECT_FALSE(out.admin) << "not even for localhost";
}

TEST(Settings, AFlagBeatsTheEnvironmentWhichBeatsTheProfileWhichBeatsTheDefault) {
  EXPECT_EQ(settings({}, {}).base_url, "https://work:1");
  EXPECT_EQ(settings({}, {{"CODEQ_BASE_URL", "http://env:3/"}}).base_url, "http://env:3");
  ClientGlobals flags;
  flags.base_url = "http://flag:4//";
  EXPECT_EQ(settings(flags, {{"CODEQ_BASE_URL", "http://env:3/"}}).base_url, "http://flag:4");
  EXPECT_EQ(settings({}, {{"CODEQ_BASE_URL", ""}}).base_url, "https://work:1") << "an empty variable is not set";
}

TEST(Settings, TokensOfAProfileFallBackToItsCommonOne) {
  const auto work = settings({}, {});
  EXPECT_EQ(work.producer_token, "shared");
  EXPECT_EQ(work.worker_token, "work-worker");
  const auto env = settings({}, {{"CODEQ_PRODUCER_TOKEN", "p"}, {"CODEQ_WORKER_TOKEN", "w"}});
  EXPECT_EQ(env.producer_token, "p");
  EXPECT_EQ(env.worker_token, "w");
}

TEST(Settings, OneTokenServesBothSidesWhereThereIsNoOther) {
  const auto home = settings({}, {{"CODEQ_PROFILE", "home"}});
  EXPECT_EQ(home.worker_token, "");
  EXPECT_EQ(home.worker_or_producer(), "home-producer");
  EXPECT_EQ(home.producer_or_worker(), "home-producer");
}

TEST(Settings, TheProfileComesFromTheFlagElseTheVariableElseTheCurrentOne) {
  EXPECT_EQ(settings({}, {}).profile_name, "work");
  EXPECT_EQ(settings({}, {{"CODEQ_PROFILE", "home"}}).profile_name, "home");
  ClientGlobals flags;
  flags.profile = "work";
  EXPECT_EQ(settings(flags, {{"CODEQ_PROFILE", "home"}}).profile_name, "work");
}

TEST(Settings, AProfileThatSomebodyNamedMustBeThere) {
  const auto file = ProfileFile::parse(kFile, "config.yaml");
  ASSERT_TRUE(file);
  ClientGlobals flags;
  flags.profile = "nowhere";
  const auto missing = resolve(flags, *file, from({}), true);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no profile 'nowhere'"), std::string::npos);
  EXPECT_TRUE(resolve(flags, *file, from({}), false)) << "the commands that make it";
}

TEST(Settings, TheRoleIsSentOnlyWhereSomebodyAskedForIt) {
  EXPECT_TRUE(settings({}, {}).admin) << "the profile did";
  EXPECT_FALSE(settings({}, {{"CODEQ_ADMIN", "0"}}).admin);
  EXPECT_TRUE(settings({}, {{"CODEQ_ADMIN", "Yes"}, {"CODEQ_PROFILE", "home"}}).admin);
  ClientGlobals flags;
  flags.admin = false;
  EXPECT_FALSE(settings(flags, {{"CODEQ_ADMIN", "1"}}).admin);
}

TEST(Settings, ABaseUrlOfAnotherSchemeIsRefused) {
  const auto file = ProfileFile::parse("", "config.yaml");
  ClientGlobals flags;
  flags.base_url = "ftp://x";
  EXPECT_FALSE(resolve(flags, *file, from({}), true));
}

TEST(Settings, AMaskShowsTheEndsOfALongSecretAndNothingOfAShortOne) {
  EXPECT_EQ(masked(""), "(not set)");
  EXPECT_EQ(masked("12345678901"), "****");
  EXPECT_EQ(masked("abcdefghijklmnop"), "abcd...mnop");
}

TEST(Settings, ALoginsProfileIsNamedAfterTheAddress) {
  EXPECT_EQ(profile_of_email("jo.doe@example.com"), "jo_doe_example_com");
}

}  // namespace
}  // namespace codeq::app::client
