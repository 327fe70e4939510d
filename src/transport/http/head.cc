#include "transport/http/head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/byte_runs.h"

namespace codeq::transport::http {
namespace {

// RFC 9110, 5.6.2.
constexpr auto kTokenBytes = [] {
  std::array<bool, 256> token{};
  for (std::size_t c = 0; c < token.size(); ++c) {
    token[c] = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               (c != 0 && c < 0x80 &&
                std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos);
  }
  return token;
}();

// What ends a target: white space and control characters.
struct TargetStops {
  static constexpr bool byte(unsigned char c) { return c <= 0x20 || c == 0x7f; }
#ifdef __SSE2__
  static __m128i sixteen(__m128i bytes) {
    const auto low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
    return _mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
  }
#endif
};

bool blank(char c) { return c == ' ' || c == '\t'; }

template <class Word>
Word folded(const char* bytes) {
  Word word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word | static_cast<Word>(0x2020202020202020U);
}

// Whether a field's name, whose length is known to be the same, is this one in any case. The bit that tells the cases
// apart is set in letters and in the dash, and no token holds the byte that differs from a dash in it alone.
template <std::size_t N>
bool spells(const char* name, const char (&lower)[N]) {
  using Word = std::conditional_t<N - 1 >= 8, std::uint64_t, std::uint32_t>;
  constexpr std::size_t kLast = N - 1 - sizeof(Word);
  for (std::size_t i = 0; i < kLast; i += sizeof(Word)) {
    if (folded<Word>(name + i) != folded<Word>(lower + i)) return false;
  }
  return folded<Word>(name + kLast) == folded<Word>(lower + kLast);
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool equals_ignoring_case(std::string_view text, std::string_view in_lower) {
  return std::ranges::equal(text, in_lower, [](char a, char b) { return lower(a) == b; });
}

Method method_of(std::string_view token) {
  if (token == "POST") return Method::kPost;
  if (token == "GET") return Method::kGet;
  if (token == "HEAD") return Method::kHead;
  if (token == "PUT") return Method::kPut;
  if (token == "DELETE") return Method::kDelete;
  return Method::kOther;
}

class HeadReader {
 public:
  HeadReader(std::string_view head, Request& request, BodyFraming& framing)
      : at_(head.data()), end_(at_ + head.size()), request_(request), framing_(framing) {}

  bool read() {
    if (!request_line()) return false;
    while (*at_ != '\r') {
      if (!line()) return false;
    }
    if (end_ - at_ != 2 || (request_.http11 && !has_host_)) return false;
    request_.keep_alive = request_.http11 && !close_;
    return true;
  }

 private:
  // A token that is not empty, and the byte behind it. There is one: the CR of its line is no token byte.
  bool token(char then, std::string_view& out) {
    const char* const start = at_;
    while (kTokenBytes[static_cast<unsigned char>(*at_)]) ++at_;
    out = {start, static_cast<std::size_t>(at_ - start)};
    return !out.empty() && *at_++ == then;
  }

  bool request_line() {
    std::string_view method;
    if (!token(' ', method)) return false;
    const char* const target = at_;
    at_ = find_stop<TargetStops>(at_, end_);
    if (at_ == target || *at_ != ' ') return false;
    request_.method = method_of(method);
    constexpr std::string_view kVersion = " HTTP/1.";
    if (end_ - at_ < 11 || std::string_view(at_, kVersion.size()) != kVersion) return false;
    const char minor = at_[kVersion.size()];
    if ((minor != '0' && minor != '1') || at_[9] != '\r' || at_[10] != '\n') return false;
    request_.http11 = minor == '1';
    request_.target.assign(target, at_);
    at_ += 11;
    return true;
  }

  bool line() {
    std::string_view name;
    if (!token(':', name)) return false;
    while (blank(*at_)) ++at_;
    const char* const start = at_;
    at_ = find_stop<LineStops>(at_, end_);
    if (at_[0] != '\r' || at_[1] != '\n') return false;
    const char* stop = at_;
    while (stop != start && blank(stop[-1])) --stop;
    at_ += 2;
    return field(name, {start, static_cast<std::size_t>(stop - start)});
  }

  bool field(std::string_view name, std::string_view value) {
    switch (name.size()) {
      case 4:
        if (spells(name.data(), "host")) return !std::exchange(has_host_, true);
        return true;
      case 6:
        if (spells(name.data(), "accept")) {
          if (request_.target.starts_with("/metrics") || !request_.target.starts_with('/')) request_.accept.add(value);
          return true;
        }
        if (spells(name.data(), "x-role")) return first(request_.role, value);
        if (spells(name.data(), "expect") && equals_ignoring_case(value, "100-continue"))
          request_.expect_continue = request_.http11;
        return true;
      case 7:
        if (spells(name.data(), "baggage")) request_.baggage.add(value);
        return true;
      case 10:
        if (spells(name.data(), "connection")) return connection(value);
        if (spells(name.data(), "tracestate")) request_.tracestate.add(value);
        return true;
      case 11:
        if (spells(name.data(), "traceparent")) request_.traceparent.add(value);
        return true;
      case 12:
        if (spells(name.data(), "x-request-id")) return first(request_.request_id, value);
        return true;
      case 13:
        if (spells(name.data(), "authorization")) return first(request_.authorization, value);
        return true;
      case 14:
        if (spells(name.data(), "content-length")) return content_length(value);
        return true;
      case 16:
        if (spells(name.data(), "proxy-connection")) return connection(value);
        return true;
      case 17:
        if (spells(name.data(), "transfer-encoding")) return transfer_encoding(value);
        return true;
      default: return true;
    }
  }

  static bool first(std::string& kept, std::string_view value) {
    if (kept.empty()) kept.assign(value);
    return true;
  }

  // Digits only, and once: two parsers may not agree on anything else.
  bool content_length(std::string_view value) {
    if (std::exchange(has_length_, true) || framing_.chunked || value.starts_with('-')) return false;
    const auto* const stop = value.data() + value.size();
    const auto [end, error] = std::from_chars(value.data(), stop, framing_.length);
    return error == std::errc{} && end == stop;
  }

  bool transfer_encoding(std::string_view value) {
    if (has_length_ || framing_.chunked || !request_.http11) return false;
    framing_.chunked = true;
    return equals_ignoring_case(value, "chunked");
  }

  // RFC 9110, 5.6.1: tokens between commas, where empty ones do not count.
  bool connection(std::string_view list) {
    bool comma = true;
    for (std::size_t at = 0; at < list.size();) {
      if (blank(list[at])) {
        ++at;
      } else if (list[at] == ',') {
        comma = true;
        ++at;
      } else {
        const auto start = at;
        while (at < list.size() && kTokenBytes[static_cast<unsigned char>(list[at])]) ++at;
        if (at == start || !std::exchange(comma, false)) return false;
        if (equals_ignoring_case(list.substr(start, at - start), "close")) close_ = true;
      }
    }
    return true;
  }

  const char* at_;
  const char* const end_;
  Request& request_;
  BodyFraming& framing_;
  bool has_host_ = false, has_length_ = false, close_ = false;
};

}  // namespace

bool read_head(std::string_view head, Request& request, BodyFraming& framing) {
  return HeadReader(head, request, framing).read();
}

}  // namespace codeq::transport::http
