// `codeq init` and `codeq auth`: what is in the profile file.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "app/client/commands.h"
#include "app/client/login.h"
#include "app/client/terminal.h"
#include "app/exit_codes.h"
#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  core::append_json_string(out, text);
  return out;
}

// Writes the file and says so.
int save(Context& context, std::string_view profile, const std::string& text) {
  if (auto saved = context.file.save(context.path); !saved) return refuse(saved.error().message);
  if (context.arguments.globals.json)
    print(fmt::format(R"({{"profile":{},"path":{}}})", json_text(profile), json_text(context.path.string())));
  else
    say_ok(text);
  return kExitOk;
}

struct Field {
  const char* key;
  const char* question;
  const std::optional<std::string> ClientGlobals::* flag;
  std::optional<std::string> Profile::* stored;
  const char* preset;
  bool secret;
};
constexpr Field kFields[] = {
    {"baseUrl", "Base URL", &ClientGlobals::base_url, &Profile::base_url, kDefaultBaseUrl, false},
    {"iamBaseUrl", "Identity service URL", &ClientGlobals::iam_base_url, &Profile::iam_base_url, kDefaultIamBaseUrl,
     false},
    {"iamApiKey", "Identity service API key", &ClientGlobals::iam_api_key, &Profile::iam_api_key, "", true},
    {"producerToken", "Producer token", &ClientGlobals::producer_token, &Profile::producer_token, "", true},
    {"workerToken", "Worker token", &ClientGlobals::worker_token, &Profile::worker_token, "", true},
};
// Never asked for, kept where they were given.
constexpr Field kFiles[] = {
    {"caFile", "", &ClientGlobals::ca_file, &Profile::ca_file, "", false},
    {"clientCert", "", &ClientGlobals::client_cert, &Profile::client_cert, "", false},
    {"clientKey", "", &ClientGlobals::client_key, &Profile::client_key, "", false},
};

Result<std::string> whole_file(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return fail(Code::kIo, "cannot read " + path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

int init(Context& context) {
  const auto& globals = context.arguments.globals;
  const auto& stored = context.settings.profile;
  const auto& name = context.settings.profile_name;
  const bool asks = !context.arguments.no_prompt && is_interactive();
  for (const auto& field : kFields) {
    const auto& flag = globals.*(field.flag);
    auto value = flag ? *flag : (stored.*(field.stored)).value_or(field.preset);
    if (asks && !flag) value = ask(field.question, value, field.secret);
    if (!value.empty()) context.file.set(name, field.key, value);
  }
  for (const auto& field : kFiles)
    if (const auto& flag = globals.*(field.flag)) context.file.set(name, field.key, *flag);
  if (globals.admin) context.file.set_flag(name, "admin", *globals.admin);
  context.file.set_current(name);
  return save(context, name, fmt::format("Initialized profile '{}' at {}", name, context.path.string()));
}

int auth_login(Context& context) {
  const auto& login = context.arguments.login;
  LoginInput input{.email = login.email, .password = login.password, .payload = login.payload.value_or("")};
  const bool asks = !context.arguments.no_prompt && is_interactive();
  if (login.payload_file) {
    auto text = whole_file(*login.payload_file);
    if (!text) return refuse(text.error().message);
    input.payload = *std::move(text);
  }
  if (input.email.empty() && asks) input.email = ask("E-mail", "", false);
  if (input.password.empty() && asks) input.password = ask("Password", "", true);
  if (input.payload.empty() && (input.email.empty() || input.password.empty()))
    return refuse("--email and --password are needed (or --payload, or a terminal to ask on)");

  HttpClient http({.ca_file = context.settings.ca_file,
                   .client_cert = context.settings.client_cert,
                   .client_key = context.settings.client_key});
  const auto token_of = [&](const Result<TokenRequest>& request) -> Result<std::string> {
    if (!request) return std::unexpected<Error>(request.error());
    CODEQ_TRY(const auto answer, http.send(request->http));
    if (answer.status >= 300) return fail(Code::kUnauthenticated, refusal(answer));
    return token_in(answer.body, request->token_path);
  };
  auto token = token_of(login_request(context.settings, login, input));
  if (!token) return refuse(token.error().message);
  if (!login.no_exchange) {
    token = token_of(exchange_request(context.settings, login, *token));
    if (!token) return refuse(token.error().message);
  }
  const auto choice = choose_profile(context.arguments.globals, context.file, context.getenv);
  const auto name = choice.named || input.email.empty() ? choice.name : profile_of_email(input.email);
  if (!login.save) {
    // The one output of it: whoever does not keep the token wants to hand it on.
    print(context.arguments.globals.json ? fmt::format(R"({{"token":{}}})", json_text(*token)) : *token);
    return kExitOk;
  }
  context.file.set(name, "token", *token);
  context.file.set(name, "producerToken", *token);
  // A new profile answers to the services that this login used, whatever is named next time.
  const auto known = context.file.find(name);
  if (!known || !*known || !(*known)->base_url) context.file.set(name, "baseUrl", context.settings.base_url);
  if (context.arguments.globals.iam_base_url) context.file.set(name, "iamBaseUrl", context.settings.iam_base_url);
  context.file.set_current(name);
  return save(context, name, fmt::format("Logged in. Token stored for '{}'", name));
}

int auth_set(Context& context) {
  const auto& globals = context.arguments.globals;
  const auto& name = context.settings.profile_name;
  if (!globals.producer_token && !globals.worker_token && !globals.admin)
    return refuse("nothing to set: give --producer-token, --worker-token or --admin");
  const auto set = [&](const char* key, const std::optional<std::string>& value) {
    if (!value) return;
    if (value->empty())
      context.file.erase(name, key);
    else
      context.file.set(name, key, *value);
  };
  set("producerToken", globals.producer_token);
  set("workerToken", globals.worker_token);
  if (globals.admin) context.file.set_flag(name, "admin", *globals.admin);
  if (context.file.current().empty()) context.file.set_current(name);
  return save(context, name, fmt::format("Credentials updated for '{}'", name));
}

int auth_show(Context& context) {
  const auto& settings = context.settings;
  const std::pair<const char*, std::string> lines[] = {
      {"profile", settings.profile_name},
      {"baseUrl", settings.base_url},
      {"iamBaseUrl", settings.iam_base_url},
      {"iamApiKey", masked(settings.iam_api_key)},
      {"token", masked(settings.profile.token.value_or(""))},
      {"producerToken", masked(settings.producer_token)},
      {"workerToken", masked(settings.worker_token)},
  };
  std::string out;
  if (context.arguments.globals.json) {
    for (const auto& [key, value] : lines)
      out += fmt::format("{}{}:{}", out.empty() ? '{' : ',', json_text(key), json_text(value));
    out += fmt::format(R"(,"admin":{}}})", settings.admin);
  } else {
    for (const auto& [key, value] : lines) out += fmt::format("{:<14} {}\n", key, value);
    out += fmt::format("{:<14} {}\n", "admin", settings.admin);
  }
  print(out);
  return kExitOk;
}

int auth_clear(Context& context) {
  const auto& arguments = context.arguments;
  const auto& name = context.settings.profile_name;
  const bool all = arguments.clear_all || (!arguments.clear_producer && !arguments.clear_worker);
  // `token` stands in for either, so it goes with the producer's, which every login writes beside it.
  if (all || arguments.clear_producer) {
    context.file.erase(name, "producerToken");
    context.file.erase(name, "token");
  }
  if (all || arguments.clear_worker) context.file.erase(name, "workerToken");
  return save(context, name, fmt::format("Tokens cleared for '{}'", name));
}

}  // namespace codeq::app::client
