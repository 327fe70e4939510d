#include "observe/otlp/export_answer.h"

#include <gtest/gtest.h>

namespace codeq::observe {
namespace {

using Outcome = ExportAnswer::Outcome;

RawAnswer grpc(int status) { return {.http_status = 200, .grpc_status = status, .is_grpc = true}; }

TEST(ExportAnswer, OnlyTheCodesThatTheSpecificationListsAreTriedAgain) {
  EXPECT_EQ(judge(grpc(0)).outcome, Outcome::kDelivered);
  for (const int code : {1, 4, 10, 11, 14, 15}) EXPECT_EQ(judge(grpc(code)).outcome, Outcome::kRetry) << code;
  for (const int code : {2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 99})
    EXPECT_EQ(judge(grpc(code)).outcome, Outcome::kRefused) << code;
}

TEST(ExportAnswer, ResourceExhaustedIsTriedAgainWhereTheCollectorSaysSo) {
  RawAnswer answer = grpc(8);
  // google.rpc.Status{code: 8, details: [Any{type_url: "type.googleapis.com/google.rpc.RetryInfo"}]}
  read_answer_header("grpc-status-details-bin: CAgaKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbw\r\n",
                     answer);
  EXPECT_TRUE(answer.retry_info);
  EXPECT_EQ(judge(answer).outcome, Outcome::kRetry);
}

TEST(ExportAnswer, AProxysStatusStandsInForAMissingGrpcStatus) {
  EXPECT_EQ(judge({.http_status = 503}).outcome, Outcome::kRetry);
  EXPECT_EQ(judge({.http_status = 429}).outcome, Outcome::kRetry);
  EXPECT_EQ(judge({.http_status = 404}).outcome, Outcome::kRefused);
  EXPECT_EQ(judge({.http_status = 200}).outcome, Outcome::kRefused);
  EXPECT_EQ(judge({.http_status = 200, .is_grpc = true}).outcome, Outcome::kRetry);
}

TEST(ExportAnswer, RejectedSpansOfAPartialSuccessAreCounted) {
  RawAnswer answer = grpc(0);
  const std::string message(
      "\x0a\x08\x08\x03\x12\x04"
      "full",
      10);
  answer.body = std::string("\0\0\0\0\x0a", 5) + message;
  EXPECT_EQ(judge(answer).outcome, Outcome::kDelivered);
  EXPECT_EQ(judge(answer).rejected_spans, 3U);
  EXPECT_EQ(judge(answer).what, "full");
  answer.body.resize(answer.body.size() - 2);  // torn: delivered all the same
  EXPECT_EQ(judge(answer).outcome, Outcome::kDelivered);
}

TEST(ExportAnswer, HeaderLinesAreReadWithOddSpacingAndNonsenseIsNotOk) {
  RawAnswer answer;
  read_answer_header("content-type:application/grpc+proto\r\n", answer);
  read_answer_header("grpc-message: no such thing\r\n", answer);
  read_answer_header("HTTP/2 200", answer);
  read_answer_header("grpc-status: 0x\r\n", answer);
  EXPECT_TRUE(answer.is_grpc);
  EXPECT_EQ(answer.grpc_status, 2);
  EXPECT_EQ(judge(answer).what, "grpc-status 2: no such thing");
}

}  // namespace
}  // namespace codeq::observe
