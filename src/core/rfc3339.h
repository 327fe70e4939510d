// Times as text: RFC 3339, in the forms that Go's time.RFC3339 and time.RFC3339Nano read and write.
//
// Unit     nanoseconds since 1970-01-01T00:00:00Z; offsets in seconds east of UTC
// Source   RFC 3339 section 5.6; civil dates by Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
// Cost     no allocation beyond the string that is appended to
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace codeq::core {

// Times outside are legal text and become the nearer of these: a client's "never" (year 9999) and Go's zero time (year 1)
// keep their meaning, and adding some months of delay to either still fits.
inline constexpr std::int64_t kTimeMinNs = -9'214'560'000'000'000'000;  // 1678-01-01T00:00:00Z
inline constexpr std::int64_t kTimeMaxNs = 9'214'646'400'000'000'000;  // 2262-01-01T00:00:00Z

// YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm), T and Z in upper case, every field in its range, no leap second.
// Digits of the fraction behind the ninth are cut off.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

// Up to nine digits of fraction, trailing zeros left out, no fraction if it is zero. The offset's sign and minutes are
// written; 0 is "Z". The caller finds the offset of a zone at that time.
void append_rfc3339_nanos(std::string& out, std::int64_t ns, int offset_seconds = 0);
// Whole seconds (rounded down), UTC.
void append_rfc3339_seconds(std::string& out, std::int64_t ns);
// The same into kRfc3339BytesMax of room; they return the end.
inline constexpr std::size_t kRfc3339BytesMax = 40;
char* write_rfc3339_nanos(char* out, std::int64_t ns, int offset_seconds = 0);
char* write_rfc3339_seconds(char* out, std::int64_t ns);

}  // namespace codeq::core
