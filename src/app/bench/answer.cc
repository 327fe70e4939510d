#include "app/bench/answer.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace codeq::app {
namespace {

constexpr std::size_t kHeadMax = 64 * 1024;
constexpr std::size_t kBodyMax = std::size_t{64} << 20;

template <class T>
std::optional<T> number(std::string_view digits) {
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool same_name(std::string_view a, std::string_view lower) {
  return std::ranges::equal(a, lower,
                            [](char x, char y) { return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x) == y; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What follows `key` up to the next quote or backslash, searched in [from, to).
std::string_view string_after(std::string_view body, std::string_view key, std::size_t from, std::size_t to) {
  const auto window = body.substr(0, to);
  const auto at = window.find(key, from);
  if (at == std::string_view::npos) return {};
  const auto start = at + key.size();
  const auto end = window.find_first_of("\"\\", start);
  return end == std::string_view::npos ? std::string_view{} : window.substr(start, end - start);
}

}  // namespace

AnswerState parse_answer(std::string_view bytes, Answer& answer) {
  const auto head_end = bytes.substr(0, kHeadMax).find("\r\n\r\n");
  if (head_end == std::string_view::npos) return bytes.size() >= kHeadMax ? AnswerState::kBad : AnswerState::kMore;
  auto head = bytes.substr(0, head_end + 2);
  const auto line_end = head.find("\r\n");
  const auto line = head.substr(0, line_end);
  if (line.size() < 12 || !line.starts_with("HTTP/1.1 ") || (line.size() > 12 && line[12] != ' '))
    return AnswerState::kBad;
  const auto status = number<int>(line.substr(9, 3));
  if (!status || *status < 200 || *status > 599) return AnswerState::kBad;
  answer = {.status = *status};
  std::optional<std::size_t> length;
  head.remove_prefix(line_end + 2);
  while (!head.empty()) {
    const auto end = head.find("\r\n");
    const auto field = head.substr(0, end);
    head.remove_prefix(end + 2);
    const auto colon = field.find(':');
    if (colon == std::string_view::npos || colon == 0) return AnswerState::kBad;
    const auto name = field.substr(0, colon);
    const auto value = trim(field.substr(colon + 1));
    if (same_name(name, "content-length")) {
      const auto size = number<std::size_t>(value);
      if (!size || *size > kBodyMax || (length && *length != *size)) return AnswerState::kBad;
      length = size;
    } else if (same_name(name, "transfer-encoding")) {
      return AnswerState::kBad;
    } else if (same_name(name, "connection") && same_name(value, "close")) {
      answer.close = true;
    }
  }
  if (answer.status == 204 || answer.status == 304) length = 0;
  if (!length) return AnswerState::kBad;
  answer.size = head_end + 4 + *length;
  if (bytes.size() < answer.size) return AnswerState::kMore;
  answer.body = bytes.substr(head_end + 4, *length);
  return AnswerState::kDone;
}

// A quote inside a JSON string is escaped, so "id":" with bare quotes is a key of the answer and \"t\":\" one of the payload.
void find_claimed(std::string_view body, std::vector<ClaimedTask>& tasks) {
  constexpr std::string_view kId = R"("id":")";
  for (auto at = body.find(kId); at != std::string_view::npos;) {
    const auto next = body.find(kId, at + kId.size());
    const auto end = std::min(next, body.size());
    ClaimedTask task;
    task.id = string_after(body, kId, at, end);
    task.run = string_after(body, R"(\"run\":\")", at, end);
    task.created_ns = number<std::int64_t>(string_after(body, R"(\"t\":\")", at, end)).value_or(0);
    if (!task.id.empty()) tasks.push_back(task);
    at = next;
  }
}

std::size_t occurrences(std::string_view text, std::string_view needle) {
  std::size_t count = 0;
  for (auto at = text.find(needle); at != std::string_view::npos; at = text.find(needle, at + needle.size())) ++count;
  return count;
}

std::string info_label(std::string_view page, std::string_view metric, std::string_view label) {
  for (auto at = page.find(metric); at != std::string_view::npos; at = page.find(metric, at + 1)) {
    if (at != 0 && page[at - 1] != '\n') continue;
    auto line = page.substr(at + metric.size());
    line = line.substr(0, line.find('\n'));
    if (!line.starts_with('{')) continue;
    const auto key = std::string(label) + "=\"";
    for (auto found = line.find(key); found != std::string_view::npos; found = line.find(key, found + 1)) {
      if (line[found - 1] != '{' && line[found - 1] != ',') continue;
      const auto start = found + key.size();
      const auto end = line.find('"', start);
      if (end != std::string_view::npos) return std::string(line.substr(start, end - start));
    }
  }
  return "unknown";
}

}  // namespace codeq::app
