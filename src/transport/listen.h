// Binds a listening socket.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace codeq::transport {

// `host`: empty for every interface, IPv6 and IPv4; else an address or `localhost`. Port 0: any free one.
// Returns the port. Errors: kIo with the address that could not be bound, kInvalidArgument
Result<std::uint16_t> listen_on(boost::asio::ip::tcp::acceptor& acceptor, const std::string& host, std::uint16_t port,
                                int backlog);

}  // namespace codeq::transport
