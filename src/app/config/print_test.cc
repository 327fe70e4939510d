#include "app/config/print.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "app/config/keys.h"

namespace codeq::app {
namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
#define EXPECT_SAYS(text, part) EXPECT_PRED2(contains, text, part)

// `make golden`, or: codeq config docs > docs/configuration.md
TEST(ConfigDocs, ThePageIsWhatTheTableSays) {
  std::ifstream file(CODEQ_SOURCE_DIR "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), docs_markdown()) << "run: codeq config docs > docs/configuration.md";
}

TEST(ConfigDocs, EveryUsedKeyHasAHelpAndEveryOtherAnAdvice) {
  for (const KeyGroup& group : key_groups()) {
    for (const Key& key : group.keys) {
      if (key.status == KeyStatus::kUsed) {
        EXPECT_FALSE(key.help.empty()) << key.name;
      } else {
        EXPECT_FALSE(key.advice.empty()) << key.name;
      }
    }
  }
}

TEST(ConfigCheck, ShowsValuesWithTheirOriginAndHidesSecrets) {
  const auto loaded = load_config_text(
      "port: 9000\nredisPassword: canary1\nwebhookHmacSecret: canary2\nproducerAuthProvider: static\nproducerAuthConfig: {token: canary3}\n"
      "sharding: {backends: {a: {password: canary4}}}\n",
      "c.yaml", [](const char* name) { return std::string_view(name) == "DURABILITY" ? "none" : nullptr; });
  ASSERT_TRUE(loaded);
  const std::string text = check_text(*loaded);
  EXPECT_SAYS(text, "c.yaml:1\n");
  EXPECT_SAYS(text, "env DURABILITY\n");
  EXPECT_SAYS(text, "warning: redisPassword (c.yaml:2)");
  EXPECT_SAYS(text, "***");
  EXPECT_FALSE(contains(text, "canary")) << text;
}

TEST(ConfigExplain, KnowsKeysVariablesAndMappings) {
  EXPECT_SAYS(*explain_text("durability"), "DURABILITY");
  EXPECT_SAYS(*explain_text("durability"), "one of sync, interval, none");
  EXPECT_SAYS(*explain_text("PORT"), "port\n");
  EXPECT_SAYS(*explain_text("KVROCKS_PASSWORD"), "redisPassword\n");
  EXPECT_SAYS(*explain_text("raft"), "raft.peers\n");
  EXPECT_SAYS(*explain_text("persistenceConfig"), "persistenceConfig.path\n");
  EXPECT_SAYS(*explain_text("raft.enabled"), "true is refused");
}

TEST(ConfigExplain, SuggestsTheNearestName) {
  const auto text = explain_text("durabilty");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "unknown key `durabilty`; did you mean `durability`?");
  EXPECT_FALSE(explain_text(""));
}

}  // namespace
}  // namespace codeq::app
