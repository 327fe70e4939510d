// Reads what a server answers, as far as a load generator needs it.
//
// Shape    HTTP/1.1 answers with a Content-Length (or none, for 204 and 304); no chunks, no 1xx, no trailers: RFC 9112
// Errors   kBad for anything else, and for a head beyond 64 KiB or a body beyond 64 MiB
// Cost     one pass over the head; nothing is copied
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace codeq::app {

struct Answer {
  int status = 0;
  bool close = false;            // the server will close the connection
  std::string_view body;         // borrows from the bytes that were parsed
  std::size_t size = 0;          // head and body
};

enum class AnswerState : std::uint8_t { kMore, kDone, kBad };
AnswerState parse_answer(std::string_view bytes, Answer& answer);

// A claimed task, as the bench finds it in a claim's body: its id, and the two strings that the bench put into the payload.
struct ClaimedTask {
  std::string_view id;
  std::string_view run;  // of the payload's "run"; empty: not one of ours
  std::int64_t created_ns = 0;  // of the payload's "t"
};
// One Task object or {"tasks":[...]}. Trusts the server to write its keys without spaces; what it does not find it leaves out.
void find_claimed(std::string_view body, std::vector<ClaimedTask>& tasks);

// How often `needle` stands in `text`, without overlap.
std::size_t occurrences(std::string_view text, std::string_view needle);

// The label of a sample such as codeq_durability_info{mode="sync"} 1 in a page of metrics; "unknown" if it is not there.
std::string info_label(std::string_view page, std::string_view metric, std::string_view label);

}  // namespace codeq::app
