#include "observe/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace codeq::observe {

std::size_t utf8_sequence(const unsigned char* text, std::size_t left) {
  const unsigned char lead = text[0];
  if (lead < 0x80) return 1;
  const auto tail = [&](std::size_t i, unsigned char low = 0x80, unsigned char high = 0xbf) {
    return i < left && text[i] >= low && text[i] <= high;
  };
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned char low = lead == 0xe0 ? 0xa0 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : 0xbf;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned char low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xf4 ? 0x8f : 0xbf;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void scrub_utf8(char* text, std::size_t length) {
  std::size_t i = 0;
  for (; i + 8 <= length; i += 8) {  // nearly always all of it is ASCII
    std::uint64_t word = 0;
    std::memcpy(&word, text + i, 8);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  auto* bytes = reinterpret_cast<unsigned char*>(text);
  while (i < length) {
    if (bytes[i] < 0x80) {
      ++i;
      continue;
    }
    const std::size_t size = utf8_sequence(bytes + i, length - i);
    if (size == 0) bytes[i] = '?';
    i += std::max<std::size_t>(size, 1);
  }
}

}  // namespace codeq::observe
