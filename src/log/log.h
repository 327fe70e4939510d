// An ordered, durable list of record groups. The truth; everything else is its image.
//
// Shape    group 1, 2, 3, ...; a group is some bytes that are kept all or not at all
// Errors   after any failed append the log is unusable (kIo): what was not acknowledged may or may not be there
// Threads  one thread appends; `replay` is called once, before the first append
// Cost     append: one write and, with Sync::kEachGroup, one fdatasync
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.h"

namespace codeq::log {

class Log {
 public:
  virtual ~Log() = default;

  // Calls `visit` with every kept group after group `after` (0: all), oldest first; an error from it ends the replay
  // and is returned. What is visited is durable already: checked, repaired and synced before the first visit.
  // Errors: kCorrupt with file, position and what is wrong; also where groups after `after` are not there any more, or
  // where the log ends before `after`.
  using Visit = std::function<Result<void>(std::uint64_t group, std::string_view records)>;
  virtual Result<void> replay(std::uint64_t after, const Visit& visit) = 0;

  // Appends the next group and returns its number once it is durable under the configured setting.
  virtual Result<std::uint64_t> append(std::string_view records) = 0;

  // Groups up to `group` will never be replayed again: their room may be used again. Any thread, returns at once.
  virtual void release(std::uint64_t group) = 0;

  // Makes everything appended so far durable (for the interval setting and for a clean stop).
  virtual Result<void> sync() = 0;
};

}  // namespace codeq::log
