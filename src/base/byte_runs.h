// Stretches of text that need no care, found and copied sixteen bytes at a time.
//
// Shape    a `Stops` says which bytes need care: `byte` for one, `sixteen` for as many (bytes of ones where one does)
// Cost     about half an instruction a byte with SSE2, which every x86-64 has; elsewhere byte by byte
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace codeq {

// In a JSON string that is read: quote, backslash, control characters, whatever is not ASCII.
struct StringStops {
  static constexpr bool byte(unsigned char c) { return c < 0x20 || c >= 0x80 || c == '"' || c == '\\'; }
#ifdef __SSE2__
  static __m128i sixteen(__m128i bytes) {
    const auto marks =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    // Signed: what is not ASCII is below zero.
    return _mm_or_si128(marks, _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
  }
#endif
};

// In text that is written as a JSON string: the same, and what HTML would read.
struct EscapeStops {
  static constexpr bool byte(unsigned char c) { return StringStops::byte(c) || c == '<' || c == '>' || c == '&'; }
#ifdef __SSE2__
  static __m128i sixteen(__m128i bytes) {
    // < and > differ in one bit.
    const auto angles = _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8('<' ^ '>')), _mm_set1_epi8('<' | '>'));
    const auto marks = _mm_or_si128(angles, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('&')));
    return _mm_or_si128(marks, StringStops::sixteen(bytes));
  }
#endif
};

// In a line of a message's head: control characters but for the tab (RFC 9110, 5.5).
struct LineStops {
  static constexpr bool byte(unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; }
#ifdef __SSE2__
  static __m128i sixteen(__m128i bytes) {
    const auto low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    const auto control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), low);
    return _mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
  }
#endif
};

// The first byte that stops, or `end`.
template <class Stops>
const char* find_stop(const char* at, const char* end) {
#ifdef __SSE2__
  for (; end - at >= 16; at += 16) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto stops = static_cast<std::uint32_t>(_mm_movemask_epi8(Stops::sixteen(bytes)));
    if (stops != 0) return at + std::countr_zero(stops);
  }
  if (end - at >= 8) {
    const auto bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    const auto stops = static_cast<std::uint32_t>(_mm_movemask_epi8(Stops::sixteen(bytes))) & 0xffU;
    if (stops != 0) return at + std::countr_zero(stops);
    at += 8;
  }
#endif
  while (at != end && !Stops::byte(static_cast<unsigned char>(*at))) ++at;
  return at;
}

// Copies what lies before the first byte that stops, `count` bytes at most, and returns how many they were. What lies behind
// them in `to`, up to `count`, may be overwritten.
template <class Stops>
std::size_t copy_run(char* to, const char* from, std::size_t count) {
  std::size_t done = 0;
#ifdef __SSE2__
  for (; count - done >= 16; done += 16) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + done));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + done), bytes);
    const auto stops = static_cast<std::uint32_t>(_mm_movemask_epi8(Stops::sixteen(bytes)));
    if (stops != 0) return done + static_cast<std::size_t>(std::countr_zero(stops));
  }
  if (count - done >= 8) {
    const auto bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + done));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to + done), bytes);
    const auto stops = static_cast<std::uint32_t>(_mm_movemask_epi8(Stops::sixteen(bytes))) & 0xffU;
    if (stops != 0) return done + static_cast<std::size_t>(std::countr_zero(stops));
    done += 8;
  }
#endif
  for (; done != count && !Stops::byte(static_cast<unsigned char>(from[done])); ++done) to[done] = from[done];
  return done;
}

}  // namespace codeq
