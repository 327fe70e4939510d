#include "transport/listen.h"

#include <boost/asio/ip/v6_only.hpp>
#include <vector>

namespace codeq::transport {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// Every address to try, in order: both families at once where the machine has IPv6.
std::vector<tcp::endpoint> endpoints(const std::string& host, std::uint16_t port, error_code& ec) {
  if (host.empty()) return {{tcp::v6(), port}, {tcp::v4(), port}};
  if (host == "localhost") return {{asio::ip::address_v4::loopback(), port}, {asio::ip::address_v6::loopback(), port}};
  const auto address = asio::ip::make_address(host, ec);
  if (ec) return {};
  return {{address, port}};
}

bool bind_to(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, bool every, int backlog, error_code& ec) {
  error_code ignored;
  if (acceptor.is_open()) acceptor.close(ignored);
  acceptor.open(endpoint.protocol(), ec);
  if (ec) return false;
  acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec && endpoint.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(!every), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(backlog, ec);
  return !ec;
}

}  // namespace

Result<std::uint16_t> listen_on(tcp::acceptor& acceptor, const std::string& host, std::uint16_t port, int backlog) {
  error_code ec;
  const auto candidates = endpoints(host, port, ec);
  if (ec) return fail(Code::kInvalidArgument, "not an address to listen on: " + host);
  bool listening = false;
  for (const auto& endpoint : candidates) {
    if ((listening = bind_to(acceptor, endpoint, host.empty(), backlog, ec))) break;
    if (ec == asio::error::address_in_use || ec == asio::error::access_denied) break;
  }
  tcp::endpoint local;
  if (listening) local = acceptor.local_endpoint(ec);
  if (!listening || ec)
    return fail(Code::kIo,
                "cannot listen on " + (host.empty() ? "*" : host) + ":" + std::to_string(port) + ": " + ec.message());
  return local.port();
}

}  // namespace codeq::transport
