// The one rule for webhook URLs: http or https, a host, no user info, printable ASCII only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace codeq::core {

inline constexpr std::size_t kWebhookUrlBytesMax = 2048;

// "host" or "host:port", lower-cased; nullopt: not acceptable.
std::optional<std::string> webhook_host(std::string_view url);

}  // namespace codeq::core
