// The description of the whole HTTP interface, api/openapi.yaml as JSON. Made at build time by cmake/openapi_gen.cc.
#pragma once

#include <string_view>

namespace codeq::transport::http {

std::string_view openapi_json();

}  // namespace codeq::transport::http
