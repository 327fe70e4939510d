#include "base/rng.h"

#include <sys/random.h>

#include <array>
#include <bit>
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

std::uint64_t SystemRng::next_public() {
  thread_local std::array<std::uint64_t, 4> state{};
  while ((state[0] | state[1] | state[2] | state[3]) == 0)
    for (auto& word : state) word = next();
  const auto drawn = std::rotl(state[1] * 5, 7) * 9;
  const auto shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = std::rotl(state[3], 45);
  return drawn;
}
}  // namespace codeq
