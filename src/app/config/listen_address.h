// `host:port` as the stream listeners are configured: `:9091`, `127.0.0.1:9091`, `[::1]:9091`, `localhost:0`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::app {

struct ListenAddress {
  std::string host;  // an IP address or `localhost`; empty: every interface
  std::uint16_t port = 0;
};
// Errors: kInvalidArgument, what is expected
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace codeq::app
