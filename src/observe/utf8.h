// Text of callers on its way to readers that refuse what is not UTF-8: protobuf strings and Prometheus pages.
#pragma once

#include <cstddef>

namespace codeq::observe {

// Bytes of the well-formed sequence that starts at text[0], 0 where there is none. `left` >= 1 bytes may be read.
// Source: Unicode 15, table 3-7.
std::size_t utf8_sequence(const unsigned char* text, std::size_t left);

// Replaces every stray byte by '?' in place.
void scrub_utf8(char* text, std::size_t length);

}  // namespace codeq::observe
