#include "app/client/login.h"

#include <fmt/format.h>

#include "app/client/api.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

constexpr const char* kLoginUrl = "{{iamBaseUrl}}/signInWithPassword?key={{apiKey}}";
constexpr const char* kLoginBody = R"({"email":{{email}},"password":{{password}}})";
constexpr const char* kExchangeUrl = "{{iamBaseUrl}}/token/exchange?key={{apiKey}}";
constexpr const char* kJson = "application/json";
constexpr const char* kAudience = "codeq-producer";

using Text = std::optional<std::string>;

std::string choose(const Text& flag, const Text& stored, const char* otherwise) {
  return flag ? *flag : stored ? *stored : otherwise;
}

// "Name: value" of a flag.
Result<std::pair<std::string, std::string>> split_header(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0)
    return fail(Code::kInvalidArgument, "a header is written \"Name: value\"");
  auto value = line.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  return std::pair(std::string(line.substr(0, colon)), std::string(value));
}

// The profile's headers, those of the flags over them.
Result<Headers> all_headers(const Headers& stored, const std::vector<std::string>& flags, const Values& values) {
  Headers lines = stored;
  for (const auto& flag : flags) {
    CODEQ_TRY(auto line, split_header(flag));
    std::erase_if(lines, [&](const auto& known) { return known.first == line.first; });
    lines.push_back(std::move(line));
  }
  for (auto& [name, value] : lines) { CODEQ_TRY(value, fill(value, values, Place::kHeader)); }
  return lines;
}

Place place_of(std::string_view content_type) {
  return content_type.find("json") != std::string_view::npos             ? Place::kJson
         : content_type.starts_with("application/x-www-form-urlencoded") ? Place::kForm
                                                                         : Place::kHeader;
}

Values common_values(const Settings& settings) {
  Values values;
  values.base = settings.iam_base_url;
  values.texts["iambaseurl"] = settings.iam_base_url;
  values.texts["apikey"] = settings.iam_api_key;
  values.texts["iamapikey"] = settings.iam_api_key;
  return values;
}

}  // namespace

Result<TokenRequest> login_request(const Settings& settings, const LoginArguments& arguments, const LoginInput& input) {
  const auto& stored = settings.profile.login;
  auto values = common_values(settings);
  values.texts["email"] = input.email;
  values.texts["password"] = input.password;
  TokenRequest out{.http = {}, .token_path = choose(arguments.token_path, stored.token_path, "idToken")};
  const auto content_type = choose(arguments.content_type, stored.content_type, kJson);
  out.http.method = choose(arguments.method, stored.method, "POST");
  CODEQ_TRY(out.http.url, fill(choose(arguments.url, stored.url_template, kLoginUrl), values, Place::kUrl));
  CODEQ_TRY(out.http.headers, all_headers(stored.headers, arguments.headers, values));
  out.http.headers.emplace_back("Content-Type", content_type);
  if (out.http.method == "GET") return out;
  const auto body = !input.payload.empty() ? input.payload : stored.body_template.value_or(kLoginBody);
  const auto place = place_of(content_type);
  CODEQ_TRY(auto filled, fill(body, values, place));
  if (place == Place::kJson && !core::valid_json(filled))
    return fail(Code::kInvalidArgument, "the login's payload is not JSON");
  out.http.body = std::move(filled);
  return out;
}

Result<TokenRequest> exchange_request(const Settings& settings, const LoginArguments& arguments,
                                      const std::string& id_token) {
  const auto& stored = settings.profile.exchange;
  auto values = common_values(settings);
  values.texts["idtoken"] = id_token;
  const auto audience = choose(arguments.audience, stored.audience, kAudience);
  const auto tenant = choose(arguments.tenant_id, stored.tenant_id, "");
  const auto& scopes = arguments.scopes.empty() ? stored.scopes : arguments.scopes;
  values.texts["audience"] = audience;
  values.texts["tenantid"] = tenant;
  values.lists["scopes"] = scopes;
  TokenRequest out{.http = {}, .token_path = choose(arguments.exchange_token_path, stored.token_path, "accessToken")};
  const auto content_type = choose(arguments.exchange_content_type, stored.content_type, kJson);
  out.http.method = choose(arguments.exchange_method, stored.method, "POST");
  CODEQ_TRY(out.http.url, fill(choose(arguments.exchange_url, stored.url_template, kExchangeUrl), values, Place::kUrl));
  CODEQ_TRY(out.http.headers, all_headers(stored.headers, arguments.exchange_headers, values));
  out.http.headers.emplace_back("Content-Type", content_type);
  if (out.http.method == "GET") return out;
  const auto place = place_of(content_type);
  std::string body;
  if (place == Place::kForm) {
    body = "idToken={{idToken}}&audience={{audience}}";
    if (!tenant.empty()) body += "&tenantId={{tenantId}}";
    if (!scopes.empty()) body += "&scopes={{scopes}}";
  } else {
    body = R"({"idToken":{{idToken}},"audience":{{audience}})";
    if (!tenant.empty()) body += R"(,"tenantId":{{tenantId}})";
    if (!scopes.empty()) body += R"(,"scopes":{{scopes}})";
    body += '}';
  }
  CODEQ_TRY(out.http.body, fill(body, values, place == Place::kForm ? Place::kForm : Place::kJson));
  return out;
}

Result<std::string> token_in(std::string_view json, std::string_view path) {
  const auto missing = [&] {
    return fail(Code::kInvalidBody, fmt::format("the identity service's answer has no text at `{}`", path));
  };
  auto rest = path;
  while (true) {
    const auto dot = rest.find('.');
    const Members members(json);
    const auto found = members.raw(rest.substr(0, dot));
    if (dot == std::string_view::npos) {
      auto token = core::json_unescape(found);
      if (!token || token->empty()) return missing();
      return *std::move(token);
    }
    if (found.empty()) return missing();
    json = found;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace codeq::app::client
