// Randomness as an interface: unguessable in production, repeatable in tests.
// Threads  SystemRng: any thread, each has a buffer of its own. SeededRng: one thread.
#pragma once

#include <cstdint>

namespace codeq {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;  // uniform over all 64-bit values
  // The same, for what has to be unique but is no secret (ids of spans): may be foreseen by who has seen others.
  virtual std::uint64_t next_public() { return next(); }
};

// From getrandom(2), 4 KiB at a time per thread: about 20 ns a draw. What is public comes from xoshiro256** (Blackman and
// Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47, 2021), seeded from there in each thread.
class SystemRng final : public Rng {
 public:
  std::uint64_t next() override;
  std::uint64_t next_public() override;
};

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). Tests only.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace codeq
