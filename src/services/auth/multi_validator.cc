// Several validators, asked one after the other: the first that accepts decides.
#include <fmt/format.h>

#include "services/auth/config_json.h"
#include "services/auth/words.h"

namespace codeq::services::auth {
namespace {

class MultiValidator final : public Validator {
 public:
  explicit MultiValidator(std::vector<std::unique_ptr<Validator>> children) : children_(std::move(children)) {}
  std::optional<Result<IdentityPtr>> validate(const Presented& presented, Needs& needs) const override {
    std::string refusals;
    for (const auto& child : children_) {
      auto identity = child->validate(presented, needs);
      if (!identity) return std::nullopt;  // the order decides, so nobody after it is asked
      if (*identity) return identity;
      refusals += (refusals.empty() ? "" : "\n") + identity->error().message;
    }
    return fail(Code::kUnauthenticated, "multi auth: token rejected by every provider: " + refusals);
  }

 private:
  std::vector<std::unique_ptr<Validator>> children_;
};

}  // namespace

Result<std::unique_ptr<Validator>> make_multi(const std::optional<Json>& json, Shared& shared) {
  if (!json || json->is_null()) return refuse("multi auth: missing config");
  simdjson::dom::object object;
  if (json->get(object)) return refuse("multi auth: invalid config: an object is expected");
  simdjson::dom::array providers;
  if (object.at_key_case_insensitive("providers").get(providers) || providers.size() < 2 || providers.size() > 4) {
    return refuse("multi auth: providers must contain between 2 and 4 entries");
  }
  std::vector<std::unique_ptr<Validator>> children;
  std::size_t number = 0;
  for (const Json provider : providers) {
    ++number;
    std::string_view type;
    if (provider.at_key("type").get(type) || trimmed(type).empty() || same_word(trimmed(type), "multi")) {
      return refuse(fmt::format("multi auth: provider {} has an invalid type", number));
    }
    Json config;
    const bool has_config = !provider.at_key("config").get(config);
    auto child = make_validator(trimmed(type), has_config ? std::optional(config) : std::nullopt, shared);
    if (!child) return refuse(fmt::format("multi auth: configure provider {}: {}", number, child.error().message));
    children.push_back(std::move(*child));
  }
  return std::make_unique<MultiValidator>(std::move(children));
}

}  // namespace codeq::services::auth
