// The description and the routes are one list, told twice.
#include "transport/http/openapi.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <set>
#include <string>

#include "transport/http/router.h"

namespace codeq::transport::http {
namespace {

std::string described(const Route& route) {  // "GET /v1/codeq/tasks/:id" -> "get /v1/codeq/tasks/{id}"
  std::string text;
  bool method = true, name = false;
  for (const char c : route.span_name) {
    if (c == ' ') method = false;
    if (c == '/' && std::exchange(name, false)) text += '}';
    if (c == ':') {
      name = true;
      text += '{';
      continue;
    }
    text += method ? static_cast<char>(std::tolower(static_cast<unsigned char>(c))) : c;
  }
  if (name) text += '}';
  return text;
}

simdjson::dom::element document(simdjson::dom::parser& parser) {
  simdjson::dom::element root;
  EXPECT_EQ(parser.parse(simdjson::padded_string(openapi_json())).get(root), simdjson::SUCCESS);
  return root;
}

TEST(OpenApi, EveryRouteIsDescribedAndEverythingDescribedIsARoute) {
  simdjson::dom::parser parser;
  const auto root = document(parser);
  std::set<std::string> there, told;
  for (const auto& route : routes()) EXPECT_TRUE(there.insert(described(route)).second) << described(route);
  for (const auto& [path, item] : simdjson::dom::object(root["paths"]))
    for (const auto& [key, operation] : simdjson::dom::object(item))
      if (key != "parameters") told.insert(std::string(key) + " " + std::string(path));
  for (const auto& route : there) EXPECT_TRUE(told.contains(route)) << route << " is not in api/openapi.yaml";
  for (const auto& route : told) EXPECT_TRUE(there.contains(route)) << route << " is in api/openapi.yaml only";
}

TEST(OpenApi, EveryOperationHasANameOfItsOwnAndTellsWhatItMayAnswer) {
  simdjson::dom::parser parser;
  const auto root = document(parser);
  EXPECT_EQ(std::string_view(root["openapi"]), "3.1.0");
  std::set<std::string> ids;
  for (const auto& route : routes()) {
    const auto text = described(route);
    const auto space = text.find(' ');
    simdjson::dom::object operation;
    ASSERT_EQ(root["paths"][text.substr(space + 1)][text.substr(0, space)].get(operation), simdjson::SUCCESS) << text;
    EXPECT_TRUE(ids.insert(std::string(std::string_view(operation["operationId"]))).second) << text;
    const auto responses = simdjson::dom::object(operation["responses"]);
    const auto tells = [&](const char* status) { return responses[status].error() == simdjson::SUCCESS; };
    if (route.auth == AuthKind::kNone) {
      EXPECT_EQ(simdjson::dom::array(operation["security"]).size(), 0U) << text;
    } else {
      EXPECT_TRUE(tells("401") && tells("503")) << text;
    }
    if (!route.scope.empty()) EXPECT_TRUE(tells("403")) << text;
  }
}

TEST(OpenApi, PlainScalarsKeepTheirTypes) {
  simdjson::dom::parser parser;
  const auto root = document(parser);
  EXPECT_TRUE(root["info"]["version"].is_string());
  EXPECT_TRUE(root["components"]["schemas"]["Task"]["properties"]["maxAttempts"]["minimum"].is_int64());
  EXPECT_TRUE(root["paths"]["/v1/codeq/tasks"]["post"]["requestBody"]["required"].is_bool());
}

}  // namespace
}  // namespace codeq::transport::http
