#include "app/backup/sums.h"

#include <fmt/format.h>

#include <algorithm>

namespace codeq::app {
namespace {

bool is_hex(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// One file name behind log/ or store/, of letters that our files have.
bool is_ours(std::string_view path) {
  if (path == "backup.json") return true;
  for (const std::string_view folder : {"log/", "store/"}) {
    if (!path.starts_with(folder)) continue;
    const auto name = path.substr(folder.size());
    return !name.empty() && name.size() <= 128 && !name.starts_with('.') &&
           std::all_of(name.begin(), name.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
           });
  }
  return false;
}

}  // namespace

std::string format_sums(const std::vector<Sum>& sums) {
  std::string text;
  for (const auto& [sha256, path] : sums) text += sha256 + "  " + path + "\n";
  return text;
}

Result<std::vector<Sum>> parse_sums(std::string_view text) {
  std::vector<Sum> sums;
  if (text.size() > kSumsBytesMax) return fail(Code::kCorrupt, "the list of files is too long to be one of ours");
  for (std::size_t line = 1; !text.empty(); ++line) {
    const auto end = text.find('\n');
    const auto words = text.substr(0, end);
    if (end == std::string_view::npos || words.size() < 67 || !is_hex(words.substr(0, 64)) || words.substr(64, 2) != "  " ||
        !is_ours(words.substr(66)))
      return fail(Code::kCorrupt, fmt::format("line {} of the list of files is damaged", line));
    sums.push_back({std::string(words.substr(0, 64)), std::string(words.substr(66))});
    text.remove_prefix(end + 1);
  }
  std::vector<std::string_view> paths;
  for (const auto& sum : sums) paths.push_back(sum.path);
  std::sort(paths.begin(), paths.end());
  if (std::adjacent_find(paths.begin(), paths.end()) != paths.end())
    return fail(Code::kCorrupt, "the list of files names one twice");
  for (const char* needed : {"backup.json", "log/format"})
    if (!std::binary_search(paths.begin(), paths.end(), needed))
      return fail(Code::kCorrupt, fmt::format("the list of files lacks {}", needed));
  return sums;
}

}  // namespace codeq::app
