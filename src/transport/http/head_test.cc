// Our reader of heads against Beast's, over heads that have been damaged a little. What Beast lets through and we do not
// is in the oracle below, as it was when Beast did the reading.
#include "transport/http/head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace codeq::transport::http {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using namespace std::string_view_literals;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

bool read_length(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && text.front() != '-';
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return beast::iequals(beast::string_view(a.data(), a.size()), beast::string_view(b.data(), b.size()));
}

class BeastParser final : public bhttp::basic_parser<true> {
 public:
  explicit BeastParser(Request& the_request) : request(&the_request) {}

  Request* request;
  std::uint64_t length = 0;
  bool has_length = false, chunked = false, has_host = false;

 private:
  void on_request_impl(bhttp::verb verb, beast::string_view, beast::string_view target, int version,
                       beast::error_code&) override {
    request->method = verb == bhttp::verb::get       ? Method::kGet
                      : verb == bhttp::verb::post    ? Method::kPost
                      : verb == bhttp::verb::head    ? Method::kHead
                      : verb == bhttp::verb::put     ? Method::kPut
                      : verb == bhttp::verb::delete_ ? Method::kDelete
                                                     : Method::kOther;
    request->http11 = version == 11;
    request->target.assign(target.data(), target.size());
  }
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_field_impl(bhttp::field name, beast::string_view name_text, beast::string_view value,
                     beast::error_code& ec) override {
    switch (name) {
      case bhttp::field::host:
        if (has_host) ec = bhttp::error::bad_field;
        has_host = true;
        break;
      case bhttp::field::content_length:
        // Beast also takes a list of equal lengths; two parsers may not agree on that.
        if (has_length || chunked || !read_length(view(value), length)) ec = bhttp::error::bad_content_length;
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
      case bhttp::field::unknown: on_unknown(view(name_text), view(value)); break;
      default: break;
    }
  }
  void on_unknown(std::string_view name, std::string_view value) const {
    if (equals_ignoring_case(name, "traceparent"))
      request->traceparent.add(value);
    else if (equals_ignoring_case(name, "tracestate"))
      request->tracestate.add(value);
    else if (equals_ignoring_case(name, "baggage"))
      request->baggage.add(value);
    else if (equals_ignoring_case(name, "x-request-id") && request->request_id.empty())
      request->request_id = value;
    else if (equals_ignoring_case(name, "x-role") && request->role.empty())
      request->role = value;
  }
  void on_header_impl(beast::error_code& ec) override {
    if (request->http11 && !has_host) ec = bhttp::error::bad_field;
    request->keep_alive = request->http11 && keep_alive();
  }
  // The head is all that Beast is given; a body of ours it never sees.
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast::error_code&) override {}
  std::size_t on_body_impl(beast::string_view, beast::error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, beast::error_code&) override { return 0; }
  void on_finish_impl(beast::error_code&) override {}
};


// Everything that either of them says.
std::string told(bool good, const Request& request, std::uint64_t length, bool chunked) {
  std::string text = good ? "good " : "bad ";
  const auto lines = [&](const char* name, const HeaderLines& of) {
    for (const auto line : of.views()) text += std::string(name) + "=" + std::string(line) + "|";
  };
  // A bad request is answered with the id that stood before what is bad; nothing else of it is used.
  text += "id=" + request.request_id + "|";
  if (!good) return text;
  text += std::to_string(static_cast<int>(request.method)) + (request.http11 ? "1" : "0") +
          (request.keep_alive ? "k" : "c") + (request.expect_continue ? "e" : "-") + (chunked ? "x" : "-") +
          std::to_string(length) + "|" + request.target + "|" + request.authorization + "|" + request.role + "|";
  lines("traceparent", request.traceparent);
  lines("tracestate", request.tracestate);
  lines("baggage", request.baggage);
  return text;
}

std::string ours(std::string_view head) {
  Request request;
  BodyFraming framing;
  const bool good = read_head(head, request, framing);
  return told(good, request, framing.length, framing.chunked);
}

std::string beasts(std::string_view head) {
  Request request;
  BeastParser parser(request);
  parser.header_limit(1U << 20U);
  parser.body_limit(boost::none);
  beast::error_code ec;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), ec);
  return told(!ec && parser.is_header_done(), request, parser.length, parser.chunked);
}

// What read_head is promised (RequestReader sees to it).
bool promised(std::string_view head) {
  if (head.empty() || !head.ends_with("\r\n\r\n")) return false;
  if (head.front() == ' ' || head.front() == '\t' || head.front() == '\r') return false;
  for (std::size_t at = 0, stop = 0; at < head.size(); at = stop + 1) {
    stop = head.find('\n', at);
    if (stop == at || head[stop - 1] != '\r') return false;
    if (stop - 1 == at) return stop + 1 == head.size();
    if (at != 0 && (head[at] == ' ' || head[at] == '\t')) return false;
  }
  return true;
}

