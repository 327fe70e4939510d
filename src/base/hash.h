// A fast hash of bytes that stays the same in every version and on every machine; not against people who choose the bytes.
//
// Shape    16 bytes, canonical (big-endian) form of XXH3-128 with the seed XXH3-64(seed)
// Source   xxHash, doc/xxhash_spec.md, "XXH3 algorithm"
// Threads  any
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace codeq {

std::array<std::uint8_t, 16> hash128(std::string_view seed, std::string_view bytes);

}  // namespace codeq
