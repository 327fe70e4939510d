#include "observe/otlp/encode.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "observe/utf8.h"

namespace codeq::observe {
namespace {

constexpr std::size_t kVarintBytesMax = 10;
constexpr std::uint32_t kHasIsRemote = 0x100;  // trace.proto, SpanFlags
constexpr std::uint32_t kIsRemote = 0x200;

constexpr std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// Every field number of these messages is below 16 or exactly 16, so a tag takes one or two bytes.
constexpr std::size_t text_field_size(std::size_t length) { return 1 + varint_size(length) + length; }

// At most `max` bytes, cut between characters.
std::string_view cut(std::string_view text, std::size_t max = kSpanTextBytesMax) {
  if (text.size() <= max) return text;
  std::size_t end = max;
  while (end > max - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

class Writer {
 public:
  explicit Writer(char* at) : at_(at) {}
  [[nodiscard]] char* at() const { return at_; }

  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }
  void tag(unsigned field, unsigned wire_type) { varint((field << 3) | wire_type); }
  void varint_field(unsigned field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
  }
  void fixed64_field(unsigned field, std::uint64_t value) {
    tag(field, 1);
    for (int i = 0; i < 8; ++i, value >>= 8) *at_++ = static_cast<char>(value);
  }
  void fixed32_field(unsigned field, std::uint32_t value) {
    tag(field, 5);
    for (int i = 0; i < 4; ++i, value >>= 8) *at_++ = static_cast<char>(value);
  }
  void message_field(unsigned field, std::size_t length) {
    tag(field, 2);
    varint(length);
  }
  template <std::size_t n>
  void id_field(unsigned field, const std::array<std::uint8_t, n>& id) {
    message_field(field, n);
    std::memcpy(at_, id.data(), n);
    at_ += n;
  }
  void text_field(unsigned field, std::string_view text) {
    message_field(field, text.size());
    if (text.empty()) return;  // data() may be null
    std::memcpy(at_, text.data(), text.size());
    scrub_utf8(at_, text.size());
    at_ += text.size();
  }

 private:
  char* at_;
};

void write_attribute(Writer& out, const Attribute& attribute) {
  const std::string_view key = cut(attribute.key);
  const std::size_t key_size = text_field_size(key.size());
  const auto open = [&](std::size_t value_size) {  // KeyValue { key = 1; AnyValue value = 2 }
    out.message_field(9, key_size + 1 + varint_size(value_size) + value_size);
    out.text_field(1, key);
    out.message_field(2, value_size);
  };
  if (const auto* text = std::get_if<std::string_view>(&attribute.value)) {
    const std::string_view value = cut(*text);
    open(text_field_size(value.size()));
    out.text_field(1, value);
  } else if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) {
    const auto bits = static_cast<std::uint64_t>(*number);
    open(1 + varint_size(bits));
    out.varint_field(3, bits);
  } else {
    open(2);
    out.varint_field(2, std::get<bool>(attribute.value) ? 1 : 0);
  }
}

void write_link(Writer& out, const core::SpanContext& link) {
  constexpr std::size_t kSize = 18 + 10 + 5;
  out.message_field(13, kSize);
  out.id_field(1, link.trace_id.bytes);
  out.id_field(2, link.span_id.bytes);
  out.fixed32_field(6, link.flags);  // whether it is remote is not known: bit 8 stays clear
}

void write_body(Writer& out, const Span& span) {
  out.id_field(1, span.context.trace_id.bytes);
  out.id_field(2, span.context.span_id.bytes);
  if (!span.tracestate.empty() && span.tracestate.size() <= kSpanTracestateBytesMax) out.text_field(3, span.tracestate);
  if (span.parent.valid()) out.id_field(4, span.parent.bytes);
  out.text_field(5, cut(span.name));
  out.varint_field(6, static_cast<std::uint64_t>(span.kind));
  out.fixed64_field(7, static_cast<std::uint64_t>(span.start_ns));
  out.fixed64_field(8, static_cast<std::uint64_t>(span.end_ns));
  for (std::uint32_t i = 0; i < span.attribute_count; ++i) write_attribute(out, span.attributes[i]);
  for (std::uint32_t i = 0; i < span.link_count; ++i) write_link(out, span.links[i]);
  if (span.error) {  // Status { message = 2; code = 3 }, code 2 is ERROR
    const std::string_view message = cut(span.error_message);
    out.message_field(15, (message.empty() ? 0 : text_field_size(message.size())) + 2);
    if (!message.empty()) out.text_field(2, message);
    out.varint_field(3, 2);
  }
  const std::uint32_t remote = span.parent.valid() && span.parent_is_remote ? kIsRemote : 0;
  out.fixed32_field(16, span.context.flags | kHasIsRemote | remote);
}

std::size_t body_bound(const Span& span) {
  constexpr std::size_t kTextHead = 1 + kVarintBytesMax;
  std::size_t bound = 128;  // ids, times, kind, flags, status code
  bound += kTextHead + std::min(span.tracestate.size(), kSpanTracestateBytesMax);
  bound += kTextHead + std::min(span.name.size(), kSpanTextBytesMax);
  bound += kTextHead + std::min(span.error_message.size(), kSpanTextBytesMax);
  bound += span.link_count * std::size_t{40};
  for (std::uint32_t i = 0; i < span.attribute_count; ++i) {
    const Attribute& attribute = span.attributes[i];
    const auto* text = std::get_if<std::string_view>(&attribute.value);
    bound += 4 * kTextHead + std::min(attribute.key.size(), kSpanTextBytesMax) +
             (text != nullptr ? std::min(text->size(), kSpanTextBytesMax) : kVarintBytesMax);
  }
  return bound;
}

void append_key_value(std::string_view key, std::string_view value, std::string& out) {
  const Attribute attribute{key, value};
  std::string buffer(64 + cut(key).size() + cut(value).size(), '\0');
  Writer writer(buffer.data());
  write_attribute(writer, attribute);
  buffer.resize(static_cast<std::size_t>(writer.at() - buffer.data()));
  buffer[0] = (1 << 3) | 2;  // Resource.attributes is field 1 where a span's is field 9; the tag is one byte in both
  out += buffer;
}

void append_message(unsigned field, std::size_t length, std::string& out) {
  std::array<char, 2 * kVarintBytesMax> head{};
  Writer writer(head.data());
  writer.message_field(field, length);
  out.append(head.data(), writer.at());
}

}  // namespace

std::string_view encode_span(const Span& span, std::string& scratch) {
  constexpr std::size_t kHeadBytes = 1 + kVarintBytesMax;
  const std::size_t bound = kHeadBytes + body_bound(span);
  if (scratch.size() < bound) scratch.resize(bound);
  char* const body = scratch.data() + kHeadBytes;
  Writer writer(body);
  write_body(writer, span);
  CHECK(writer.at() <= scratch.data() + bound);
  const auto length = static_cast<std::size_t>(writer.at() - body);
  // The length is known last but stands first: written backwards from the body.
  char* const head = body - 1 - varint_size(length);
  Writer(head).message_field(2, length);
  return {head, writer.at()};
}

std::string encode_resource(const TracingOptions& options) {
  std::string out;
  append_key_value("service.name", options.service_name, out);
  if (!options.service_version.empty()) append_key_value("service.version", options.service_version, out);
  append_key_value("telemetry.sdk.name", "codeq", out);
  append_key_value("telemetry.sdk.language", "cpp", out);
  append_key_value("telemetry.sdk.version", options.service_version.empty() ? "0" : options.service_version, out);
  for (const auto& [key, value] : options.resource_attributes) {
    if (key.starts_with("telemetry.sdk.") || (key == "service.version" && !options.service_version.empty())) continue;
    append_key_value(key, value, out);
  }
  return out;
}

void encode_request(std::string_view resource, const ScopeBodies& bodies, std::string& out) {
  // InstrumentationScope { name = 1 } inside ScopeSpans { scope = 1; spans = 2 } inside ResourceSpans { resource = 1;
  // scope_spans = 2 } inside ExportTraceServiceRequest { resource_spans = 1 }.
  std::array<std::size_t, kScopeNames.size()> sizes{};
  std::size_t total = text_field_size(resource.size());
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    if (bodies[i].empty()) continue;
    sizes[i] = text_field_size(text_field_size(kScopeNames[i].size())) + bodies[i].size();
    total += text_field_size(sizes[i]);
  }
  out.clear();
  out.reserve(total + 1 + kVarintBytesMax);
  append_message(1, total, out);
  append_message(1, resource.size(), out);
  out += resource;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    if (bodies[i].empty()) continue;
    append_message(2, sizes[i], out);
    append_message(1, text_field_size(kScopeNames[i].size()), out);
    append_message(1, kScopeNames[i].size(), out);
    out += kScopeNames[i];
    out += bodies[i];
  }
}

}  // namespace codeq::observe
