#include "transport/http/request.h"

#include <algorithm>
#include <charconv>

#include "transport/http/head.h"

namespace codeq::transport::http {

namespace {

constexpr std::size_t kBodyBytesKept = 64U << 10U;  // a larger buffer is given back after its request
constexpr std::size_t kChunkLineBytesMax = 1024;  // a chunk's size and extension, or a line of the trailer
constexpr std::size_t kTraceLinesMax = 64;  // lines of one trace header that are looked at

// The whole text as a number: digits only, and it fits.
bool read_length(std::string_view text, int base, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc{} && end == text.data() + text.size() && text.front() != '-';
}

bool has_control_byte(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

// What can be the first byte of a method: anything else is not HTTP, and waiting for the rest of it is no use.
bool token_byte(char c) {
  static constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         kPunctuation.find(c) != std::string_view::npos;
}

}  // namespace

void HeaderLines::add(std::string_view value) {
  if (ends_.size() >= kTraceLinesMax) return;
  bytes_ += value;
  ends_.push_back(bytes_.size());
}

std::vector<std::string_view> HeaderLines::views() const {
  std::vector<std::string_view> lines;
  lines.reserve(ends_.size());
  std::size_t start = 0;
  for (const auto end : ends_) {
    lines.push_back(std::string_view(bytes_).substr(start, end - start));
    start = end;
  }
  return lines;
}

void RequestReader::next() {
  state_ = State::kIdle;
  scanned_ = line_start_ = head_end_ = 0;
  chunked_ = false;
  phase_ = Phase::kSize;
  remaining_ = 0;
  trailer_bytes_ = 0;
  request_.method = Method::kOther;
  request_.http11 = request_.keep_alive = true;
  request_.expect_continue = false;
  request_.target.clear();
  request_.authorization.clear();
  request_.request_id.clear();
  request_.role.clear();
  request_.traceparent.clear();
  request_.tracestate.clear();
  request_.baggage.clear();
  request_.accept.clear();
  request_.body.clear();
  if (request_.body.capacity() > kBodyBytesKept) request_.body.shrink_to_fit();
}

void RequestReader::fail_with(Code code, std::string message) {
  state_ = State::kFailed;
  error_ = Error{code, std::move(message)};
}

// Looks at every line of the head once, however slowly it arrives.
bool RequestReader::find_head_end(std::string_view bytes) {
  while (scanned_ < bytes.size()) {
    const auto found = bytes.find('\n', scanned_);
    const auto stop = std::min(found, bytes.size());
    if (stop >= limits_.header_bytes_max) {
      fail_with(Code::kHeaderTooLarge, "request header too large");
      return false;
    }
    scanned_ = stop;
    if (found == bytes.npos) return false;
    if (stop == 0 || bytes[stop - 1] != '\r') {
      fail_with(Code::kBadRequest, "bad request");
      return false;
    }
    scanned_ = stop + 1;
    if (stop - 1 == line_start_) {
      head_end_ = stop + 1;
      return true;
    }
    if (line_start_ != 0 && (bytes[line_start_] == ' ' || bytes[line_start_] == '\t')) {  // a folded line, RFC 9112 5.2
      fail_with(Code::kBadRequest, "bad request");
      return false;
    }
    line_start_ = stop + 1;
  }
  return false;
}

std::size_t RequestReader::feed(std::string_view bytes) {
  std::size_t consumed = 0;
  if (state_ == State::kIdle || state_ == State::kHead) {
    if (state_ == State::kIdle) {
      // RFC 9112 2.2: empty lines before the request line are ignored.
      while (bytes.size() - consumed >= 2 && bytes[consumed] == '\r' && bytes[consumed + 1] == '\n') consumed += 2;
      if (consumed == bytes.size()) return consumed;
      if (const char first = bytes[consumed]; !token_byte(first) && !(first == '\r' && consumed + 1 == bytes.size())) {
        fail_with(Code::kBadRequest, "bad request");
        return consumed;
      }
      bytes.remove_prefix(consumed);
      if (bytes[0] == '\r') return consumed;
      state_ = State::kHead;
    }
    if (!find_head_end(bytes)) return consumed;
    read_head(bytes.substr(0, head_end_));
    consumed += head_end_;
    bytes.remove_prefix(head_end_);
  }
  if (state_ != State::kBody) return consumed;
  return consumed + (chunked_ ? take_chunks(bytes) : take_bytes(bytes));
}

void RequestReader::read_head(std::string_view head) {
  BodyFraming framing;
  if (!http::read_head(head, request_, framing)) return fail_with(Code::kBadRequest, "bad request");
  if (framing.length > limits_.body_bytes_max) return fail_with(Code::kBodyTooLarge, "request body too large");
  state_ = State::kBody;
  chunked_ = framing.chunked;
  remaining_ = static_cast<std::size_t>(framing.length);
  request_.body.reserve(std::min(remaining_, kBodyBytesKept));
}

std::size_t RequestReader::take_bytes(std::string_view bytes) {
  const auto n = std::min(remaining_, bytes.size());
  request_.body.append(bytes, 0, n);
  remaining_ -= n;
  if (remaining_ == 0 && !chunked_) state_ = State::kComplete;
  return n;
}

// RFC 9112 7.1: chunk = size [extension] CRLF data CRLF; the last one has size 0 and may be followed by trailer lines.
std::size_t RequestReader::take_chunks(std::string_view bytes) {
  std::size_t taken = 0;
  while (state_ == State::kBody && taken < bytes.size()) {
    const auto rest = bytes.substr(taken);
    if (phase_ == Phase::kData) {
      taken += take_bytes(rest);
      if (remaining_ == 0) phase_ = Phase::kDataEnd;
      continue;
    }
    const auto stop = rest.find('\n');
    if (stop == std::string_view::npos) {
      if (rest.size() > kChunkLineBytesMax || (phase_ == Phase::kDataEnd && rest != "\r"))
        fail_with(Code::kBadRequest, "bad request");
      return taken;
    }
    if (stop == 0 || stop > kChunkLineBytesMax || rest[stop - 1] != '\r' ||
        has_control_byte(rest.substr(0, stop - 1))) {
      fail_with(Code::kBadRequest, "bad request");
      return taken;
    }
    taken += stop + 1;
    take_chunk_line(rest.substr(0, stop - 1));
  }
  return taken;
}

void RequestReader::take_chunk_line(std::string_view line) {
  if (phase_ == Phase::kDataEnd) {
    phase_ = Phase::kSize;
    if (!line.empty()) fail_with(Code::kBadRequest, "bad request");
  } else if (phase_ == Phase::kSize) {
    std::uint64_t size = 0;
    const auto digits = line.substr(0, line.find(';'));
    if (digits.empty() || !read_length(digits, 16, size)) return fail_with(Code::kBadRequest, "bad request");
    if (size > limits_.body_bytes_max - request_.body.size())
      return fail_with(Code::kBodyTooLarge, "request body too large");
    remaining_ = static_cast<std::size_t>(size);
    phase_ = size == 0 ? Phase::kTrailer : Phase::kData;
  } else if (line.empty()) {
    state_ = State::kComplete;
  } else if ((trailer_bytes_ += line.size()) > limits_.header_bytes_max) {  // and otherwise ignored
    fail_with(Code::kHeaderTooLarge, "request header too large");
  }
}

}  // namespace codeq::transport::http
