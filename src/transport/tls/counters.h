// What a context counts, over all threads that use it. Internal to this folder.
#pragma once

#include <atomic>
#include <cstdint>

#include "transport/tls/context.h"

namespace codeq::transport {

struct TlsContext::Counters {
  std::atomic<std::uint64_t> handshakes = 0, handshakes_failed = 0, reloads = 0, reloads_failed = 0;
  std::atomic<std::int64_t> not_after_s = 0;
};

}  // namespace codeq::transport
