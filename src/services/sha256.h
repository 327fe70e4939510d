// SHA-256, for tokens and whom they are limited by: what is kept of one is its digest.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace codeq::services {

using Digest = std::array<unsigned char, 32>;

// All zero where OpenSSL cannot hash: no token's digest, so nobody may be let in by it.
Digest sha256(std::string_view text);

struct DigestHash {
  std::size_t operator()(const Digest& digest) const {  // it is as good as random already
    std::size_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash;
  }
};

}  // namespace codeq::services
