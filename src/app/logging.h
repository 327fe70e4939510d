// The process's log: one line per event on stdout, as JSON or as text.
//
// Shape    JSON: {"time","level","service","env","msg"}; text: time level msg
// Threads  any
#pragma once

#include <string>

#include "app/config/config.h"

namespace codeq::app {

void set_up_logging(const Config& config);

}  // namespace codeq::app
