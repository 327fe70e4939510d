// Which addresses a webhook may be sent to: those that IANA lists as globally reachable, and what the operator allows.
//
// Source   the tables of address.cc follow the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190)
//          https://www.iana.org/assignments/iana-ipv4-special-registry
//          https://www.iana.org/assignments/iana-ipv6-special-registry
//          and, for multicast, site-local and unassigned space, the IPv4 and IPv6 address space registries beside them.
//          The most specific entry decides; whatever is neither "True" nor ordinary unicast there is refused.
// Forms    an IPv4 address inside an IPv6 one is judged as the IPv4 address that a packet would reach:
//          ::ffff:0:0/96 (IPv4-mapped) and 64:ff9b::/96 (NAT64). 6to4, Teredo, IPv4-compatible and 64:ff9b:1::/48 are
//          refused as they are: the registries do not list them as global, and who relays them is not known.
// Threads  everything here is immutable after construction
// Cost     about 40 prefix compares per judgement; it is made once per connection
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct sockaddr;

namespace codeq::transport {

// `address` must be a whole sockaddr_in or sockaddr_in6 by its family; any other family is not reachable.
[[nodiscard]] bool globally_reachable(const sockaddr& address);

// Networks that may be reached although they are not global, such as the hosts of one's own data centre.
class AllowedNetworks {
 public:
  AllowedNetworks() = default;  // none

  // "10.1.0.0/16", "fd00::/8", or one address without a length. IPv4-mapped networks mean their IPv4 network.
  // Errors: kInvalidArgument, which names the entry: not an address, a length out of range, bits set behind the length.
  static Result<AllowedNetworks> parse(std::span<const std::string> networks);

  [[nodiscard]] bool contains(const sockaddr& address) const;

 private:
  struct Network {
    std::array<std::uint8_t, 16> bytes{};
    std::uint8_t length = 0;  // bits
    bool v6 = false;
  };
  static Result<Network> parse_one(std::string_view text);
  std::vector<Network> networks_;
};

[[nodiscard]] inline bool may_connect(const sockaddr& address, const AllowedNetworks& allowed) {
  return globally_reachable(address) || allowed.contains(address);
}

}  // namespace codeq::transport
