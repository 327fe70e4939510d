// What each command of the binary does. Every function returns the process's exit status.
#pragma once

#include "app/cli.h"

namespace codeq::app {

int serve(const Cli& cli);
int dev(const Cli& cli);
int demo(const Cli& cli);            // the main job inside one process, and its trace as a waterfall
int demo_waterfall(const Cli& cli);  // spans from a file of `codeq otlp-receiver` as a waterfall, checked
int bench_http(const Cli& cli);
int otlp_receiver(const Cli& cli);

}  // namespace codeq::app
