#include "transport/http/router.h"

#include <gtest/gtest.h>

namespace codeq::transport::http {
namespace {

using Kind = Match::Kind;

TEST(Router, EveryPathFindsItsRoute) {
  const auto id_of = [](Method method, std::string_view target) {
    const auto found = match(method, target);
    EXPECT_EQ(found.kind, Kind::kRoute) << target;
    return found.route == nullptr ? RouteId::kMetrics : found.route->id;
  };
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks"), RouteId::kCreate);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks/batch"), RouteId::kCreateBatch);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks/claim"), RouteId::kClaim);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks/claim/batch"), RouteId::kClaimBatch);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks/batch/results"), RouteId::kSubmitBatch);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/tasks/batch/result"), RouteId::kSubmit);
  EXPECT_EQ(id_of(Method::kGet, "/v1/codeq/tasks/claim"), RouteId::kGetTask);
  EXPECT_EQ(id_of(Method::kGet, "http://h:1/livez"), RouteId::kLivez);
  EXPECT_EQ(id_of(Method::kGet, "/v1/codeq/tasks?state=dead"), RouteId::kListTasks);
  EXPECT_EQ(id_of(Method::kGet, "/v1/codeq/admin/queues/pause"), RouteId::kAdminQueue);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/admin/queues/pause/pause"), RouteId::kPauseQueue);
  EXPECT_EQ(id_of(Method::kPost, "/v1/codeq/webhooks/deliveries/7/replay"), RouteId::kReplayDelivery);
}

TEST(Router, AParameterIsTakenFromTheDecodedPath) {
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks/a%20b/result?waitSeconds=1").id, "a b");
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/t%61sks/x").id, "x");
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks/a%2Fb").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks/%zz").kind, Kind::kBadPath);
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks/%4").kind, Kind::kBadPath);
}

TEST(Router, ATrailingSlashIsARedirectAndAnythingElseIsNotFound) {
  const auto redirect = match(Method::kPost, "/v1/codeq/tasks/?a=b");
  EXPECT_EQ(redirect.kind, Kind::kRedirect);
  EXPECT_EQ(redirect.location, "/v1/codeq/tasks?a=b");
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks/claim/batch/").kind, Kind::kNotFound);  // no such route for GET
  EXPECT_EQ(match(Method::kHead, "/livez").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kOther, "/v1/codeq/tasks").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "/").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "*").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "//evil/livez/").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "/v1/codeq/tasks//result").kind, Kind::kNotFound);
  EXPECT_EQ(match(Method::kGet, "").kind, Kind::kNotFound);
}

TEST(Router, AQueryValueIsDecoded) {
  std::string value;
  EXPECT_TRUE(query_value("a=1&waitSeconds=5&b", "waitSeconds", value));
  EXPECT_EQ(value, "5");
  EXPECT_TRUE(query_value("a=1&b", "b", value));
  EXPECT_EQ(value, "");
  EXPECT_TRUE(query_value("%61=x%20y+z", "a", value));
  EXPECT_EQ(value, "x y z");
  EXPECT_FALSE(query_value("aa=1&=2&&", "a", value));
}

}  // namespace
}  // namespace codeq::transport::http
