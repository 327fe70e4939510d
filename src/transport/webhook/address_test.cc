#include "transport/webhook/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace codeq::transport {
namespace {

sockaddr_storage socket_address(const std::string& text) {
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    storage.ss_family = AF_INET;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr), 1) << text;
    storage.ss_family = AF_INET6;
  }
  return storage;
}

bool reachable(const std::string& text) {
  const auto storage = socket_address(text);
  return globally_reachable(reinterpret_cast<const sockaddr&>(storage));
}

AllowedNetworks allowed(const std::vector<std::string>& networks) {
  auto parsed = AllowedNetworks::parse(networks);
  EXPECT_TRUE(parsed.has_value());
  return parsed ? *parsed : AllowedNetworks{};
}

bool allows(const AllowedNetworks& networks, const std::string& text) {
  const auto storage = socket_address(text);
  return networks.contains(reinterpret_cast<const sockaddr&>(storage));
}

// One row per range of the registries: its first and last address, and the neighbours outside it where those are global.
struct Range {
  const char* name;
  const char *first, *last;
  const char *before, *after;  // global neighbours, or nullptr where the neighbour is special too
};

class RefusedRange : public testing::TestWithParam<Range> {};

TEST_P(RefusedRange, IsRefusedFromItsFirstToItsLastAddressAndNotBeyond) {
  const auto& range = GetParam();
  EXPECT_FALSE(reachable(range.first)) << range.first;
  EXPECT_FALSE(reachable(range.last)) << range.last;
  EXPECT_TRUE(range.before == nullptr || reachable(range.before)) << range.before;
  EXPECT_TRUE(range.after == nullptr || reachable(range.after)) << range.after;
}

