#include "app/otlp_decode.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cmath>
#include <iterator>
#include <protozero/pbf_reader.hpp>

namespace codeq::app {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr auto kVarint = pbf_wire_type::varint;
constexpr auto kFixed64 = pbf_wire_type::fixed64;
constexpr auto kFixed32 = pbf_wire_type::fixed32;
constexpr auto kBytes = pbf_wire_type::length_delimited;

// Thrown and caught inside this file, next to protozero's own exceptions.
struct Refused {
  Code code;
  const char* why;
};

struct Budget {
  std::size_t spans = kOtlpSpansMax;
  std::size_t elements = kOtlpElementsMax;
  static void spend(std::size_t& left) {
    if (left-- == 0) throw Refused{Code::kBodyTooLarge, "too many spans, attributes or links"};
  }
};

std::string text(pbf_reader& reader) {
  const auto view = reader.get_view();
  return {view.data(), view.size()};
}

std::string hex_id(pbf_reader& reader, std::size_t size, bool may_be_empty) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto view = reader.get_view();
  if (view.size() != size && !(may_be_empty && view.size() == 0))
    throw Refused{Code::kInvalidArgument, "an id of the wrong size"};
  std::string out;
  for (std::size_t i = 0; i < view.size(); ++i) {
    const auto byte = static_cast<unsigned char>(view.data()[i]);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

using Value = std::variant<std::string, std::int64_t, bool, double>;

Value read_value(pbf_reader any) {
  Value value;
  while (any.next()) {
    switch (any.tag_and_type()) {
      case tag_and_type(1, kBytes): value = text(any); break;
      case tag_and_type(2, kVarint): value = any.get_bool(); break;
      case tag_and_type(3, kVarint): value = any.get_int64(); break;
      case tag_and_type(4, kFixed64): value = any.get_double(); break;
      default: any.skip();
    }
  }
  return value;
}

std::pair<std::string, Value> read_key_value(pbf_reader pair) {
  std::pair<std::string, Value> out;
  while (pair.next()) {
    switch (pair.tag_and_type()) {
      case tag_and_type(1, kBytes): out.first = text(pair); break;
      case tag_and_type(2, kBytes): out.second = read_value(pair.get_message()); break;
      default: pair.skip();
    }
  }
  return out;
}

ReceivedLink read_link(pbf_reader reader) {
  ReceivedLink link;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes): link.trace_id = hex_id(reader, 16, false); break;
      case tag_and_type(2, kBytes): link.span_id = hex_id(reader, 8, false); break;
      case tag_and_type(6, kFixed32): link.flags = reader.get_fixed32(); break;
      default: reader.skip();
    }
  }
  return link;
}

void read_status(pbf_reader status, ReceivedSpan& span) {
  constexpr int kError = 2;
  while (status.next()) {
    switch (status.tag_and_type()) {
      case tag_and_type(2, kBytes): span.error_message = text(status); break;
      case tag_and_type(3, kVarint): span.error = status.get_enum() == kError; break;
      default: status.skip();
    }
  }
}

ReceivedSpan read_span(pbf_reader reader, Budget& budget) {
  ReceivedSpan span;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes): span.trace_id = hex_id(reader, 16, false); break;
      case tag_and_type(2, kBytes): span.span_id = hex_id(reader, 8, false); break;
      case tag_and_type(3, kBytes): span.trace_state = text(reader); break;
      case tag_and_type(4, kBytes): span.parent_span_id = hex_id(reader, 8, true); break;
      case tag_and_type(5, kBytes): span.name = text(reader); break;
      case tag_and_type(6, kVarint): span.kind = reader.get_enum(); break;
      case tag_and_type(7, kFixed64): span.start_ns = static_cast<std::int64_t>(reader.get_fixed64()); break;
      case tag_and_type(8, kFixed64): span.end_ns = static_cast<std::int64_t>(reader.get_fixed64()); break;
      case tag_and_type(9, kBytes):
        Budget::spend(budget.elements);
        span.attributes.insert(read_key_value(reader.get_message()));
        break;
      case tag_and_type(13, kBytes):
        Budget::spend(budget.elements);
        span.links.push_back(read_link(reader.get_message()));
        break;
      case tag_and_type(15, kBytes): read_status(reader.get_message(), span); break;
      case tag_and_type(16, kFixed32): span.flags = reader.get_fixed32(); break;
      default: reader.skip();
    }
  }
  if (span.trace_id.empty() || span.span_id.empty()) throw Refused{Code::kInvalidArgument, "a span without its ids"};
  return span;
}

std::string read_scope_name(pbf_reader scope) {
  std::string name;
  while (scope.next()) {
    if (scope.tag_and_type() == tag_and_type(1, kBytes))
      name = text(scope);
    else
      scope.skip();
  }
  return name;
}

std::string read_service_name(pbf_reader resource) {
  std::string name;
  while (resource.next()) {
    if (resource.tag_and_type() != tag_and_type(1, kBytes)) {
      resource.skip();
      continue;
    }
    const auto [key, value] = read_key_value(resource.get_message());
    if (const auto* string = std::get_if<std::string>(&value); string != nullptr && key == "service.name")
      name = *string;
  }
  return name;
}

