#include "core/trace_context.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"

namespace codeq::core {
namespace {

constexpr std::size_t kKeyBytesMax = 256;
constexpr std::size_t kTenantBytesMax = 241;
constexpr std::size_t kSystemBytesMax = 14;
constexpr std::size_t kValueBytesMax = 256;

constexpr bool is_ows(char c) { return c == ' ' || c == '\t'; }

constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && is_ows(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_ows(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `accept` for each part of `list`, OWS trimmed; false as soon as one is refused.
template <class F>
bool each_part(std::string_view list, char separator, F&& accept) {
  while (true) {
    const auto end = list.find(separator);
    if (!accept(trim(list.substr(0, end)))) return false;
    if (end == std::string_view::npos) return true;
    list.remove_prefix(end + 1);
  }
}

constexpr bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

constexpr bool valid_key_part(std::string_view part, std::size_t bytes_max) {
  return !part.empty() && part.size() <= bytes_max && is_lower_or_digit(part.front()) &&
         std::ranges::all_of(
             part, [](char c) { return is_lower_or_digit(c) || c == '_' || c == '-' || c == '*' || c == '/'; });
}

// Level 2 lets a key begin with a digit and lets '@' stand anywhere after that. Of the latter we take the form that both
// levels share, tenant@system, because the recommendation's own test-suite refuses the others.
constexpr bool valid_tracestate_key(std::string_view key) {
  const auto at = key.find('@');
  if (at == std::string_view::npos) return valid_key_part(key, kKeyBytesMax);
  return valid_key_part(key.substr(0, at), kTenantBytesMax) && valid_key_part(key.substr(at + 1), kSystemBytesMax);
}

// The member is trimmed, so it cannot end with a space; leading spaces belong to the value.
constexpr bool valid_tracestate_value(std::string_view value) {
  return !value.empty() && value.size() <= kValueBytesMax &&
         std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

// RFC 7230 section 3.2.6.
constexpr bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
constexpr bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }
constexpr bool is_baggage_value(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\'; });
}

bool valid_baggage_member(std::string_view member) {
  bool first = true;
  return each_part(member, ';', [&first](std::string_view part) {
    const bool needs_value = std::exchange(first, false);  // a property may be a bare key
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return !needs_value && is_token(part);
    return is_token(trim(part.substr(0, equals))) && is_baggage_value(trim(part.substr(equals + 1)));
  });
}

// One list in the order of the lines; lines without content add nothing. Empty when it would pass `bytes_max`, which
// neither list may, so that what a caller sends decides no allocation beyond that.
std::string join(std::span<const std::string_view> lines, std::size_t bytes_max) {
  std::string list;
  for (const auto line : lines) {
    const auto content = trim(line);
    if (content.empty()) continue;
    if (!list.empty()) list += ',';
    if (list.size() + content.size() > bytes_max) return {};
    list += content;
  }
  return list;
}

}  // namespace

std::optional<SpanContext> parse_traceparent(std::string_view text) {
  text = trim(text);
  if (text.size() < kTraceparentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  SpanContext context;
  if (!read_hex_lower(text.data(), version) || !read_hex_lower(text.data() + 3, context.trace_id.bytes) ||
      !read_hex_lower(text.data() + 36, context.span_id.bytes) || !read_hex_lower(text.data() + 53, flags)) {
    return std::nullopt;
  }
  if (version[0] == 0xff || !context.valid()) return std::nullopt;
  // Versions to come may only add fields behind ours.
  if (text.size() > kTraceparentBytes && (version[0] == 0 || text[kTraceparentBytes] != '-')) return std::nullopt;
  context.flags = flags[0] & (kFlagSampled | kFlagRandomTraceId);
  return context;
}

char* write_traceparent(const SpanContext& context, char* out) {
  *out++ = '0';
  *out++ = '0';
  *out++ = '-';
  out = write_hex(context.trace_id.bytes, out);
  *out++ = '-';
  out = write_hex(context.span_id.bytes, out);
  *out++ = '-';
  const std::array<std::uint8_t, 1> flags{
      static_cast<std::uint8_t>(context.flags & (kFlagSampled | kFlagRandomTraceId))};
  return write_hex(flags, out);
}

void append_traceparent(const SpanContext& context, std::string& out) {
  std::array<char, kTraceparentBytes> text;
  write_traceparent(context, text.data());
  out.append(text.data(), text.size());
}

std::string format_traceparent(const SpanContext& context) {
  std::string out;
  append_traceparent(context, out);
  return out;
}

std::string to_hex(const TraceId& id) {
  std::string out(2 * id.bytes.size(), '0');
  write_hex(id.bytes, out.data());
  return out;
}

std::string to_hex(const SpanId& id) {
  std::string out(2 * id.bytes.size(), '0');
  write_hex(id.bytes, out.data());
  return out;
}

std::optional<TraceId> parse_trace_id(std::string_view hex) {
  TraceId id;
  if (hex.size() != 2 * id.bytes.size() || !read_hex_lower(hex.data(), id.bytes) || !id.valid()) return std::nullopt;
  return id;
}

std::optional<SpanId> parse_span_id(std::string_view hex) {
  SpanId id;
  if (hex.size() != 2 * id.bytes.size() || !read_hex_lower(hex.data(), id.bytes) || !id.valid()) return std::nullopt;
  return id;
}

bool valid_tracestate(std::string_view list) {
  if (list.size() > kTracestateBytesMax) return false;
  std::array<std::string_view, kTracestateMembersMax> keys;
  std::size_t members = 0;
  return each_part(list, ',', [&](std::string_view member) {
    if (member.empty()) return true;
    const auto equals = member.find('=');
    if (equals == std::string_view::npos || members == keys.size()) return false;
    const auto key = member.substr(0, equals);
    if (!valid_tracestate_key(key) || !valid_tracestate_value(member.substr(equals + 1))) return false;
    if (std::ranges::count(std::span(keys).first(members), key) != 0) return false;
    keys[members++] = key;
    return true;
  });
}

bool valid_baggage(std::string_view list) {
  if (list.size() > kBaggageBytesMax) return false;
  std::size_t members = 0;
  return each_part(list, ',', [&members](std::string_view member) {
    return ++members <= kBaggageMembersMax && valid_baggage_member(member);
  });
}

TraceContext extract(const TraceHeaders& headers) {
  TraceContext context;
  if (headers.traceparent.size() == 1) {
    if (const auto span = parse_traceparent(headers.traceparent.front())) context.span = *span;
  }
  if (context.span.valid() && !headers.tracestate.empty()) {
    auto list = join(headers.tracestate, kTracestateBytesMax);
    if (list.find('=') != std::string::npos && valid_tracestate(list)) context.tracestate = std::move(list);
  }
  if (!headers.baggage.empty()) {
    auto list = join(headers.baggage, kBaggageBytesMax);
    if (!list.empty() && valid_baggage(list)) context.baggage = std::move(list);
  }
  return context;
}

}  // namespace codeq::core