INSTANTIATE_TEST_SUITE_P(
    Ipv4, RefusedRange,
    testing::Values(Range{"this_network", "0.0.0.0", "0.255.255.255", nullptr, "1.0.0.0"},
                    Range{"private_10", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
                    Range{"shared", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
                    Range{"loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
                    Range{"link_local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
                    Range{"cloud_metadata", "169.254.169.254", "169.254.169.254", nullptr, nullptr},
                    Range{"private_172", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
                    Range{"ietf_low", "192.0.0.0", "192.0.0.8", "191.255.255.255", nullptr},
                    Range{"ietf_high", "192.0.0.11", "192.0.0.255", nullptr, "192.0.1.0"},
                    Range{"documentation_1", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
                    Range{"six_to_four_relay", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
                    Range{"private_192", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
                    Range{"benchmarking", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
                    Range{"documentation_2", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
                    Range{"documentation_3", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
                    Range{"multicast", "224.0.0.0", "239.255.255.255", "223.255.255.255", nullptr},
                    Range{"reserved_and_broadcast", "240.0.0.0", "255.255.255.255", nullptr, nullptr}),
    [](const auto& row) { return std::string(row.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Ipv6, RefusedRange,
    testing::Values(
        Range{"unspecified", "::", "::", nullptr, nullptr}, Range{"loopback", "::1", "::1", nullptr, nullptr},
        Range{"ipv4_compatible", "::2", "::8.8.8.8", nullptr, nullptr},
        Range{"ipv4_translated", "::ffff:0:8.8.8.8", "::ffff:0:127.0.0.1", nullptr, nullptr},
        Range{"local_use_nat64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:808:808", nullptr, nullptr},
        Range{"discard", "100::", "100::ffff:ffff:ffff:ffff", nullptr, nullptr},
        Range{"dummy", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", nullptr, nullptr},
        Range{"below_global_unicast", "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, "2000::"},
        Range{"teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::1", nullptr},
        Range{"ietf_rest", "2001:1::", "2001:1::", nullptr, nullptr},
        Range{"benchmarking", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", nullptr, "2001:3::"},
        Range{"orchid_1", "2001:10::", "2001:1f:ffff::", nullptr, "2001:20::"},
        Range{"ietf_end", "2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:3f:ffff::", "2001:200::"},
        Range{"documentation_1", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7::", "2001:db9::"},
        Range{"six_to_four", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::", "2003::"},
        Range{"six_to_four_of_a_global_address", "2002:808:808::1", "2002:7f00:1::1", nullptr, nullptr},
        Range{"documentation_2", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"},
        Range{"above_global_unicast", "4000::", "4000::1", "3fff:ffff::", nullptr},
        Range{"segment_routing", "5f00::", "5f00:ffff::", nullptr, nullptr},
        Range{"unique_local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr},
        Range{"link_local", "fe80::", "febf:ffff::", nullptr, nullptr},
        Range{"site_local", "fec0::", "feff:ffff::", nullptr, nullptr},
        Range{"multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, nullptr}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Address, WhatTheRegistriesListAsGlobalInsideARefusedRangeIsReachable) {
  for (const auto* text : {"192.0.0.9", "192.0.0.10", "192.31.196.1", "192.52.193.1", "192.175.48.1", "2001:1::1",
                           "2001:1::2", "2001:1::3", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1",
                           "2620:4f:8000::1", "8.8.8.8", "2606:4700::1111", "2a00:1450::1"}) {
    EXPECT_TRUE(reachable(text)) << text;
  }
}

TEST(Address, AnIpv4AddressInsideAnIpv6OneIsJudgedAsTheIpv4Address) {
  for (const auto* prefix : {"::ffff:", "64:ff9b::"}) {
    for (const auto* inner : {"127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "255.255.255.255"}) {
      EXPECT_FALSE(reachable(std::string(prefix) + inner)) << prefix << inner;
    }
    EXPECT_TRUE(reachable(std::string(prefix) + "8.8.8.8")) << prefix;
  }
}

TEST(Address, AFamilyThatIsNotIpIsNotReachable) {
  sockaddr_storage local{};
  local.ss_family = AF_UNIX;
  EXPECT_FALSE(globally_reachable(reinterpret_cast<const sockaddr&>(local)));
  EXPECT_FALSE(allowed({"0.0.0.0/0", "::/0"}).contains(reinterpret_cast<const sockaddr&>(local)));
}

TEST(AllowedNetworks, HoldWhatTheirPrefixCoversAndNothingElse) {
  const auto networks = allowed({"10.1.0.0/16", "fd00:1::/33", "192.168.7.9", "::1"});
  EXPECT_TRUE(allows(networks, "10.1.0.0"));
  EXPECT_TRUE(allows(networks, "10.1.255.255"));
  EXPECT_FALSE(allows(networks, "10.2.0.0"));
  EXPECT_TRUE(allows(networks, "fd00:1:7fff::"));
  EXPECT_FALSE(allows(networks, "fd00:1:8000::"));
  EXPECT_TRUE(allows(networks, "192.168.7.9"));
  EXPECT_FALSE(allows(networks, "192.168.7.8"));
  EXPECT_TRUE(allows(networks, "::1"));
  EXPECT_FALSE(allows(networks, "::"));
  EXPECT_FALSE(allows(AllowedNetworks{}, "8.8.8.8"));
}

TEST(AllowedNetworks, AnIpv4NetworkAlsoCoversItsMappedAndTranslatedFormsButNotAWholeIpv6Zero) {
  const auto loopback = allowed({"127.0.0.0/8"});
  EXPECT_TRUE(allows(loopback, "::ffff:127.0.0.1"));
  EXPECT_TRUE(allows(loopback, "64:ff9b::7f00:1"));
  EXPECT_FALSE(allows(loopback, "::127.0.0.1"));
  const auto mapped = allowed({"::ffff:127.0.0.0/104"});
  EXPECT_TRUE(allows(mapped, "127.0.0.1"));
  EXPECT_TRUE(allows(mapped, "::ffff:127.9.9.9"));
  // Somebody who opens all of IPv6 has not opened the IPv4 loopback by another spelling.
  EXPECT_FALSE(allows(allowed({"::/0"}), "::ffff:127.0.0.1"));
  EXPECT_TRUE(allows(allowed({"0.0.0.0/0"}), "127.0.0.1"));
}

TEST(AllowedNetworks, WhatIsNotANetworkIsRefusedByName) {
  for (const std::string text :
       {"", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.1/16",
        "::1/129", "localhost", "10.0.0.1/8", "fd00::1/8", "0x0a.0.0.0/8", "10.0.0.0/99999999999999999999"}) {
    const std::vector<std::string> one{text};
    const auto parsed = AllowedNetworks::parse(one);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find('"' + text + '"'), std::string::npos) << parsed.error().message;
  }
  const std::vector<std::string> tricky{std::string("10.0.0.0\0/8", 11)};
  EXPECT_FALSE(AllowedNetworks::parse(tricky).has_value());
  const std::vector<std::string> endless{std::string(1 << 20, '1')};
  EXPECT_FALSE(AllowedNetworks::parse(endless).has_value());
}

TEST(AllowedNetworks, AGlobalAddressNeedsNoPermission) {
  const auto global = socket_address("8.8.8.8");
  const auto local = socket_address("127.0.0.1");
  EXPECT_TRUE(may_connect(reinterpret_cast<const sockaddr&>(global), {}));
  EXPECT_FALSE(may_connect(reinterpret_cast<const sockaddr&>(local), {}));
  EXPECT_TRUE(may_connect(reinterpret_cast<const sockaddr&>(local), allowed({"127.0.0.1"})));
}

}  // namespace
}  // namespace codeq::transport
