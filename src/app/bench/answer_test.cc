#include "app/bench/answer.h"

#include <gtest/gtest.h>

namespace codeq::app {
namespace {

TEST(ParseAnswer, TakesAnAnswerOfItsContentLengthAndLeavesTheRest) {
  const std::string bytes = "HTTP/1.1 202 Accepted\r\ncontent-LENGTH: \t5 \r\nX: y\r\n\r\nhelloHTTP/1.1 204";
  Answer answer;
  ASSERT_EQ(parse_answer(bytes, answer), AnswerState::kDone);
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.size, bytes.size() - std::string("HTTP/1.1 204").size());
  EXPECT_FALSE(answer.close);
}

TEST(ParseAnswer, WaitsForMoreAtEveryByteOfAnAnswer) {
  const std::string bytes = "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}";
  Answer answer;
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(parse_answer(bytes.substr(0, size), answer), AnswerState::kMore) << size;
  ASSERT_EQ(parse_answer(bytes, answer), AnswerState::kDone);
  EXPECT_TRUE(answer.close);
}

TEST(ParseAnswer, NeedsNoLengthForNoContent) {
  Answer answer;
  ASSERT_EQ(parse_answer("HTTP/1.1 204\r\n\r\n", answer), AnswerState::kDone);
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
}

TEST(ParseAnswer, RefusesWhatABenchShouldNotMeet) {
  for (const std::string bytes :
       {"HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "hello\r\n\r\n",
        "\r\n\r\n"}) {
    Answer answer;
    EXPECT_EQ(parse_answer(bytes, answer), AnswerState::kBad) << bytes;
  }
  Answer answer;
  EXPECT_EQ(parse_answer("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 17, 'x'), answer), AnswerState::kBad);
}

TEST(FindClaimed, ReadsIdAndPayloadOfOneTaskAndOfMany) {
  const std::string one =
      R"({"id":"a-1","command":"B","payload":"{\"t\":\"123\",\"run\":\"r9\",\"fill\":\"\"}","status":"IN_PROGRESS"})";
  std::vector<ClaimedTask> tasks;
  find_claimed(one, tasks);
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].id, "a-1");
  EXPECT_EQ(tasks[0].run, "r9");
  EXPECT_EQ(tasks[0].created_ns, 123);

  const std::string many = R"({"tasks":[{"id":"a","payload":"{\"id\":\"x\"}"},)" + one +
                           R"(,{"id":"c","payload":"{\"t\":\"7\",\"run\":\"r9\"}"}]})";
  tasks.clear();
  find_claimed(many, tasks);
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_EQ(tasks[0].id, "a");
  EXPECT_EQ(tasks[0].run, "") << "nothing is borrowed from the next task";
  EXPECT_EQ(tasks[1].id, "a-1");
  EXPECT_EQ(tasks[2].created_ns, 7);
}

TEST(FindClaimed, MakesNothingOutOfOtherText) {
  std::vector<ClaimedTask> tasks;
  for (const auto* text : {"", "{}", R"({"id":")", R"({"id":"")", R"("id":"\)", R"({"error":"x"})"})
    find_claimed(text, tasks);
  EXPECT_TRUE(tasks.empty());
}

TEST(InfoLabel, FindsTheLabelOfASampleAndNothingElse) {
  const std::string page =
      "# HELP codeq_durability_info mode\n# TYPE codeq_durability_info gauge\n"
      "codeq_durability_info_other{mode=\"no\"} 1\ncodeq_durability_info{amode=\"x\",mode=\"sync\"} 1\ncodeq_tracing_info{sampling=\"0.5\"} 1";
  EXPECT_EQ(info_label(page, "codeq_durability_info", "mode"), "sync");
  EXPECT_EQ(info_label(page, "codeq_tracing_info", "sampling"), "0.5");
  EXPECT_EQ(info_label(page, "codeq_tracing_info", "ratio"), "unknown");
  EXPECT_EQ(info_label("", "codeq_tracing_info", "sampling"), "unknown");
  EXPECT_EQ(info_label("codeq_tracing_info{sampling=\"0", "codeq_tracing_info", "sampling"), "unknown");
}

}  // namespace
}  // namespace codeq::app
