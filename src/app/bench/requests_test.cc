#include "app/bench/requests.h"

#include <gtest/gtest.h>

#include "app/bench/answer.h"
#include "core/rfc3339.h"

namespace codeq::app {
namespace {

TEST(BenchPayload, HasItsSizeAndIsFoundAgain) {
  const PayloadMaker maker("run7", 300);
  std::string payload;
  maker.append(payload, 1'234'567);
  EXPECT_EQ(payload.size(), 300U);
  const auto mark = read_payload(payload);
  EXPECT_EQ(mark.run, "run7");
  EXPECT_EQ(mark.counts_from_ns, 1'234'567);
  payload.clear();
  PayloadMaker("run7", 2).append(payload, 1);
  EXPECT_EQ(read_payload(payload).run, "run7") << payload;
}

TEST(BenchPayload, OfSomebodyElseHasNoMark) {
  for (const auto* text : {"", "{}", R"({"t":")", R"({"t":"1","run":"r"})", R"({"t":"000000000000000000x","run":"r"})",
                           R"({"t":"0000000000000000001","run":"r)", R"({"t":"0000000000000000001","ran":"r"})"})
    EXPECT_EQ(read_payload(text).run, "") << text;
}

TEST(BenchRequests, TakeQueuesTenantsAndPrioritiesInTurn) {
  BenchOptions options;
  options.queues = 2;
  options.priorities = 3;
  options.tenants = {{"p0", "w0"}, {"p1", "w1"}, {"p2", "w2"}};
  BenchRequests requests(options, "run");
  for (int i = 0; i < 7; ++i) {
    const std::string text(requests.create(5, 0));
    const auto has = [&text](const std::string& part) { return text.find(part) != std::string::npos; };
    EXPECT_TRUE(has("Bearer p" + std::to_string(i % 3))) << text;
    EXPECT_TRUE(has("\"command\":\"BENCH-" + std::to_string(i % 2) + '"')) << text;
    EXPECT_TRUE(has("\"priority\":" + std::to_string(i % 3))) << text;
  }
  EXPECT_NE(requests.claim(4).find("Bearer w1"), std::string::npos);
  EXPECT_NE(requests.result(5, {{"id", 0, true}}).find("Bearer w2"), std::string::npos);
}

TEST(BenchRequests, ADelayedTaskNamesItsInstant) {
  BenchOptions options;
  options.delay_ms = 50;
  BenchRequests requests(options, "run");
  constexpr std::int64_t kWall = 1'700'000'000'123'000'000;
  const std::string text(requests.create(5, kWall));
  EXPECT_NE(text.find("\"runAt\":\"2023-11-14T22:13:20.123Z\""), std::string::npos) << text;
  EXPECT_EQ(core::parse_rfc3339(rfc3339_ms(kWall)), kWall);
}

TEST(BenchRequests, AnIdlePollAsksForWhatNobodyCreates) {
  const BenchOptions options;
  BenchRequests requests(options, "run");
  EXPECT_NE(requests.idle_claim().find(R"({"commands":["BENCH-IDLE"])"), std::string::npos);
}

}  // namespace
}  // namespace codeq::app
