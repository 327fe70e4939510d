#include "app/client/outcome.h"

#include <gtest/gtest.h>

#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

using Act = Settlement::Act;
using Kind = HandlerEnd::Kind;

TEST(Output, AJsonObjectIsTheResultAsItStands) {
  EXPECT_EQ(result_of("{\"n\": 1e999, \"b\":9007199254740993}\n"), "{\"n\": 1e999, \"b\":9007199254740993}");
  EXPECT_EQ(result_of(" \n{}\n"), "{}");
}

TEST(Output, NothingIsAnEmptyResult) {
  EXPECT_EQ(result_of(""), "{}");
  EXPECT_EQ(result_of(" \r\n\t"), "{}");
}

TEST(Output, AnyOtherTextStandsUnderOutput) {
  EXPECT_EQ(result_of("  done: 3 \n\n"), R"({"output":"  done: 3 "})");
  EXPECT_EQ(result_of("[1,2]\n"), R"({"output":"[1,2]"})");
  EXPECT_EQ(result_of("{\"a\":1} trailing"), R"({"output":"{\"a\":1} trailing"})");
  EXPECT_EQ(result_of("{\"a\":"), R"({"output":"{\"a\":"})");
}

TEST(Output, NoiseIsReplacedAndStaysJson) {
  const std::string noise("\xff\x00\xfe{\"", 5);
  const auto result = result_of(noise);
  EXPECT_TRUE(core::valid_json(result)) << result;
  EXPECT_NE(result.find("\\u0000"), std::string::npos);
}

TEST(Output, AnObjectTooDeepForTheBrokerIsText) {
  const std::string deep = R"({"a":)" + std::string(70, '[') + std::string(70, ']') + "}";
  EXPECT_TRUE(result_of(deep).starts_with(R"({"output":)"));
}

HandlerEnd ended(Kind kind, int code, std::string output = "", std::string line = "") {
  return {.kind = kind, .code = code, .output = std::move(output), .output_over = false, .last_line = std::move(line)};
}

TEST(Outcome, StatusZeroCompletesAndAnyOtherFollowsTheRule) {
  EXPECT_EQ(settle_by(ended(Kind::kExited, 0, "{}"), {}).act, Act::kComplete);
  EXPECT_EQ(settle_by(ended(Kind::kExited, 1), {}).act, Act::kNack) << "nothing is lost unless asked for";
  EXPECT_EQ(settle_by(ended(Kind::kExited, 1), {.on_error = OnError::kFail}).act, Act::kFail);
  EXPECT_EQ(settle_by(ended(Kind::kExited, 1), {.on_error = OnError::kAbandon}).act, Act::kAbandon);
  EXPECT_EQ(settle_by(ended(Kind::kSignalled, 11), {}).reason, "killed by signal 11");
  EXPECT_EQ(settle_by(ended(Kind::kExited, 3, "", "no such page"), {}).reason, "exit status 3: no such page");
  EXPECT_EQ(settle_by(ended(Kind::kTimedOut, 15), {.timeout = std::chrono::milliseconds(1500)}).reason,
            "timed out after 1.5 s");
}

TEST(Outcome, Status75IsAlwaysRetried) {
  const auto later = settle_by(ended(Kind::kExited, 75), {.on_error = OnError::kFail, .nack_delay = 7});
  EXPECT_EQ(later.act, Act::kNack);
  EXPECT_EQ(later.delay, 7);
}

TEST(Outcome, ATaskWhoseLeaseIsLostIsLeftAloneAndAStoppedOneGoesBack) {
  EXPECT_EQ(settle_by(ended(Kind::kLeaseLost, 0, "{}"), {}).act, Act::kNothing);
  EXPECT_EQ(settle_by(ended(Kind::kStopped, 0, "{}"), {}).act, Act::kAbandon) << "whatever it says about itself";
}

TEST(Outcome, OutputBeyondTheBoundIsAnError) {
  auto over = ended(Kind::kExited, 0, "xxxx");
  over.output_over = true;
  const auto settlement = settle_by(over, {.on_error = OnError::kFail, .output_bytes_max = 4});
  EXPECT_EQ(settlement.act, Act::kFail);
  EXPECT_EQ(settlement.reason, "the handler wrote more than 4 bytes");
}

TEST(Outcome, OwnerCallsAreJsonAndCarryTheLeaseToken) {
  const auto done = owner_call({.act = Act::kComplete, .result = R"({"a":1})", .reason = {}}, "00000000000000ab");
  EXPECT_EQ(done.path, "/result");
  EXPECT_EQ(done.body, R"({"status":"COMPLETED","result":{"a":1},"leaseToken":"00000000000000ab"})");
  const auto failed = owner_call({.act = Act::kFail, .result = {}, .reason = "bad \"\xff"}, "");
  EXPECT_TRUE(core::valid_json(failed.body)) << failed.body;
  const auto nack = owner_call({.act = Act::kNack, .result = {}, .reason = "r", .delay = 5}, "");
  EXPECT_EQ(nack.body, R"({"reason":"r","delaySeconds":5})");
  EXPECT_EQ(owner_call({.act = Act::kAbandon, .result = {}, .reason = {}}, "").body, "{}");
}

}  // namespace
}  // namespace codeq::app::client
