// The JSON that configures a validator. Internal to services/auth.
//
// Errors   kInvalidArgument with the reason; never a value, which may be a secret
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "services/auth/validator.h"

namespace codeq::services::auth {

using Json = simdjson::dom::element;

std::unexpected<Error> refuse(std::string why);
// The value of a member, or the complaint; null is the empty value.
Result<std::string> text_of(std::string_view name, const Json& value);
Result<std::vector<std::string>> texts_of(std::string_view name, const Json& value);
Result<std::int64_t> integer_of(std::string_view name, const Json& value);

// By type name; `json`: nothing where there is no configuration.
Result<std::unique_ptr<Validator>> make_validator(std::string_view type, const std::optional<Json>& json,
                                                  Shared& shared);
Result<std::unique_ptr<Validator>> make_static(const std::optional<Json>& json);
Result<std::unique_ptr<Validator>> make_multi(const std::optional<Json>& json, Shared& shared);
Result<std::unique_ptr<Validator>> make_jwks(const std::optional<Json>& json, Shared& shared);

}  // namespace codeq::services::auth
