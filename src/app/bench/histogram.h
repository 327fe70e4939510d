// Counts durations so that quantiles over millions of them cost a few pages of memory.
//
// Shape    log-linear buckets: exact up to 2047, then 1024 buckets for every doubling, so that a value is known to one part
//          in 1024 (three significant digits). The layout is that of HdrHistogram (G. Tene, http://hdrhistogram.org) with
//          three digits, our own code.
// Unit     the caller's; the bench counts nanoseconds. Values below 0 count as 0, values of 2^42 (73 minutes) and more as the largest bucket
// Cost     record O(1); quantile O(buckets); 264 KiB each
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace codeq::app {

class Histogram {
 public:
  Histogram();
  void record(std::int64_t value);
  void clear();
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::int64_t max() const { return max_; }  // exact; 0 if empty
  // The smallest value that at least `q` (0..1) of all values do not exceed, rounded up to the end of its bucket. 0 if empty.
  [[nodiscard]] std::int64_t quantile(double q) const;

 private:
  static std::size_t index_of(std::int64_t value);
  static std::int64_t highest_of(std::size_t index);
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
};

}  // namespace codeq::app
