#include "transport/http/request.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstring>
#include <optional>

namespace codeq::transport::http {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

namespace {

constexpr std::size_t kTraceLinesMax = 64;  // lines of one trace header that are looked at

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

bool digits(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos; }

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return beast::iequals(beast::string_view(a.data(), a.size()), beast::string_view(b.data(), b.size()));
}

// What can be the first byte of a method: anything else is not HTTP, and waiting for the rest of it is no use.
bool token_byte(char c) {
  static constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || kPunctuation.find(c) != std::string_view::npos;
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

// Beast calls back with views into the bytes it was given; what a handler needs is copied into `request`.
struct RequestReader::Parser {
  class Beast final : public bhttp::basic_parser<true> {
   public:
    Request* request = nullptr;
    bool head_done = false, has_length = false, chunked = false, has_host = false;

   private:
    void on_request_impl(bhttp::verb verb, beast::string_view, beast::string_view target, int version, beast::error_code&) override {
      request->method = verb == bhttp::verb::get    ? Method::kGet
                        : verb == bhttp::verb::post ? Method::kPost
                        : verb == bhttp::verb::head ? Method::kHead
                                                    : Method::kOther;
      request->http11 = version == 11;
      request->target.assign(target.data(), target.size());
    }
    void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
    void on_field_impl(bhttp::field name, beast::string_view name_text, beast::string_view value, beast::error_code& ec) override {
      if (head_done) return;  // a trailer says nothing that we would believe
      switch (name) {
        case bhttp::field::host:
          if (has_host) ec = bhttp::error::bad_field;
          has_host = true;
          break;
        case bhttp::field::content_length:
          // Beast also takes a list of equal lengths; two parsers may not agree on that.
          if (has_length || chunked || !digits(view(value))) ec = bhttp::error::bad_content_length;
          has_length = true;
          break;
        case bhttp::field::transfer_encoding:
          if (has_length || chunked || !request->http11 || !equals_ignoring_case(view(value), "chunked")) {
            ec = bhttp::error::bad_transfer_encoding;
          }
          chunked = true;
          break;
        case bhttp::field::authorization:
          if (request->authorization.empty()) request->authorization.assign(value.data(), value.size());
          break;
        case bhttp::field::expect:
          if (equals_ignoring_case(view(value), "100-continue")) request->expect_continue = request->http11;
          break;
        case bhttp::field::unknown:
          on_unknown(view(name_text), view(value));
          break;
        default:
          break;
      }
    }
    void on_unknown(std::string_view name, std::string_view value) const {
      if (equals_ignoring_case(name, "traceparent")) request->traceparent.add(value);
      else if (equals_ignoring_case(name, "tracestate")) request->tracestate.add(value);
      else if (equals_ignoring_case(name, "baggage")) request->baggage.add(value);
      else if (equals_ignoring_case(name, "x-request-id") && request->request_id.empty()) request->request_id = value;
    }
    void on_header_impl(beast::error_code& ec) override {
      head_done = true;
      if (request->http11 && !has_host) ec = bhttp::error::bad_field;
      request->keep_alive = request->http11 && keep_alive();
    }
    void on_body_init_impl(const boost::optional<std::uint64_t>& length, beast::error_code&) override {
      if (length) request->body.reserve(static_cast<std::size_t>(*length < 65'536 ? *length : 65'536));
    }
    std::size_t on_body_impl(beast::string_view bytes, beast::error_code&) override {
      request->body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view bytes, beast::error_code&) override {
      request->body.append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_finish_impl(beast::error_code&) override {}
  };
  std::optional<Beast> beast;
};

RequestReader::RequestReader(RequestLimits limits) : limits_(limits), parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;

void RequestReader::next() {
  state_ = State::kIdle;
  scanned_ = line_start_ = head_end_ = 0;
  request_.method = Method::kOther;
  request_.http11 = request_.keep_alive = true;
  request_.expect_continue = false;
  request_.target.clear();
  request_.authorization.clear();
  request_.request_id.clear();
  request_.traceparent.clear();
  request_.tracestate.clear();
  request_.baggage.clear();
  request_.body.clear();
}

void RequestReader::fail_with(Code code, std::string message) {
  state_ = State::kFailed;
  error_ = Error{code, std::move(message)};
}

// Looks at every line of the head once, however slowly it arrives.
bool RequestReader::find_head_end(std::string_view bytes) {
  while (scanned_ < bytes.size()) {
    const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
    const std::size_t stop = found == nullptr ? bytes.size() : static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    if (stop >= limits_.header_bytes_max) {
      fail_with(Code::kHeaderTooLarge, "request header too large");
      return false;
    }
    scanned_ = stop;
    if (found == nullptr) return false;
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
      // RFC 9112 2.2: at least one empty line before the request line is ignored.
      while (bytes.size() - consumed >= 2 && bytes[consumed] == '\r' && bytes[consumed + 1] == '\n' && consumed < 4) consumed += 2;
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
    parser_->beast.emplace();
    auto& beast = *parser_->beast;
    beast.request = &request_;
    beast.eager(true);
    beast.header_limit(static_cast<std::uint32_t>(limits_.header_bytes_max + 1));
    beast.body_limit(limits_.body_bytes_max);
    state_ = State::kBody;
  }
  if (state_ != State::kBody || bytes.empty()) return consumed;
  beast::error_code ec;
  auto& beast = *parser_->beast;
  consumed += beast.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec == bhttp::error::body_limit) {
    fail_with(Code::kBodyTooLarge, "request body too large");
  } else if (ec == bhttp::error::header_limit) {
    fail_with(Code::kHeaderTooLarge, "request header too large");
  } else if (ec && ec != bhttp::error::need_more) {
    fail_with(Code::kBadRequest, "bad request");
  } else if (beast.is_done()) {
    state_ = State::kComplete;
  }
  return consumed;
}

}  // namespace codeq::transport::http
