// Logging in at an identity service: a first request for a token of theirs, a second that exchanges it for one of ours.
//
// Shape    both requests are made from templates (template.h); the flags over the profile over the defaults, which are the
//          reference's: the key stands in the URL there. A template of one's own may put `{{apiKey}}` into a header instead.
#pragma once

#include <string>

#include "app/client/arguments.h"
#include "app/client/http.h"
#include "app/client/settings.h"
#include "app/client/template.h"

namespace codeq::app::client {

struct TokenRequest {
  HttpRequest http;
  std::string token_path;  // where in the answer the token is: "idToken", "data.token"
};

struct LoginInput {
  std::string email, password;
  std::string payload;  // a body template; empty: the profile's, else the default
};

Result<TokenRequest> login_request(const Settings& settings, const LoginArguments& arguments, const LoginInput& input);
Result<TokenRequest> exchange_request(const Settings& settings, const LoginArguments& arguments,
                                      const std::string& id_token);

// The text at a dotted path. Errors: kInvalidBody, which says the path and never the answer
Result<std::string> token_in(std::string_view json, std::string_view path);

}  // namespace codeq::app::client
