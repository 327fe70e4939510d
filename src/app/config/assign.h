// One written value into its member of Config. The middle of loading; used by load.cc alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/config/keys.h"
#include "app/config/tree.h"

namespace codeq::app {

struct Written {
  Tree value;
  bool from_env = false;
  std::string where;  // "codeq.yaml:12", "env PORT"
};

// What is wrong with it, without the key and the place, or nothing. `note`: set where the value was taken with a remark.
std::optional<std::string> assign(const Key& key, const Written& written, Config& config, std::string& note);

// Of a boolean key; nothing: neither true nor false.
std::optional<bool> is_true(const Key& key, const Written& written);

// "10.0.0.0/8", "fc00::/7": a literal address, a slash, a prefix length that fits.
bool is_cidr(const std::string& text);

}  // namespace codeq::app
