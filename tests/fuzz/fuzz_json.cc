// fuzz-room: codeq_core codeq_services
// The room of services is named only because it links simdjson.
// Our scanner against simdjson's DOM, which converts what it reads. So: what simdjson accepts we accept; what we accept and
// it refuses must fail in a conversion (a number's range, half a surrogate pair), never in the grammar or in UTF-8.
#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "core/json_scan.h"

namespace {
namespace core = codeq::core;

bool only_a_conversion(simdjson::error_code error) {
  switch (error) {
    case simdjson::NUMBER_ERROR:
    case simdjson::STRING_ERROR:
    case simdjson::NUMBER_OUT_OF_RANGE:
    case simdjson::INCORRECT_TYPE: return true;
    default: return false;
  }
}

// Tells the same text through the slices, to the bottom.
void check_slices(std::string_view value, std::size_t depth_max) {
  const bool object = value.starts_with('{');
  if (!object && !value.starts_with('[')) return;
  const auto* last = value.data();
  const auto visit = [&](const core::JsonMember& member) {
    CHECK(member.value.data() >= last && member.value.data() + member.value.size() < value.data() + value.size());
    last = member.value.data() + member.value.size();
    CHECK(core::valid_json(member.value, depth_max - 1));
    if (object) CHECK(core::json_unescape(member.key_raw).has_value());
    if (member.type == core::JsonType::kString) CHECK(core::json_unescape(member.value).has_value());
    if (member.type == core::JsonType::kArray || member.type == core::JsonType::kObject) {
      // Every level reads its bytes again, so some levels must do.
      if (depth_max > core::kJsonDepthLimit - 4) check_slices(member.value, depth_max - 1);
    }
  };
  const auto error = object ? core::scan_object(value, visit, depth_max) : core::scan_array(value, visit, depth_max);
  CHECK(!error);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ours = core::validate(text, core::kJsonDepthLimit);
  if (ours) CHECK(ours->offset <= size && !ours->reason.empty());
  CHECK(core::valid_json(text, 3) <= !ours);

  static simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  const auto theirs = parser.parse(padded).error();
  const bool byte_order_mark = text.starts_with("\xef\xbb\xbf");  // newer versions skip it
  if (theirs == simdjson::SUCCESS && !byte_order_mark) CHECK(!ours || ours->reason == "too deep");
  if (theirs != simdjson::SUCCESS && !ours && theirs != simdjson::DEPTH_ERROR) CHECK(only_a_conversion(theirs));

  const auto ignore = [](const core::JsonMember&) {};
  const bool object = !core::scan_object(text, ignore, core::kJsonDepthLimit);
  const bool array = !core::scan_array(text, ignore, core::kJsonDepthLimit);
  CHECK(!(object && array));
  if (object || array) {
    CHECK(!ours);
    const auto begin = text.find_first_of("{[");
    check_slices(text.substr(begin, text.find_last_of("}]") + 1 - begin), core::kJsonDepthLimit);
  } else if (!ours) {
    CHECK(text[text.find_first_not_of(" \t\r\n")] != '{');
    CHECK(text[text.find_first_not_of(" \t\r\n")] != '[');
  }

  std::string written;
  core::append_json_string(written, text);
  CHECK(core::valid_json(written));
  const auto back = core::json_unescape(written);
  CHECK(back.has_value());
  if (core::valid_json("\"" + std::string(text) + "\"") && text.find('\\') == std::string_view::npos)
    CHECK(*back == text);
  if (const auto number = core::json_int(text)) {
    CHECK(!ours);
    CHECK(std::to_string(*number) == text || text == "-0");
  }
  return 0;
}