// Resource and scope may stand behind what they describe, so each level is read twice.
void read_scope_spans(pbf_reader reader, const std::string& service, Budget& budget, std::vector<ReceivedSpan>& out) {
  std::string scope;
  for (pbf_reader first = reader; first.next();) {
    if (first.tag_and_type() == tag_and_type(1, kBytes))
      scope = read_scope_name(first.get_message());
    else
      first.skip();
  }
  while (reader.next()) {
    if (reader.tag_and_type() != tag_and_type(2, kBytes)) {
      reader.skip();
      continue;
    }
    Budget::spend(budget.spans);
    out.push_back(read_span(reader.get_message(), budget));
    out.back().scope = scope;
    out.back().service_name = service;
  }
}

void read_resource_spans(pbf_reader reader, Budget& budget, std::vector<ReceivedSpan>& out) {
  std::string service;
  for (pbf_reader first = reader; first.next();) {
    if (first.tag_and_type() == tag_and_type(1, kBytes))
      service = read_service_name(first.get_message());
    else
      first.skip();
  }
  while (reader.next()) {
    if (reader.tag_and_type() == tag_and_type(2, kBytes))
      read_scope_spans(reader.get_message(), service, budget, out);
    else
      reader.skip();
  }
}

Result<std::string> gunzip(std::string_view packed) {
  constexpr int kGzipWindow = 15 + 16;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) return fail(Code::kInternal, "zlib is not usable");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib only reads it
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK && out.size() <= kOtlpBodyBytesMax) {
    constexpr std::size_t kStep = 64 << 10;
    const std::size_t before = out.size();
    out.resize(before + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = kStep;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > kOtlpBodyBytesMax) return fail(Code::kBodyTooLarge, "the unpacked message is too large");
  if (status != Z_STREAM_END) return fail(Code::kInvalidArgument, "not gzip");
  return out;
}

void append_json_text(std::string_view value, std::string& out) {
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;  // our exporter sends UTF-8; a foreign one that does not gets its bytes back
    }
  }
  out += '"';
}

void append_json_value(const Value& value, std::string& out) {
  if (const auto* string = std::get_if<std::string>(&value))
    append_json_text(*string, out);
  else if (const auto* number = std::get_if<std::int64_t>(&value))
    out += std::to_string(*number);
  else if (const auto* flag = std::get_if<bool>(&value))
    out += *flag ? "true" : "false";
  else if (const double real = std::get<double>(value); std::isfinite(real))
    out += fmt::format("{}", real);
  else
    out += "null";
}

}  // namespace

std::string ReceivedSpan::attribute(const std::string& key) const {
  const auto found = attributes.find(key);
  if (found == attributes.end()) return {};
  if (const auto* string = std::get_if<std::string>(&found->second)) return *string;
  std::string out;
  append_json_value(found->second, out);
  return out;
}

Result<std::vector<ReceivedSpan>> decode_export_request(std::string_view message) {
  if (message.size() > kOtlpBodyBytesMax) return fail(Code::kBodyTooLarge, "the message is too large");
  std::vector<ReceivedSpan> spans;
  Budget budget;
  try {
    pbf_reader request(message.data(), message.size());
    while (request.next()) {
      if (request.tag_and_type() == tag_and_type(1, kBytes))
        read_resource_spans(request.get_message(), budget, spans);
      else
        request.skip();
    }
  } catch (const Refused& refused) { return fail(refused.code, refused.why); } catch (const protozero::exception&) {
    return fail(Code::kInvalidArgument, "not an ExportTraceServiceRequest");
  }
  return spans;
}

Result<std::string> unpack_grpc_body(std::string_view body, bool gzip) {
  constexpr std::size_t kPrefix = 5;
  if (body.size() < kPrefix) return fail(Code::kInvalidArgument, "no message");
  std::size_t length = 0;
  for (std::size_t i = 1; i < kPrefix; ++i) length = (length << 8) | static_cast<unsigned char>(body[i]);
  if (length != body.size() - kPrefix) return fail(Code::kInvalidArgument, "not exactly one message");
  if (length > kOtlpBodyBytesMax) return fail(Code::kBodyTooLarge, "the message is too large");
  const std::string_view message = body.substr(kPrefix);
  if (body[0] == 0) return std::string(message);
  if (body[0] != 1 || !gzip) return fail(Code::kInvalidArgument, "an unknown compression");
  return gunzip(message);
}

std::string to_json(const ReceivedSpan& span) {
  std::string out = "{";
  const auto key = [&](std::string_view name) {
    if (out.back() != '{') out += ',';
    append_json_text(name, out);
    out += ':';
  };
  const auto string = [&](std::string_view name, std::string_view value) {
    key(name);
    append_json_text(value, out);
  };
  const auto number = [&](std::string_view name, std::int64_t value) {
    key(name);
    out += std::to_string(value);
  };
  string("traceId", span.trace_id);
  string("spanId", span.span_id);
  string("parentSpanId", span.parent_span_id);
  string("name", span.name);
  number("kind", span.kind);
  number("startNs", span.start_ns);
  number("endNs", span.end_ns);
  string("traceState", span.trace_state);
  number("flags", span.flags);
  key("error");
  out += span.error ? "true" : "false";
  string("errorMessage", span.error_message);
  string("scope", span.scope);
  string("service", span.service_name);
  key("attributes");
  out += '{';
  for (const auto& [name, value] : span.attributes) {
    key(name);
    append_json_value(value, out);
  }
  out += '}';
  key("links");
  out += '[';
  for (const ReceivedLink& link : span.links) {
    if (out.back() != '[') out += ',';
    out += fmt::format(R"({{"traceId":"{}","spanId":"{}","flags":{}}})", link.trace_id, link.span_id, link.flags);
  }
  out += "]}";
  return out;
}

}  // namespace codeq::app
