#include "transport/webhook/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace codeq::transport {
namespace {

struct Ip {
  std::array<std::uint8_t, 16> bytes{};  // the first 4 of them for IPv4
  bool v6 = false;
};

struct Entry {
  const char* prefix;
  unsigned length;
  bool global;
};

constexpr Entry kIpv4[] = {
    {"0.0.0.0", 0, true},           // ordinary unicast, unless something below says otherwise
    {"0.0.0.0", 8, false},          // this network, RFC 791
    {"10.0.0.0", 8, false},         // private use, RFC 1918
    {"100.64.0.0", 10, false},      // shared address space, RFC 6598
    {"127.0.0.0", 8, false},        // loopback, RFC 1122
    {"169.254.0.0", 16, false},     // link local, RFC 3927; also where clouds keep their metadata services
    {"172.16.0.0", 12, false},      // private use, RFC 1918
    {"192.0.0.0", 24, false},       // IETF protocol assignments, RFC 6890
    {"192.0.0.9", 32, true},        // Port Control Protocol anycast, RFC 7723
    {"192.0.0.10", 32, true},       // TURN anycast, RFC 8155
    {"192.0.2.0", 24, false},       // documentation, RFC 5737
    {"192.31.196.0", 24, true},     // AS112-v4, RFC 7535
    {"192.52.193.0", 24, true},     // AMT, RFC 7450
    {"192.88.99.0", 24, false},     // 6to4 relay anycast, deprecated, RFC 7526
    {"192.168.0.0", 16, false},     // private use, RFC 1918
    {"192.175.48.0", 24, true},     // direct delegation AS112, RFC 7534
    {"198.18.0.0", 15, false},      // benchmarking, RFC 2544
    {"198.51.100.0", 24, false},    // documentation, RFC 5737
    {"203.0.113.0", 24, false},     // documentation, RFC 5737
    {"224.0.0.0", 4, false},        // multicast, RFC 5771
    {"240.0.0.0", 4, false},        // reserved and limited broadcast, RFC 1112, RFC 8190
};

constexpr Entry kIpv6[] = {
    {"::", 0, false},  // unassigned, loopback, unspecified, IPv4-compatible, discard-only 100::/64, SRv6 SIDs
    // 5f00::/16, unique local fc00::/7, link local, site local, multicast, 64:ff9b:1::/48
    {"2000::", 3, true},  // global unicast, RFC 4291: the only space that IANA hands out
    {"2001::", 23, false},  // IETF protocol assignments, RFC 2928; Teredo 2001::/32 among them
    {"2001:1::1", 128, true},  // Port Control Protocol anycast, RFC 7723
    {"2001:1::2", 128, true},  // TURN anycast, RFC 8155
    {"2001:1::3", 128, true},  // DNS-SD service registration anycast, RFC 9665
    {"2001:3::", 32, true},  // AMT, RFC 7450
    {"2001:4:112::", 48, true},  // AS112-v6, RFC 7535
    {"2001:20::", 28, true},  // ORCHIDv2, RFC 7343
    {"2001:30::", 28, true},  // drone remote id, RFC 9374
    {"2001:db8::", 32, false},  // documentation, RFC 3849
    {"2002::", 16, false},  // 6to4, RFC 3056
    {"2620:4f:8000::", 48, true},  // direct delegation AS112, RFC 7534
    {"3fff::", 20, false},  // documentation, RFC 9637
};

bool starts_with(const Ip& ip, const std::array<std::uint8_t, 16>& prefix, unsigned length) {
  const auto whole = length / 8;
  if (std::memcmp(ip.bytes.data(), prefix.data(), whole) != 0) return false;
  if (length % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xffU << (8 - length % 8));
  return ((ip.bytes[whole] ^ prefix[whole]) & mask) == 0;
}

std::optional<Ip> ip_of(const sockaddr& address) {
  // sockaddr is only the common head of the family's own type: look at the bytes, not through the wrong type.
  const auto* raw = reinterpret_cast<const unsigned char*>(&address);
  Ip ip;
  if (address.sa_family == AF_INET) {
    std::memcpy(ip.bytes.data(), raw + offsetof(sockaddr_in, sin_addr), 4);
    return ip;
  }
  if (address.sa_family == AF_INET6) {
    ip.v6 = true;
    std::memcpy(ip.bytes.data(), raw + offsetof(sockaddr_in6, sin6_addr), 16);
    return ip;
  }
  return std::nullopt;
}

Ip last_four(const Ip& ip) {
  Ip v4;
  std::copy(ip.bytes.begin() + 12, ip.bytes.end(), v4.bytes.begin());
  return v4;
}

constexpr std::array<std::uint8_t, 16> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::array<std::uint8_t, 16> kNat64 = {0, 0x64, 0xff, 0x9b};

// A mapped address is only a way to write the IPv4 one: there is no difference on the wire.
Ip unmapped(const Ip& ip) { return ip.v6 && starts_with(ip, kMapped, 96) ? last_four(ip) : ip; }

std::optional<Ip> behind_nat64(const Ip& ip) {
  if (!ip.v6 || !starts_with(ip, kNat64, 96)) return std::nullopt;
  return last_four(ip);
}

bool global(const Ip& ip) {
  bool answer = false;
  int longest = -1;
  for (const auto& entry : ip.v6 ? std::span<const Entry>(kIpv6) : std::span<const Entry>(kIpv4)) {
    std::array<std::uint8_t, 16> prefix{};
    CHECK(inet_pton(ip.v6 ? AF_INET6 : AF_INET, entry.prefix, prefix.data()) == 1);
    if (static_cast<int>(entry.length) <= longest || !starts_with(ip, prefix, entry.length)) continue;
    longest = static_cast<int>(entry.length);
    answer = entry.global;
  }
  return answer;
}

}  // namespace

