// Figures that a hot path leaves behind: counters, and histograms whose bounds are fixed when they are compiled.
//
// Unit     whole numbers: nanoseconds, bytes, pieces
// Threads  reads from any; `add` from any; `add_alone` while nobody else adds, at the cost of a plain addition
// Cost     an `add` is one locked addition a figure (a histogram has two), `add_alone` has none
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace codeq {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void add_alone(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A histogram as it is read: bucket i counts values in (bounds[i-1], bounds[i]], the last one those above all bounds.
struct HistogramCounts {
  std::span<const std::int64_t> bounds;
  std::vector<std::uint64_t> buckets;  // one more than bounds; empty: never was one
  std::uint64_t sum = 0;
  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t all = 0;
    for (const auto bucket : buckets) all += bucket;
    return all;
  }
};

// Ascending upper bounds. The number of a value's bits says where its bucket begins, so that one or two comparisons find it.
template <std::size_t N>
struct Bounds {
  std::array<std::int64_t, N> upper;
  std::array<std::uint8_t, 65> first{};  // by bit_width: the bucket of the smallest value of that many bits

  explicit consteval Bounds(const std::array<std::int64_t, N>& ascending) : upper(ascending) {
    for (std::size_t bits = 0; bits < first.size(); ++bits) {
      const auto smallest = bits == 0 ? 0 : std::uint64_t{1} << (bits - 1);
      std::size_t bucket = 0;
      while (bucket < N && smallest > static_cast<std::uint64_t>(upper[bucket])) ++bucket;
      first[bits] = static_cast<std::uint8_t>(bucket);
    }
  }
  [[nodiscard]] constexpr std::size_t bucket_of(std::int64_t value) const {
    if (value <= 0) return 0;
    std::size_t bucket = first[static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(value)))];
    while (bucket < N && value > upper[bucket]) ++bucket;
    return bucket;
  }
};

template <const auto& kBounds>
class Histogram {
 public:
  static constexpr std::size_t kBuckets = kBounds.upper.size() + 1;

  // A value below zero counts as zero. Returns the bucket.
  std::size_t add(std::int64_t value, std::uint64_t times = 1) {
    const auto bucket = kBounds.bucket_of(value);
    buckets_[bucket].add(times);
    if (value > 0) sum_.add(static_cast<std::uint64_t>(value) * times);
    return bucket;
  }
  std::size_t add_alone(std::int64_t value) {
    const auto bucket = kBounds.bucket_of(value);
    buckets_[bucket].add_alone();
    if (value > 0) sum_.add_alone(static_cast<std::uint64_t>(value));
    return bucket;
  }
  [[nodiscard]] HistogramCounts read() const {
    HistogramCounts counts{.bounds = kBounds.upper, .buckets = {}, .sum = sum_.value()};
    counts.buckets.reserve(kBuckets);
    for (const auto& bucket : buckets_) counts.buckets.push_back(bucket.value());
    return counts;
  }

 private:
  std::array<Counter, kBuckets> buckets_;
  Counter sum_;
};

// What the broker itself does, in nanoseconds: 50 us to 60 s.
inline constexpr Bounds kCallBounds(
    std::to_array<std::int64_t>({50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000,
                                 25'000'000, 50'000'000, 100'000'000, 250'000'000, 500'000'000, 1'000'000'000,
                                 2'500'000'000, 5'000'000'000, 10'000'000'000, 30'000'000'000, 60'000'000'000}));

}  // namespace codeq
