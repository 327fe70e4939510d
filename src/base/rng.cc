#include "base/rng.h"

#include <sys/random.h>

#include <array>
#include <cstddef>

#include "base/check.h"

namespace codeq {
std::uint64_t SystemRng::next() {
  thread_local std::array<std::uint64_t, 512> buffer;
  thread_local std::size_t used = buffer.size();
  if (used == buffer.size()) {
    auto* bytes = reinterpret_cast<char*>(buffer.data());
    for (std::size_t filled = 0; filled < sizeof buffer;) {
      const auto n = getrandom(bytes + filled, sizeof buffer - filled, 0);
      if (n > 0)
        filled += static_cast<std::size_t>(n);
      else
        CHECK(n < 0);  // EINTR: again
    }
    used = 0;
  }
  return buffer[used++];
}
}  // namespace codeq
