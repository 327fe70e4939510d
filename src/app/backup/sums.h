// The list of a backup's files and their SHA-256, in the format of `sha256sum` (GNU coreutils): "<64 hex>  <path>\n".
//
// Errors   parse: kCorrupt with the line; foreign bytes, bounded by kSumsBytesMax, and no path leaves the backup
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace codeq::app {

inline constexpr std::size_t kSumsBytesMax = std::size_t{16} << 20;

struct Sum {
  std::string sha256;  // lower-case hex
  std::string path;    // backup.json, log/NAME or store/NAME
  bool operator==(const Sum&) const = default;
};

std::string format_sums(const std::vector<Sum>& sums);
Result<std::vector<Sum>> parse_sums(std::string_view text);

}  // namespace codeq::app
