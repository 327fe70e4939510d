#include "services/auth/config_json.h"

#include <fmt/format.h>

#include "services/auth/words.h"

namespace codeq::services::auth {

std::unexpected<Error> refuse(std::string why) { return fail(Code::kInvalidArgument, std::move(why)); }

Result<std::string> text_of(std::string_view name, const Json& value) {
  if (value.is_null()) return std::string();
  std::string_view text;
  if (value.get(text)) return refuse(fmt::format("`{}` is not a string", name));
  return std::string(text);
}

Result<std::vector<std::string>> texts_of(std::string_view name, const Json& value) {
  std::vector<std::string> texts;
  if (value.is_null()) return texts;
  simdjson::dom::array array;
  if (value.get(array)) return refuse(fmt::format("`{}` is not a list of strings", name));
  for (const Json item : array) {
    std::string_view text;
    if (item.get(text)) return refuse(fmt::format("`{}` is not a list of strings", name));
    texts.emplace_back(text);
  }
  return texts;
}

Result<std::int64_t> integer_of(std::string_view name, const Json& value) {
  if (value.is_null()) return 0;
  std::int64_t number = 0;
  if (value.get(number)) return refuse(fmt::format("`{}` is not an integer", name));
  return number;
}

Result<std::unique_ptr<Validator>> make_validator(std::string_view type, const std::optional<Json>& json,
                                                  Shared& shared) {
  if (type == "static") return make_static(json);
  if (type == "multi") return make_multi(json, shared);
  if (type == "jwks") return make_jwks(json, shared);
  return refuse(fmt::format("unknown auth provider type: {}", type));
}

Result<std::unique_ptr<Validator>> make_validator(std::string_view type, std::string_view config, Shared& shared) {
  constexpr std::size_t kDepthMax = 32;
  if (type.empty()) return std::unique_ptr<Validator>();
  if (trimmed(config).empty()) return make_validator(type, std::nullopt, shared);
  simdjson::dom::parser parser;
  Json json;
  if (parser.allocate(config.size() + 1, kDepthMax) || parser.parse(simdjson::padded_string(config)).get(json)) {
    return refuse(fmt::format("{} auth: invalid config: not valid JSON", type));
  }
  return make_validator(type, std::optional(json), shared);
}

}  // namespace codeq::services::auth