bool globally_reachable(const sockaddr& address) {
  const auto ip = ip_of(address);
  if (!ip) return false;
  const auto plain = unmapped(*ip);
  const auto translated = behind_nat64(plain);
  return global(translated ? *translated : plain);
}

Result<AllowedNetworks::Network> AllowedNetworks::parse_one(std::string_view text) {
  constexpr std::size_t kTextMax = 64;  // longer than any address with its length
  if (text.size() > kTextMax) return fail(Code::kInvalidArgument, "allowed network: too long");
  const auto refuse = [&](const char* why) {
    return fail(Code::kInvalidArgument, "allowed network \"" + std::string(text) + "\": " + why);
  };
  const auto slash = text.find('/');
  const std::string address(text.substr(0, slash));
  Ip ip;
  if (address.find('\0') != std::string::npos) return refuse("not an IP address");
  if (inet_pton(AF_INET, address.c_str(), ip.bytes.data()) != 1) {
    ip.v6 = true;
    if (inet_pton(AF_INET6, address.c_str(), ip.bytes.data()) != 1) return refuse("not an IP address");
  }
  unsigned length = ip.v6 ? 128 : 32;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    unsigned asked = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), asked);
    if (error != std::errc{} || end != digits.data() + digits.size() || asked > length)
      return refuse("prefix length out of range");
    length = asked;
  }
  if (ip.v6 && length >= 96 && starts_with(ip, kMapped, 96)) {
    ip = last_four(ip);
    length -= 96;
  }
  for (unsigned bit = length; bit < (ip.v6 ? 128U : 32U); ++bit) {
    if (((ip.bytes[bit / 8] >> (7 - bit % 8)) & 1) != 0) return refuse("has bits set behind its prefix length");
  }
  return Network{ip.bytes, static_cast<std::uint8_t>(length), ip.v6};
}

Result<AllowedNetworks> AllowedNetworks::parse(std::span<const std::string> networks) {
  AllowedNetworks allowed;
  for (const auto& text : networks) {
    CODEQ_TRY(auto network, parse_one(text));
    allowed.networks_.push_back(network);
  }
  return allowed;
}

bool AllowedNetworks::contains(const sockaddr& address) const {
  const auto ip = ip_of(address);
  if (!ip) return false;
  const auto plain = unmapped(*ip);
  const auto translated = behind_nat64(plain);
  return std::ranges::any_of(networks_, [&](const Network& network) {
    const auto holds = [&](const Ip& candidate) {
      return candidate.v6 == network.v6 && starts_with(candidate, network.bytes, network.length);
    };
    return holds(plain) || (translated && holds(*translated));
  });
}

}  // namespace codeq::transport
