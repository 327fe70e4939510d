#include "app/config/listen_address.h"

#include <arpa/inet.h>

#include <charconv>

namespace codeq::app {

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto refuse = [] {
    return fail(Code::kInvalidArgument,
                "`host:port` is expected, such as `:9091` or `127.0.0.1:9091`, with an IP address, `localhost` or nothing "
                "as host");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  const std::string_view digits = text.substr(colon + 1);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port > 65535) return refuse();
  std::string host(text.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  unsigned char bytes[16];
  if (!host.empty() && host != "localhost" && inet_pton(AF_INET, host.c_str(), bytes) != 1 &&
      inet_pton(AF_INET6, host.c_str(), bytes) != 1)
    return refuse();
  return ListenAddress{std::move(host), static_cast<std::uint16_t>(port)};
}

}  // namespace codeq::app
