// What each command of the binary does. Every function returns the process's exit status.
#pragma once

#include "app/cli.h"
#include "base/result.h"

namespace codeq::app {

int serve(const Cli& cli);
int dev(const Cli& cli);
int demo(const Cli& cli);            // the main job inside one process, and its trace as a waterfall
int demo_waterfall(const Cli& cli);  // spans from a file of `codeq otlp-receiver` as a waterfall, checked
int bench(const Cli& cli);  // http or grpc
int otlp_receiver(const Cli& cli);
int backup(const Cli& cli);
int restore(const Cli& cli);
int store_check(const Cli& cli);
int store_stats(const Cli& cli);
int doctor(const Cli& cli);

int exit_status_of(Code code);  // of a failure of log or store

}  // namespace codeq::app
