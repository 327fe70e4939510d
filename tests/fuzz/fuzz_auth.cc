// fuzz-room: codeq_services
// The Authorization header's value, and (after a first byte of 1) the JSON that configures tokens.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "services/auth.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using codeq::services::AuthOptions;
  using codeq::services::TokenUse;
  static const auto auth = codeq::services::make_authenticator(
      AuthOptions{.producer_type = "static",
                  .producer_config = R"({"token":"p","subject":"alice"})",
                  .worker_type = "static",
                  .worker_config = R"({"token":"w","subject":"bob","scopes":["codeq:claim"],"eventTypes":["*"]})",
                  .allow_producer_as_worker = true});
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (!text.empty() && text[0] == '1') {
    for (const char* type : {"static", "multi", "jwks"}) {
      const auto made = codeq::services::make_authenticator(AuthOptions{
          .producer_type = type, .producer_config = text.substr(1), .worker_type = "", .worker_config = ""});
      if (made) static_cast<void>((*made)->check(TokenUse::kProducer, "p").has_value());
    }
    return 0;
  }
  for (const auto use : {TokenUse::kProducer, TokenUse::kWorker, TokenUse::kAny}) {
    const auto token = codeq::services::bearer_token(**auth, use, text);
    if (!token) continue;
    const auto who = (*auth)->check(use, *token);
    CHECK(who.has_value());  // no key is ever needed here
    if (*who) CHECK((*who)->subject == (*token == "w" ? "bob" : "alice") && (*token == "p" || *token == "w"));
  }
  return 0;
}
