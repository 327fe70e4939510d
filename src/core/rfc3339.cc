#include "core/rfc3339.h"

#include <array>
#include <cstddef>

#include "base/clock.h"

namespace codeq::core {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;

struct Date {
  std::int64_t year;
  unsigned month;  // 1 to 12
  unsigned day;    // 1 to 31
};

// Both ways count in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
constexpr std::int64_t days_from_civil(Date date) {
  const auto year = date.year - (date.month <= 2 ? 1 : 0);
  const auto era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const auto day_of_year = (153 * (date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
  const auto day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + static_cast<std::int64_t>(day_of_era) - 719'468;
}

constexpr Date civil_from_days(std::int64_t days) {
  days += 719'468;
  const auto era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146'097);
  const auto year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const auto day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto shifted = (5 * day_of_year + 2) / 153;  // 0 is March
  const auto month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {static_cast<std::int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted + 2) / 5 + 1};
}

static_assert(days_from_civil({1970, 1, 1}) == 0);
static_assert(days_from_civil({1678, 1, 1}) * kSecondsPerDay * kNanosPerSecond == kTimeMinNs);
static_assert(days_from_civil({2262, 1, 1}) * kSecondsPerDay * kNanosPerSecond == kTimeMaxNs);

constexpr unsigned days_in_month(std::int64_t year, unsigned month) {
  constexpr std::array<unsigned, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

// Eats the text from the left; after a first failure everything fails.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }
  [[nodiscard]] bool next_is(char c) const { return ok_ && !rest_.empty() && rest_.front() == c; }

  bool take(char c) {
    if (!next_is(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) { ok_ = take(c); }

  // `count` digits whose number lies in [low, high].
  unsigned number(std::size_t count, unsigned low, unsigned high) {
    unsigned value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!next_digit()) return fail();
      value = value * 10 + take_digit();
    }
    return value < low || value > high ? fail() : value;
  }

  // One digit or more, as billionths.
  unsigned fraction() {
    if (!next_digit()) return fail();
    unsigned nanos = 0;
    for (unsigned unit = 100'000'000; next_digit(); unit /= 10) nanos += take_digit() * unit;
    return nanos;
  }

 private:
  unsigned fail() {
    ok_ = false;
    return 0;
  }
  [[nodiscard]] bool next_digit() const {
    return ok_ && !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9';
  }
  unsigned take_digit() {
    const auto digit = static_cast<unsigned>(rest_.front() - '0');
    rest_.remove_prefix(1);
    return digit;
  }

  std::string_view rest_;
  bool ok_ = true;
};

// "00" to "99".
constexpr auto kPairs = [] {
  std::array<char, 200> digits{};
  for (std::size_t i = 0; i < 100; ++i) {
    digits[2 * i] = static_cast<char>('0' + i / 10);
    digits[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return digits;
}();

char* write_pair(char* out, unsigned value) {  // below 100
  const char* const pair = &kPairs[std::size_t{2} * value];
  out[0] = pair[0];
  out[1] = pair[1];
  return out + 2;
}

struct Instant {
  std::int64_t seconds;
  unsigned nanos;
};

constexpr Instant split(std::int64_t ns) {
  auto seconds = ns / kNanosPerSecond;
  auto nanos = ns % kNanosPerSecond;
  if (nanos < 0) {
    --seconds;
    nanos += kNanosPerSecond;
  }
  return {seconds, static_cast<unsigned>(nanos)};
}

char* write(char* at, std::int64_t seconds, unsigned nanos, int offset_seconds) {
  seconds += offset_seconds;
  const auto days = (seconds >= 0 ? seconds : seconds - (kSecondsPerDay - 1)) / kSecondsPerDay;
  const auto second_of_day = static_cast<unsigned>(seconds - days * kSecondsPerDay);
  const auto date = civil_from_days(days);
  const auto year = static_cast<unsigned>(date.year);  // 1677 to 2262, so four digits
  at = write_pair(at, year / 100);
  at = write_pair(at, year % 100);
  *at++ = '-';
  at = write_pair(at, date.month);
  *at++ = '-';
  at = write_pair(at, date.day);
  *at++ = 'T';
  at = write_pair(at, second_of_day / 3600);
  *at++ = ':';
  at = write_pair(at, second_of_day / 60 % 60);
  *at++ = ':';
  at = write_pair(at, second_of_day % 60);
  if (nanos != 0) {
    *at++ = '.';
    *at++ = static_cast<char>('0' + nanos / 100'000'000);
    at = write_pair(at, nanos / 1'000'000 % 100);
    at = write_pair(at, nanos / 10'000 % 100);
    at = write_pair(at, nanos / 100 % 100);
    at = write_pair(at, nanos % 100);
    while (at[-1] == '0') --at;
  }
  if (offset_seconds == 0) {
    *at++ = 'Z';
  } else {
    const auto minutes = static_cast<unsigned>(offset_seconds < 0 ? -offset_seconds : offset_seconds) / 60;
    *at++ = offset_seconds < 0 ? '-' : '+';
    at = write_pair(at, minutes / 60 % 100);
    *at++ = ':';
    at = write_pair(at, minutes % 60);
  }
  return at;
}

}  // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  Reader reader(text);
  Date date{};
  date.year = reader.number(4, 0, 9999);
  reader.expect('-');
  date.month = reader.number(2, 1, 12);
  reader.expect('-');
  date.day = reader.number(2, 1, 31);
  reader.expect('T');
  const auto hour = reader.number(2, 0, 23);
  reader.expect(':');
  const auto minute = reader.number(2, 0, 59);
  reader.expect(':');
  const auto second = reader.number(2, 0, 59);
  const unsigned nanos = reader.take('.') ? reader.fraction() : 0;
  std::int64_t offset = 0;
  if (reader.next_is('+') || reader.next_is('-')) {
    const bool west = reader.take('-');
    if (!west) reader.expect('+');
    const auto hours = reader.number(2, 0, 23);
    reader.expect(':');
    offset = 60 * (60 * static_cast<std::int64_t>(hours) + reader.number(2, 0, 59)) * (west ? -1 : 1);
  } else {
    reader.expect('Z');
  }
  if (!reader.done() || date.day > days_in_month(date.year, date.month)) return std::nullopt;
  const auto seconds =
      days_from_civil(date) * kSecondsPerDay + 3600 * std::int64_t{hour} + 60 * std::int64_t{minute} + second - offset;
  if (seconds >= kTimeMaxNs / kNanosPerSecond) return kTimeMaxNs;
  if (seconds < kTimeMinNs / kNanosPerSecond) return kTimeMinNs;
  return seconds * kNanosPerSecond + nanos;
}

char* write_rfc3339_nanos(char* out, std::int64_t ns, int offset_seconds) {
  const auto [seconds, nanos] = split(ns);
  return write(out, seconds, nanos, offset_seconds);
}

char* write_rfc3339_seconds(char* out, std::int64_t ns) { return write(out, split(ns).seconds, 0, 0); }

void append_rfc3339_nanos(std::string& out, std::int64_t ns, int offset_seconds) {
  std::array<char, kRfc3339BytesMax> text;
  out.append(text.data(), write_rfc3339_nanos(text.data(), ns, offset_seconds));
}

void append_rfc3339_seconds(std::string& out, std::int64_t ns) {
  std::array<char, kRfc3339BytesMax> text;
  out.append(text.data(), write_rfc3339_seconds(text.data(), ns));
}

}  // namespace codeq::core
