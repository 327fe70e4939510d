#include "app/client/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/json_scan.h"

namespace codeq::app::client {
namespace {

std::string plain_name(std::string_view inside) {
  std::string name;
  for (const char c : inside)
    if (c != ' ' && c != '.' && c != '_') name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : " ") + item;
  return out;
}

// Whether the end of `json` lies inside a string, given where its beginning lay.
bool inside_string(std::string_view json, bool inside) {
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (inside && json[i] == '\\')
      ++i;
    else if (json[i] == '"')
      inside = !inside;
  }
  return inside;
}

void put_json(std::string& out, std::string_view text, bool inside) {
  if (inside)
    core::json_escape_append(out, text);
  else
    core::append_json_string(out, text);
}

}  // namespace

std::string percent_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Result<std::string> fill(std::string_view text, const Values& values, Place place) {
  std::string out;
  bool inside = false;
  while (true) {
    const auto open = text.find("{{");
    const auto literal = text.substr(0, open);
    out += literal;
    inside = inside_string(literal, inside);
    if (open == std::string_view::npos) break;
    const auto close = text.find("}}", open);
    if (close == std::string_view::npos) return fail(Code::kInvalidArgument, "a template has `{{` without `}}`");
    const auto written = text.substr(open + 2, close - open - 2);
    const auto name = plain_name(written);
    text.remove_prefix(close + 2);
    if (name == "iambaseurl" && place == Place::kUrl) {
      out += values.base;
      continue;
    }
    const auto list = values.lists.find(name);
    const auto found = values.texts.find(name);
    if (list == values.lists.end() && found == values.texts.end())
      return fail(Code::kInvalidArgument, fmt::format("a template has the unknown placeholder `{{{{{}}}}}`", written));
    if (list != values.lists.end() && place == Place::kJson && !inside) {
      out += '[';
      for (const auto& item : list->second) {
        if (out.back() != '[') out += ',';
        core::append_json_string(out, item);
      }
      out += ']';
      continue;
    }
    const auto value = list != values.lists.end() ? joined(list->second) : found->second;
    switch (place) {
      case Place::kUrl:
      case Place::kForm: out += percent_encode(value); break;
      case Place::kJson: put_json(out, value, inside); break;
      case Place::kHeader: out += value; break;
    }
  }
  if (place == Place::kHeader &&
      std::any_of(out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return fail(Code::kInvalidArgument, "a header holds control characters");
  return out;
}

}  // namespace codeq::app::client
