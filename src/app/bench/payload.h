// The payload of a bench's task: which run made it, and since when it counts. Workers find both in what they are handed.
//
// Shape    {"t":"<19 digits, nanoseconds>","run":"<letters and digits>","fill":"xxx"}; strings, so that nobody rounds them
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace codeq::app {

class PayloadMaker {
 public:
  // Every payload has `bytes` bytes, or what it needs where that is more.
  PayloadMaker(std::string run, std::size_t bytes);
  void append(std::string& out, std::int64_t counts_from_ns) const;
  [[nodiscard]] const std::string& run() const { return run_; }

 private:
  std::string run_, fill_;
};

// Letters and digits, another one each time.
std::string random_run();

struct PayloadMark {
  std::string_view run;  // borrows; empty: not a bench's payload
  std::int64_t counts_from_ns = 0;
};
PayloadMark read_payload(std::string_view payload);

}  // namespace codeq::app
