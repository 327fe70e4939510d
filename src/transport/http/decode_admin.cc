#include "transport/http/decode_admin.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "core/json_scan.h"
#include "core/rfc3339.h"
#include "core/rows.h"
#include "transport/http/router.h"

namespace codeq::transport::http {

namespace {

using core::JsonMember;
using core::JsonType;

constexpr std::size_t kNameBytesMax = 256;
constexpr std::string_view kHexDigits = "0123456789abcdef";

std::unexpected<Error> invalid(std::string_view name, std::string_view hint = "") {
  return fail(Code::kInvalidArgument, "invalid '" + std::string(name) + "'" + std::string(hint));
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool blank(std::string_view text) { return std::all_of(text.begin(), text.end(), is_space); }

std::optional<std::string> bytes_of_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = kHexDigits.find(text[i]), low = kHexDigits.find(text[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

Result<std::size_t> read_limit(std::string_view query) {
  std::string text;
  if (!query_value(query, "limit", text)) return kListDefault;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  std::uint64_t limit = kListMax;  // more than 64 bits of it are only "many"
  if (digits) std::from_chars(text.data(), text.data() + text.size(), limit);
  if (!digits || limit == 0) return invalid("limit", " (use 1 to 200)");
  return static_cast<std::size_t>(std::min<std::uint64_t>(limit, kListMax));
}

Result<std::string> read_name(std::string_view query, std::string_view name, std::size_t bytes_max) {
  std::string text;
  if (query_value(query, name, text) && text.size() > bytes_max) return invalid(name, " (too long)");
  return text;
}

Result<std::optional<std::int64_t>> read_time(std::string_view query, std::string_view name) {
  std::string text;
  if (!query_value(query, name, text)) return std::nullopt;
  const auto time = core::parse_rfc3339(text);
  if (!time) return invalid(name, " (use RFC3339)");
  return time;
}

// Of that many bytes; empty where there is none.
Result<std::string> read_cursor(std::string_view query, std::size_t size) {
  std::string text;
  if (!query_value(query, "cursor", text)) return std::string();
  auto bytes = bytes_of_hex(text);
  if (!bytes || bytes->size() != size) return invalid("cursor");
  return *std::move(bytes);
}

// Every member by its name; any other refuses the body.
template <std::size_t N, class F>
bool read_strictly(std::string_view text, const std::array<std::string_view, N>& names, std::size_t depth_max,
                   F&& take) {
  return blank(text) || !core::scan_object(
                            text,
                            [&](const JsonMember& member) {
                              const auto name = core::json_name(member.key_raw, names);
                              return name && take(*name, member);
                            },
                            depth_max);
}

bool read_string(const JsonMember& member, std::string& out, std::size_t bytes_max) {
  if (member.type == JsonType::kNull) return true;
  if (member.type != JsonType::kString) return false;
  auto text = core::json_unescape(member.value);
  if (!text || text->size() > bytes_max) return false;
  out = *std::move(text);
  return true;
}

bool read_int(const JsonMember& member, std::int64_t& out) {
  if (member.type == JsonType::kNull) return true;
  const auto number = core::json_int(member.value);
  if (member.type != JsonType::kNumber || !number) return false;
  out = *number;
  return true;
}

bool read_bool(const JsonMember& member, bool& out) {
  if (member.type == JsonType::kNull) return true;
  if (member.type != JsonType::kBool) return false;
  out = member.value == "true";
  return true;
}

bool read_ids(const JsonMember& member, std::vector<std::string>& out, std::size_t depth_max) {
  out.clear();
  const auto visit = [&](const JsonMember& element) {
    return element.type == JsonType::kString && out.size() < kIdsMax &&
           read_string(element, out.emplace_back(), kNameBytesMax);
  };
  // An empty list of ids would mean none, and no list means all: refused, lest one is taken for the other.
  return member.type == JsonType::kArray && !core::scan_array(member.value, visit, depth_max) && !out.empty();
}

}  // namespace

std::string cursor_text(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += kHexDigits[static_cast<unsigned char>(c) >> 4U];
    text += kHexDigits[static_cast<unsigned char>(c) & 15U];
  }
  return text;
}

Result<services::TaskFilter> decode_task_query(std::string_view query) {
  static constexpr std::array<std::string_view, 6> kStates = {"ready",     "delayed", "leased",
                                                              "completed", "failed",  "dead"};
  services::TaskFilter filter;
  CODEQ_TRY(filter.limit, read_limit(query));
  CODEQ_TRY(filter.command, read_name(query, "command", kNameBytesMax));
  CODEQ_TRY(filter.worker, read_name(query, "worker", kNameBytesMax));
  CODEQ_TRY(filter.created_after_ns, read_time(query, "createdAfter"));
  CODEQ_TRY(filter.created_before_ns, read_time(query, "createdBefore"));
  std::string text;
  if (query_value(query, "state", text)) {
    const auto found = std::find(kStates.begin(), kStates.end(), text);
    if (found == kStates.end()) return invalid("state", " (use ready, delayed, leased, completed, failed or dead)");
    filter.state = static_cast<services::TaskState>(found - kStates.begin() + 1);
  }
  if (query_value(query, "traceId", text)) {
    const auto bytes = bytes_of_hex(text);
    if (!bytes || bytes->size() != filter.trace_id.bytes.size()) return invalid("traceId", " (use 32 hex digits)");
    std::copy(bytes->begin(), bytes->end(), filter.trace_id.bytes.begin());
    if (!filter.trace_id.valid()) return invalid("traceId", " (use 32 hex digits)");
  }
  CODEQ_TRY(const auto cursor, read_cursor(query, 8));
  filter.below = core::number_at(cursor, 0);
  if (!cursor.empty() && filter.below == 0) return invalid("cursor");
  return filter;
}

Result<DeadLetterQuery> decode_dead_letter_query(std::string_view query) {
  DeadLetterQuery asked;
  CODEQ_TRY(asked.filter.limit, read_limit(query));
  CODEQ_TRY(asked.filter.command, read_name(query, "command", kNameBytesMax));
  CODEQ_TRY(asked.filter.reason_prefix, read_name(query, "reason", kReasonBytesMax));
  CODEQ_TRY(asked.filter.after_ns, read_time(query, "after"));
  CODEQ_TRY(asked.filter.before_ns, read_time(query, "before"));
  CODEQ_TRY(asked.from, read_cursor(query, 16));
  return asked;
}

Result<DeadWorkBody> decode_dead_work(std::string_view body, bool redrive, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 8> kNames = {"command", "reason", "after", "before",
                                                             "ids",     "dryRun", "limit", "ratePerSecond"};
  DeadWorkBody work;
  std::string after, before;
  std::int64_t limit = 0;
  const bool fits = read_strictly(body, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    switch (name) {
      case 0: return read_string(member, work.filter.command, kNameBytesMax);
      case 1: return read_string(member, work.filter.reason_prefix, kReasonBytesMax);
      case 2: return read_string(member, after, kNameBytesMax);
      case 3: return read_string(member, before, kNameBytesMax);
      case 4: return read_ids(member, work.filter.ids, depth_max);
      case 5: return read_bool(member, work.dry_run);
      case 6: return read_int(member, limit);
      default: return redrive && read_int(member, work.rate_per_second);
    }
  });
  if (!fits) return fail(Code::kInvalidBody, "invalid body");
  const auto time = [](std::string_view name, const std::string& text,
                       std::optional<std::int64_t>& out) -> Result<void> {
    if (text.empty()) return {};
    out = core::parse_rfc3339(text);
    if (!out) return invalid(name, " (use RFC3339)");
    return {};
  };
  CODEQ_TRY_VOID(time("after", after, work.filter.after_ns));
  CODEQ_TRY_VOID(time("before", before, work.filter.before_ns));
  if (limit < 0) return invalid("limit", " (must be >= 0)");
  if (work.rate_per_second < 0) return invalid("ratePerSecond", " (must be >= 0)");
  work.filter.limit = static_cast<std::size_t>(limit == 0 ? kDeadWorkDefault : std::min(limit, kDeadWorkMax));
  return work;
}

Result<std::string> decode_cancel(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 1> kNames = {"reason"};
  std::string reason;
  bool too_long = false;
  const auto visit = [&](const JsonMember& member) {
    if (!core::json_name(member.key_raw, kNames)) return true;
    if (read_string(member, reason, kReasonBytesMax)) return true;
    too_long = member.type == JsonType::kString;
    return false;
  };
  if (blank(body) || !core::scan_object(body, visit, depth_max)) return reason;
  if (too_long) return invalid("reason", " (at most 1024 bytes)");
  return fail(Code::kInvalidBody, "invalid body");
}

}  // namespace codeq::transport::http
