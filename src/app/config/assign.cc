#include "app/config/assign.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "app/config/suggest.h"

namespace codeq::app {
namespace {

using Wrong = std::optional<std::string>;

constexpr std::size_t kShownMax = 60;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// What may stand in a message. A secret may not, and neither may a page of text.
std::string shown(const Key& key, std::string_view text) {
  if (key.secret) return "the value";
  return text.size() > kShownMax ? fmt::format("`{}...`", text.substr(0, kShownMax)) : fmt::format("`{}`", text);
}

Wrong read_bool(const Key& key, const Written& written, bool& out) {
  const std::string word = lower(trimmed(written.value.text));
  if (written.from_env) {  // the reference's rule: any other word is false
    out = word == "true" || word == "yes" || word == "1";
    return std::nullopt;
  }
  out = word == "true" || word == "yes" || word == "on";
  if (out || word == "false" || word == "no" || word == "off") return std::nullopt;
  return fmt::format("{} is neither true nor false", shown(key, written.value.text));
}

template <class T>
bool read_number(std::string_view text, T& out) {
  const std::string_view word = trimmed(text);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

Wrong read_int(const Key& key, const Written& written, std::int64_t fallback, std::int64_t& out, std::string& note) {
  std::int64_t value = 0;
  if (!read_number(written.value.text, value))
    return fmt::format("{} is not an integer", shown(key, written.value.text));
  if (value < key.min && key.low_is_default) {
    if (value != fallback)
      note = fmt::format("{} is below {}, so the default {} is used, as the reference does", value, key.min, fallback);
    value = fallback;
  }
  if (value < key.min || value > key.max) {
    return key.max == std::numeric_limits<std::int64_t>::max()
               ? fmt::format("{} is below {}", value, key.min)
               : fmt::format("{} is outside {}..{}", value, key.min, key.max);
  }
  out = value;
  return std::nullopt;
}

Wrong read_ratio(const Key& key, const Written& written, double& out) {
  double value = 0;
  if (!read_number(written.value.text, value) || !std::isfinite(value)) {
    return fmt::format("{} is not a number", shown(key, written.value.text));
  }
  if (value < 0 || value > 1) return fmt::format("{} is outside 0..1", value);
  out = value;
  return std::nullopt;
}

Wrong read_choice(const Key& key, const Written& written, std::size_t& index) {
  const std::string word = lower(trimmed(written.value.text));
  const auto choices = choices_of(key);
  const auto found = std::ranges::find(choices, word);
  if (found == choices.end()) {
    const auto near = nearest(word, choices);
    return fmt::format("{} is not one of {}{}", shown(key, written.value.text), fmt::join(choices, ", "),
                       near ? fmt::format("; did you mean `{}`?", *near) : "");
  }
  index = static_cast<std::size_t>(found - choices.begin());
  return std::nullopt;
}

Wrong read_list(const Key& key, const Written& written, std::vector<std::string>& out) {
  std::vector<std::string> items;
  if (written.value.kind == Tree::Kind::kSequence) {
    for (const Tree& item : written.value.items) {
      if (item.kind != Tree::Kind::kScalar) return "an element is not text";
      items.emplace_back(trimmed(item.text));
    }
  } else if (written.value.kind == Tree::Kind::kScalar) {
    std::string_view rest = written.value.text;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      if (const auto item = trimmed(rest.substr(0, comma)); !item.empty()) items.emplace_back(item);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  } else {
    return "a list is expected";
  }
  for (const std::string& item : items) {  // the one list that there is
    if (!is_cidr(item)) return fmt::format("{} is not a network such as `10.0.0.0/8` or `fc00::/7`", shown(key, item));
  }
  out = std::move(items);
  return std::nullopt;
}

// A text that begins like JSON text is JSON text and kept as it is; everything else in YAML is a value to be converted.
Wrong read_json(const Written& written, std::string& out) {
  const Tree& value = written.value;
  const std::string_view text = trimmed(value.text);
  const bool is_text =
      value.kind == Tree::Kind::kScalar &&
      (written.from_env || (!text.empty() && (text.front() == '{' || text.front() == '"' || text.front() == '[')));
  std::string json = is_text ? std::string(text) : to_json(value);
  if (const auto parsed = parse_json(json, 0); !parsed) return parsed.error().message;
  out = std::move(json);
  return std::nullopt;
}

Wrong expect(KeyType type, const Tree& value) {
  switch (type) {
    case KeyType::kBool:
    case KeyType::kInt:
    case KeyType::kFloat:
    case KeyType::kString:
    case KeyType::kChoice:
      if (value.kind != Tree::Kind::kScalar) return "a single value is expected";
      return std::nullopt;
    case KeyType::kList:
    case KeyType::kJson:
    case KeyType::kAny: return std::nullopt;
  }
  return std::nullopt;
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

bool is_cidr(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return false;
  const std::string address = text.substr(0, slash);
  const std::string_view digits = std::string_view(text).substr(slash + 1);
  unsigned bits = 0;
  if (digits.empty() || digits.size() > 3 || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  if (!read_number(digits, bits)) return false;
  unsigned char bytes[16];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1) return bits <= 32;
  return inet_pton(AF_INET6, address.c_str(), bytes) == 1 && bits <= 128;
}

std::optional<bool> is_true(const Key& key, const Written& written) {
  bool value = false;
  if (read_bool(key, written, value)) return std::nullopt;
  return value;
}

Wrong assign(const Key& key, const Written& written, Config& config, std::string& note) {
  if (auto wrong = expect(type_of(key), written.value)) return wrong;
  TracingValues& tracing = written.from_env ? config.tracing_env : config.tracing_file;
  const auto choice = [&](auto member) {
    std::size_t index = 0;
    auto wrong = read_choice(key, written, index);
    if (!wrong) config.*member = static_cast<std::remove_reference_t<decltype(config.*member)>>(index);
    return wrong;
  };
  return std::visit(
      Overloaded{
          [](std::monostate) { return Wrong(); },
          [&](bool Config::* m) { return read_bool(key, written, config.*m); },
          [&](std::optional<bool> Config::* m) { return read_bool(key, written, (config.*m).emplace()); },
          [&](std::optional<bool> TracingValues::* m) { return read_bool(key, written, (tracing.*m).emplace()); },
          [&](std::int64_t Config::* m) { return read_int(key, written, Config{}.*m, config.*m, note); },
          [&](RateMember m) { return read_int(key, written, 0, config.*m.bucket.*m.number, note); },
          [&](std::optional<double> TracingValues::* m) { return read_ratio(key, written, (tracing.*m).emplace()); },
          [&](std::string Config::* m) {
            config.*m = written.value.text;
            return Wrong();
          },
          [&](std::optional<std::string> TracingValues::* m) {
            tracing.*m = written.value.text;
            return Wrong();
          },
          [&](std::vector<std::string> Config::* m) { return read_list(key, written, config.*m); },
          [&](JsonMember m) { return read_json(written, config.*m.text); },
          [&](auto m) { return choice(m); },
      },
      key.member);
}

}  // namespace codeq::app
