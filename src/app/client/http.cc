#include "app/client/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "app/version.h"

namespace codeq::app::client {
namespace {

constexpr std::size_t kAnswerBytesMax = std::size_t{64} << 20;

bool is_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::size_t take(char* data, std::size_t one, std::size_t size, void* out) {
  auto& body = *static_cast<std::string*>(out);
  if (body.size() + one * size > kAnswerBytesMax) return 0;  // curl ends the call
  body.append(data, one * size);
  return one * size;
}

bool is_loopback(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  url.remove_prefix(scheme + 3);
  return url.starts_with("localhost") || url.starts_with("127.") || url.starts_with("[::1]");
}

}  // namespace

struct HttpClient::Handles {
  CURL* easy = nullptr;
  CURLM* multi = nullptr;
  ~Handles() {
    if (easy != nullptr) curl_easy_cleanup(easy);
    if (multi != nullptr) curl_multi_cleanup(multi);
  }
};

HttpClient::HttpClient(Tls tls) : handles_(std::make_unique<Handles>()), tls_(std::move(tls)) {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  if (!ready) return;
  handles_->easy = curl_easy_init();
  handles_->multi = curl_multi_init();
}

HttpClient::~HttpClient() = default;

Result<HttpResponse> HttpClient::send(const HttpRequest& request, std::stop_token stop) {
  CURL* easy = handles_->easy;
  CURLM* multi = handles_->multi;
  if (easy == nullptr || multi == nullptr) return fail(Code::kInternal, "libcurl cannot be used");
  curl_slist* lines = nullptr;
  for (const auto& [name, value] : request.headers) {
    if (!is_line(name) || !is_line(value)) {
      curl_slist_free_all(lines);
      return fail(Code::kInvalidArgument,
                  fmt::format("the header {} holds control characters", is_line(name) ? name : ""));
    }
    lines = curl_slist_append(lines, (name + ": " + value).c_str());
  }
  lines = curl_slist_append(lines, "Expect:");  // no pause before a large body
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> owned(lines, &curl_slist_free_all);

  HttpResponse answer;
  std::array<char, CURL_ERROR_SIZE> why{};
  curl_easy_reset(easy);  // the connection stays
  const auto set = [easy](auto option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 5L);
  set(CURLOPT_POSTREDIR, static_cast<long>(CURL_REDIR_POST_ALL));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  set(CURLOPT_HTTPHEADER, lines);
  static const std::string agent = std::string("codeq/") + kVersion;
  set(CURLOPT_USERAGENT, agent.c_str());
  set(CURLOPT_ERRORBUFFER, why.data());
  set(CURLOPT_WRITEFUNCTION, &take);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&answer.body));
  if (is_loopback(request.url)) set(CURLOPT_PROXY, "");
  if (!tls_.ca_file.empty()) set(CURLOPT_CAINFO, tls_.ca_file.c_str());
  if (!tls_.client_cert.empty()) set(CURLOPT_SSLCERT, tls_.client_cert.c_str());
  if (!tls_.client_key.empty()) set(CURLOPT_SSLKEY, tls_.client_key.c_str());
  if (request.body) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    set(CURLOPT_POSTFIELDS, request.body->c_str());
  } else if (request.method == "POST") {
    set(CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t{0});
    set(CURLOPT_POSTFIELDS, "");
  }
  if (request.method != "GET" && request.method != "POST") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "GET" && request.body) set(CURLOPT_CUSTOMREQUEST, "GET");

  CURLcode code = CURLE_ABORTED_BY_CALLBACK;
  curl_multi_add_handle(multi, easy);
  {
    const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    int running = 1;
    while (running != 0 && !stop.stop_requested()) {
      if (curl_multi_perform(multi, &running) != CURLM_OK) break;
      if (running != 0 && curl_multi_poll(multi, nullptr, 0, 1000, nullptr) != CURLM_OK) break;
    }
  }
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left))
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  if (code == CURLE_OK) {
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_off_t seconds = 0;
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
      answer.retry_after = std::chrono::seconds(std::min<curl_off_t>(seconds, 3600));
  }
  curl_multi_remove_handle(multi, easy);
  if (code == CURLE_OK) return answer;
  if (code == CURLE_WRITE_ERROR) return fail(Code::kUnavailable, "the answer is larger than 64 MiB");
  const auto place = request.url.substr(0, request.url.find_first_of("?#"));  // a query may hold a key
  return fail(Code::kUnavailable,
              fmt::format("cannot reach {}: {}", place, why[0] != '\0' ? why.data() : curl_easy_strerror(code)));
}

}  // namespace codeq::app::client
