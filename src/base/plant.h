// Bugs that are planted on purpose, one at a time, so that a test can show that it would find them.
//
// Shape    only builds with tests can plant one (CODEQ_PLANTS); in every other build `planted` is a constant false
// Threads  set before anything else runs
#pragma once

#include <cstdint>

namespace codeq {

enum class Plant : std::uint8_t {
  kNone,
  kDroppedSync,        // a group is acknowledged without its fdatasync
  kEarlyAnswer,        // answers leave before the append
  kMissingAtomicFlush, // the store's tables become durable one by one
  kReorderedRecycle,   // log segments are released before the flush that covers them
  kLostTimer,          // a heartbeat forgets to put the lease back among what is due
  kWrongTail,          // a torn group at the end of the log counts as whole
  kDoublePromotion,    // a delayed task becomes ready twice
  kForgottenOutboxRow, // a new delivery is not in the image
  kLostSpanContext,    // a task read from the store has lost its attempt's span
  kWrappedClock,       // the steady clock is kept in 38 bits
  kForgottenPause,     // a queue's row does not say that it is paused
  kKeptRetirement,     // a task that is redriven stays among those that will retire
  kOneConsumerMore,    // than the limit of a queue's topic
  kSilentResume,       // a resume wakes no claim that waits
  kForgottenCopy,      // a task whose lease expires dies without its copy
};

#ifdef CODEQ_PLANTS
inline Plant plant = Plant::kNone;
inline bool planted(Plant bug) { return plant == bug; }
#else
constexpr bool planted(Plant) { return false; }
#endif

}  // namespace codeq
