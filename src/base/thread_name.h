// What the system shows of a thread (top -H, perf, /proc/PID/task/*/comm).
// Threads  names the calling one. Cost: a system call
#pragma once

#include <pthread.h>

namespace codeq {

// At most 15 characters; a longer name is an error that names nothing.
inline void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace codeq
