// `codeq doctor`: what stands in the way of a broker with these settings on this machine, and what to do about it.
//
// Shape    one line per check; nothing is changed, made or sent beyond a connection and two GETs to loopback
// Secrets  no value of a setting that may hold one is shown
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/config/load.h"

namespace codeq::app {

enum class Verdict : std::uint8_t { kOk, kWarn, kFail };

struct Finding {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string what;
  std::string advice;  // empty where nothing is to be done
};

std::vector<Finding> examine(const std::optional<std::string>& config_path, const GetEnv& getenv);

std::string findings_text(const std::vector<Finding>& findings);
std::string findings_json(const std::vector<Finding>& findings);
bool all_well(const std::vector<Finding>& findings);  // warnings are no failures

}  // namespace codeq::app
