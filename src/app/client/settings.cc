#include "app/client/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace codeq::app::client {
namespace {

std::optional<std::string> variable(const GetEnv& getenv, const char* name) {
  const char* value = getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

bool truthy(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text == "1" || text == "true" || text == "yes";
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string first_of(std::initializer_list<std::optional<std::string>> choices) {
  for (const auto& choice : choices)
    if (choice && !choice->empty()) return *choice;
  return "";
}

}  // namespace

ProfileChoice choose_profile(const ClientGlobals& globals, const ProfileFile& file, const GetEnv& getenv) {
  if (globals.profile && !globals.profile->empty()) return {*globals.profile, true};
  if (const auto named = variable(getenv, "CODEQ_PROFILE")) return {*named, true};
  const auto current = file.current();
  return {current.empty() ? "default" : current, false};
}

Result<Settings> resolve(const ClientGlobals& globals, const ProfileFile& file, const GetEnv& getenv, bool must_exist) {
  const auto choice = choose_profile(globals, file, getenv);
  CODEQ_TRY(auto stored, file.find(choice.name));
  if (!stored && must_exist && choice.named)
    return fail(Code::kInvalidArgument,
                fmt::format("there is no profile '{}'; `codeq init --profile {}` makes it", choice.name, choice.name));
  Settings out;
  out.profile_name = choice.name;
  if (stored) out.profile = *std::move(stored);
  const auto& profile = out.profile;
  out.base_url = without_slash(
      first_of({globals.base_url, variable(getenv, "CODEQ_BASE_URL"), profile.base_url, kDefaultBaseUrl}));
  out.iam_base_url = without_slash(first_of(
      {globals.iam_base_url, variable(getenv, "CODEQ_IAM_BASE_URL"), profile.iam_base_url, kDefaultIamBaseUrl}));
  out.iam_api_key = first_of({globals.iam_api_key, variable(getenv, "CODEQ_IAM_API_KEY"), profile.iam_api_key});
  out.producer_token = first_of(
      {globals.producer_token, variable(getenv, "CODEQ_PRODUCER_TOKEN"), profile.producer_token, profile.token});
  out.worker_token =
      first_of({globals.worker_token, variable(getenv, "CODEQ_WORKER_TOKEN"), profile.worker_token, profile.token});
  out.ca_file = first_of({globals.ca_file, variable(getenv, "CODEQ_CA_FILE"), profile.ca_file});
  out.client_cert = first_of({globals.client_cert, variable(getenv, "CODEQ_CLIENT_CERT"), profile.client_cert});
  out.client_key = first_of({globals.client_key, variable(getenv, "CODEQ_CLIENT_KEY"), profile.client_key});
  if (globals.admin) {
    out.admin = *globals.admin;
  } else if (const auto named = variable(getenv, "CODEQ_ADMIN")) {
    out.admin = truthy(*named);
  } else {
    out.admin = profile.admin.value_or(false);
  }
  if (!out.base_url.starts_with("http://") && !out.base_url.starts_with("https://"))
    return fail(Code::kInvalidArgument, "the base URL must begin with http:// or https://");
  return out;
}

std::string masked(std::string_view secret) {
  if (secret.empty()) return "(not set)";
  if (secret.size() < 12) return "****";
  return fmt::format("{}...{}", secret.substr(0, 4), secret.substr(secret.size() - 4));
}

std::string profile_of_email(std::string_view email) {
  std::string name(email);
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '@' || c == '.'; }, '_');
  return name;
}

}  // namespace codeq::app::client