TEST(Head, IsReadAsBeastReadsIt) {
  constexpr std::array kHeads{
      "POST /v1/codeq/tasks HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
      "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\n"
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 12\r\n"
      "\r\n"sv,
      "GET /x?y=%20&z=\xc3\xa9 HTTP/1.1\r\nhost:x\r\nConnection: keep-alive , ,Close\r\n"
      "X-Request-Id: id-1\r\nX-Role: ADMIN\r\nExpect: 100-Continue\r\nBaggage: a=b,c=d\r\n\r\n"sv,
      "PUT / HTTP/1.0\r\nTraceState: a=1\r\ntracestate:b=2\r\nX-Request-ID: id-2\r\nUpgrade: h2c\r\n"
      "Content-Length: 0\r\n\r\n"sv,
      "DELETE /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nProxy-Connection: close\r\n"
      "Empty:\r\nSpaces: \t \r\n\r\n"sv,
      "HEAD /a HTTP/1.1\r\nX-Request-Id: id-3\r\nHost: a\r\nAccept: */*\r\nUser-Agent: \x80\xff (x)\r\n\r\n"sv,
  };
  constexpr std::array kPieces{
      "\r\n"sv,
      "\r"sv,
      ":"sv,
      " "sv,
      "\t"sv,
      ","sv,
      "\x01"sv,
      "\x7f"sv,
      "\x80"sv,
      "\0"sv,
      "-"sv,
      "@"sv,
      "\""sv,
      "A"sv,
      "z"sv,
      "0"sv,
      "9"sv,
      "HTTP/1.1"sv,
      "HTTP/1.2"sv,
      "HTTP/2.0"sv,
      "HTTP/0.9"sv,
      "\r\nHost: y"sv,
      "\r\nContent-Length: 5"sv,
      "\r\nContent-Length: 18446744073709551616"sv,
      "\r\nContent-Length: 007"sv, "\r\nTransfer-Encoding: chunked"sv, "\r\nTransfer-Encoding: gzip, chunked"sv,
      "\r\nTransfer-Encoding: CHUNKED"sv,
      "\r\nConnection: close"sv,
      "\r\nConnection: a b"sv,
      "\r\nConnection: a;b"sv,
      "\r\nConnection: ,,"sv,
      "\r\nX-Request-Id: other"sv,
      "\r\nAuthorization: other"sv,
      "\r\nX\rRole: ADMIN"sv,
      "\r\nX-Role : ADMIN"sv,
      "\r\n\r: x"sv};
  SeededRng rng(20261128);
  const auto pick = [&rng](std::size_t count) { return static_cast<std::size_t>(rng.next() % count); };
  int good = 0, bad = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string head(kHeads[pick(kHeads.size())]);
    for (auto changes = pick(4); changes > 0; --changes) {
      const auto at = pick(head.size() + 1);
      switch (pick(4)) {
        case 0: head.insert(at, kPieces[pick(kPieces.size())]); break;
        case 1: head.erase(at, 1 + pick(3)); break;
        case 2: {  // whole lines, at a line's end
          const auto end = head.find("\r\n", at);
          if (end != std::string::npos) head.insert(end, kPieces[pick(kPieces.size())]);
          break;
        }
        default:
          if (at < head.size()) head[at] = static_cast<char>(rng.next());
      }
    }
    if (!promised(head)) continue;
    const auto expected = beasts(head);
    ASSERT_EQ(ours(head), expected) << head;
    (expected.starts_with("good") ? good : bad) += 1;
  }
  EXPECT_GT(good, 5'000);
  EXPECT_GT(bad, 5'000);
}

// No byte of a name or a value is read as another one, wherever it stands.
TEST(Head, EveryByteInEveryPlaceIsReadAsBeastReadsIt) {
  const std::string head =
      "GET /a/path HTTP/1.1\r\nhost: x\r\nx-request-id: some-id-of-a-caller\r\n"
      "authorization: Bearer t\r\ncontent-length: 3\r\n\r\n";
  for (std::size_t at = 0; at < head.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      auto changed = head;
      changed[at] = static_cast<char>(c);
      if (!promised(changed)) continue;
      ASSERT_EQ(ours(changed), beasts(changed)) << "byte " << c << " at " << at;
    }
  }
}

}  // namespace
}  // namespace codeq::transport::http
