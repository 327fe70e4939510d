#include "transport/webhook/transfer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "core/webhook_url.h"

namespace codeq::transport {
namespace {

// A line break would start a header of somebody else's choice.
bool header_safe(std::string_view value) {
  return std::ranges::none_of(value, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

bool has_part(CURLU* url, CURLUPart part) {
  char* raw = nullptr;
  const auto code = curl_url_get(url, part, &raw, 0);
  const std::unique_ptr<char, FreeText> text(raw);
  return code == CURLUE_OK;
}

}  // namespace

std::string_view Transfer::prepare(const WebhookSenderOptions& options, const WebhookSigner& signer,
                                   std::int64_t now_seconds) {
  options_ = &options;
  if (!parse_url()) return "bad-url";
  easy_.reset(curl_easy_init());
  if (easy_ == nullptr || !add_headers(signer, now_seconds) || !set_options(options)) return "io";
  return {};
}

// The broker's own rule first; then libcurl gets the very parts that were judged, so the two cannot read it differently.
bool Transfer::parse_url() {
  if (!core::webhook_host(job_.url)) return false;
  url_.reset(curl_url());
  if (url_ == nullptr || curl_url_set(url_.get(), CURLUPART_URL, job_.url.c_str(), 0) != CURLUE_OK) return false;
  return has_part(url_.get(), CURLUPART_HOST) && !has_part(url_.get(), CURLUPART_USER) &&
         !has_part(url_.get(), CURLUPART_PASSWORD);
}

bool Transfer::add_header(std::string_view name, std::string_view value) {
  if (value.empty() || !header_safe(value)) return true;  // left out, the rest goes
  const auto line = std::string(name).append(": ").append(value);
  auto* longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) return false;
  static_cast<void>(headers_.release());
  headers_.reset(longer);
  return true;
}

bool Transfer::add_headers(const WebhookSigner& signer, std::int64_t now_seconds) {
  const auto timestamp = std::to_string(now_seconds);
  bool ok = add_header("Content-Type", "application/json") && add_header("X-CodeQ-Delivery", job_.id == 0 ? std::string() : std::to_string(job_.id)) &&
            add_header("webhook-id", job_.message_id) && add_header("webhook-timestamp", timestamp) &&
            add_header("traceparent", job_.traceparent) && add_header("tracestate", job_.tracestate) &&
            add_header("baggage", job_.baggage);
  if (ok && signer.signs()) {
    ok = add_header("X-CodeQ-Timestamp", timestamp) &&
         add_header("X-CodeQ-Signature", signer.codeq_signature(now_seconds, job_.body));
    // The id is part of what is signed: without one on the wire nobody could check it.
    if (ok && !job_.message_id.empty() && header_safe(job_.message_id)) {
      ok = add_header("webhook-signature", signer.standard_signature(job_.message_id, now_seconds, job_.body));
    }
  }
  if (!ok) return false;
  // "Name:" without a value takes away what libcurl would send by itself; waiting for "100 Continue" would cost a round trip.
  auto* longer = curl_slist_append(headers_.get(), "Expect:");
  if (longer == nullptr) return false;
  static_cast<void>(headers_.release());
  headers_.reset(longer);
  return true;
}

bool Transfer::set_options(const WebhookSenderOptions& options) {
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) {
    ok = ok && curl_easy_setopt(easy_.get(), option, value) == CURLE_OK;
  };
  const auto agent = "codeq/" + options.version;
  set(CURLOPT_CURLU, url_.get());
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(job_.body.size()));
  set(CURLOPT_POSTFIELDS, job_.body.c_str());
  set(CURLOPT_HTTPHEADER, headers_.get());
  set(CURLOPT_USERAGENT, agent.c_str());
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");  // a proxy of the environment would connect in our place, unjudged
  set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.timeout.count()));
  set(CURLOPT_QUICK_EXIT, 1L);  // do not wait for a look-up in progress when the handle goes away
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::open_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_head);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_PRIVATE, this);
  return ok;
}

curl_socket_t Transfer::open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(self);
  // `addr` is declared as the short common head, but the whole address lies there.
  sockaddr_storage whole{};
  std::memcpy(&whole, reinterpret_cast<const unsigned char*>(address) + offsetof(curl_sockaddr, addr),
              std::min<std::size_t>(address->addrlen, sizeof whole));
  if (!may_connect(reinterpret_cast<const sockaddr&>(whole), transfer.options_->allowed)) {
    transfer.address_refused_ = true;
    return CURL_SOCKET_BAD;
  }
  transfer.address_tried_ = true;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t Transfer::on_head(char* line, std::size_t, std::size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.head_bytes_ += size;
  if (transfer.head_bytes_ > transfer.options_->answer_head_bytes_max) return 0;
  const std::string_view text(line, size);
  if (transfer.status_ == 0 && (text == "\r\n" || text == "\n")) {
    long status = 0;
    if (curl_easy_getinfo(transfer.easy(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 &&
        status <= 599) {
      transfer.status_ = static_cast<int>(status);
    }
  }
  return size;
}

std::size_t Transfer::on_body(char*, std::size_t, std::size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.body_bytes_ += size;
  return transfer.body_bytes_ > transfer.options_->answer_body_bytes_max ? 0 : size;
}

services::WebhookOutcome Transfer::outcome(CURLcode code) const {
  if (status_ != 0) return {status_, {}};
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return {0, "timeout"};
    case CURLE_COULDNT_RESOLVE_HOST: return {0, "dns"};
    // A host of several addresses is refused only if none of them may be reached.
    case CURLE_COULDNT_CONNECT:
      return {0,
              address_refused_ && !address_tried_ ? std::string_view("refused-address") : std::string_view("connect")};
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED: return {0, "tls"};
    case CURLE_URL_MALFORMAT: return {0, "bad-url"};
    default: return {0, "io"};  // also CURLE_UNSUPPORTED_PROTOCOL, which by now means that no HTTP came back
  }
}

}  // namespace codeq::transport
