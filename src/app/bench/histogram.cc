#include "app/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace codeq::app {
namespace {

constexpr int kLinearBits = 11;                                   // 2048 exact values
constexpr std::size_t kHalf = std::size_t{1} << (kLinearBits - 1);  // 1024 buckets per doubling
constexpr int kValueBits = 42;
constexpr std::int64_t kValueMax = (std::int64_t{1} << kValueBits) - 1;

}  // namespace

Histogram::Histogram() : counts_(index_of(kValueMax) + 1) {}

// Bucket b holds values of kLinearBits + b bits without their b lowest ones; its lower half is what bucket b - 1 ends with.
std::size_t Histogram::index_of(std::int64_t value) {
  const auto v = static_cast<std::uint64_t>(std::clamp<std::int64_t>(value, 0, kValueMax));
  const auto bucket = std::max(0, static_cast<int>(std::bit_width(v)) - kLinearBits);
  return static_cast<std::size_t>(bucket) * kHalf + static_cast<std::size_t>(v >> bucket);
}

std::int64_t Histogram::highest_of(std::size_t index) {
  const auto bucket = index < 2 * kHalf ? 0 : index / kHalf - 1;
  const auto first = static_cast<std::int64_t>(index - bucket * kHalf) << bucket;
  return first + (std::int64_t{1} << bucket) - 1;
}

void Histogram::record(std::int64_t value) {
  ++counts_[index_of(value)];
  ++count_;
  max_ = std::max(max_, value);
}

void Histogram::clear() {
  std::ranges::fill(counts_, 0);
  count_ = 0;
  max_ = 0;
}

std::int64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    seen += counts_[index];
    if (seen >= wanted) return index + 1 == counts_.size() ? max_ : std::min(highest_of(index), max_);
  }
  return max_;
}

}  // namespace codeq::app
