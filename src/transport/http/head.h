// The grammar of a request's head: its first line and its fields.
//
// Source   RFC 9110, RFC 9112, as strictly as Beast's basic_parser has it (head_test compares the two), and beyond that no
//          second Host or Content-Length, none beside a Transfer-Encoding, and no other coding than `chunked`
// Cost     about three instructions a byte; what a handler needs is copied into buffers that are kept
// Threads  pure functions
#pragma once

#include <cstdint>
#include <string_view>

#include "transport/http/request.h"

namespace codeq::transport::http {

struct BodyFraming {
  std::uint64_t length = 0;  // bytes; of a chunked one not known
  bool chunked = false;
};

// `head`: lines that end with CRLF and hold no other LF, only the last of which is empty; none but the first begins with
// white space. False: a bad request; what stood before the bad line has been taken.
bool read_head(std::string_view head, Request& request, BodyFraming& framing);

}  // namespace codeq::transport::http
