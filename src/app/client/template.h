// Fills `{{name}}` in the templates of a login: its URL, its headers, its body.
//
// Shape    a placeholder is `{{name}}`, `{{ name }}` or `{{.Name}}`; letter case and `_` in names do not count
// Escapes  what is filled in cannot leave its place: percent-encoded in a URL or a form, JSON text in a JSON body (with the
//          quotes where the template has none), one line in a header
// Errors   kInvalidArgument: a placeholder that nobody knows or that is not closed; control characters in a header
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace codeq::app::client {

enum class Place : std::uint8_t { kUrl, kForm, kJson, kHeader };

struct Values {
  std::map<std::string, std::string> texts;  // names in lower case without `_`
  std::map<std::string, std::vector<std::string>> lists;  // a JSON array, elsewhere joined by spaces
  std::string base;  // `iamBaseUrl` in a URL: stands as it is
};

Result<std::string> fill(std::string_view text, const Values& values, Place place);

std::string percent_encode(std::string_view text);

}  // namespace codeq::app::client
