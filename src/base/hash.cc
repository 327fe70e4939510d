#include "base/hash.h"

#include <xxhash.h>

#include <cstring>

namespace codeq {

std::array<std::uint8_t, 16> hash128(std::string_view seed, std::string_view bytes) {
  const auto digest = XXH3_128bits_withSeed(bytes.data(), bytes.size(), XXH3_64bits(seed.data(), seed.size()));
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, digest);
  std::array<std::uint8_t, 16> hash{};
  std::memcpy(hash.data(), canonical.digest, hash.size());
  return hash;
}

}  // namespace codeq
