// What becomes of a task when its handler has ended: the rules of `codeq worker run`, without any process or socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "app/client/handler.h"

namespace codeq::app::client {

inline constexpr int kExitTryLater = 75;  // EX_TEMPFAIL of sysexits.h

enum class OnError : std::uint8_t { kFail, kNack, kAbandon };

struct Rules {
  OnError on_error = OnError::kNack;
  std::int64_t nack_delay = 0;            // seconds; 0: the broker's back-off
  std::size_t output_bytes_max = 0;       // for the text of the reason
  std::chrono::nanoseconds timeout{0};    // likewise
};

struct Settlement {
  enum class Act : std::uint8_t {
    kComplete,
    kFail,
    kNack,
    kAbandon,
    kNothing
  };  // kNothing: the task is not ours any more
  Act act = Act::kNothing;
  std::string result;  // of kComplete: a JSON object
  std::string reason;  // of kFail and kNack; never blank
  std::int64_t delay = 0;  // of kNack
};

// A JSON object as it is; nothing, or white space alone, as `{}`; all else as {"output": text} without line feeds at its end,
// bytes that are not UTF-8 as U+FFFD.
std::string result_of(std::string_view output);

Settlement settle_by(const HandlerEnd& end, const Rules& rules);

// The same for a handler that did its work and whose result the broker refuses.
Settlement settle_refused(long status, const Rules& rules);

// Path behind the task's and JSON body of the call.
struct OwnerCall {
  std::string path, body;
};
OwnerCall owner_call(const Settlement& settlement, std::string_view lease_token);

}  // namespace codeq::app::client
