#include "transport/fetch/curl_get.h"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace codeq::transport {
namespace {

using services::HttpGetAnswer;
using services::HttpGetRequest;
using Done = std::move_only_function<void(HttpGetAnswer)>;
using Then = std::move_only_function<void()>;

constexpr std::size_t kHeadBytesMax = std::size_t{32} << 10;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One GET, with everything that its handle borrows.
struct Download {
  HttpGetRequest request;
  Done done;
  std::string body = {};
  std::size_t head_bytes = 0;
  bool too_large = false;
  std::unique_ptr<CURL, FreeEasy> easy = nullptr;  // last: it borrows from the rest

  static std::size_t on_head(char*, std::size_t, std::size_t size, void* self) {
    auto& download = *static_cast<Download*>(self);
    download.head_bytes += size;
    download.too_large = download.too_large || download.head_bytes > kHeadBytesMax;
    return download.too_large ? 0 : size;
  }
  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* self) {
    auto& download = *static_cast<Download*>(self);
    download.too_large = download.body.size() + size > download.request.body_bytes_max;
    if (download.too_large) return 0;
    download.body.append(bytes, size);
    return size;
  }

  [[nodiscard]] bool prepare(const std::string& agent) {
    easy.reset(curl_easy_init());
    bool ok = easy != nullptr;
    const auto set = [&](CURLoption option, auto value) {
      ok = ok && curl_easy_setopt(easy.get(), option, value) == CURLE_OK;
    };
    const auto limit = static_cast<long>(std::max<std::int64_t>(1, request.timeout.count()));
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_HTTPGET, 1L);
    set(CURLOPT_USERAGENT, agent.c_str());
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_NOPROXY, "*");
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_TIMEOUT_MS, limit);
    set(CURLOPT_CONNECTTIMEOUT_MS, limit);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_HEADERFUNCTION, &Download::on_head);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &Download::on_body);
    set(CURLOPT_WRITEDATA, this);
    return ok;
  }

  HttpGetAnswer answer(CURLcode code) {
    if (too_large) return {.http_status = 0, .error = "too-large", .body = {}};
    long status = 0;
    if (code == CURLE_OK && curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status > 0)
      return {.http_status = static_cast<int>(status), .error = {}, .body = std::move(body)};
    return {.http_status = 0, .error = class_of(code), .body = {}};
  }

  static std::string_view class_of(CURLcode code) {
    switch (code) {
      case CURLE_OPERATION_TIMEDOUT: return "timeout";
      case CURLE_COULDNT_RESOLVE_HOST: return "dns";
      case CURLE_COULDNT_CONNECT: return "connect";
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CERTPROBLEM:
      case CURLE_SSL_CIPHER:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_ISSUER_ERROR:
      case CURLE_SSL_INVALIDCERTSTATUS:
      case CURLE_USE_SSL_FAILED: return "tls";
      case CURLE_URL_MALFORMAT:
      case CURLE_LOGIN_DENIED:
      case CURLE_UNSUPPORTED_PROTOCOL: return "bad-url";
      default: return "io";
    }
  }
};

// Signals are for the program's own threads; SIGPIPE too, because OpenSSL writes to a socket without MSG_NOSIGNAL.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

class CurlGet::Loop {
 public:
  Loop(const std::string& version, Clock& clock, CURLM* multi)
      : agent_("codeq/" + version), clock_(clock), multi_(multi) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~Loop() {
    thread_.request_stop();
    curl_multi_wakeup(multi_.get());
  }

  void push(std::unique_ptr<Download> download) {
    {
      const std::scoped_lock lock(mutex_);
      waiting_.push_back(std::move(download));
    }
    curl_multi_wakeup(multi_.get());
  }
  void push(std::int64_t wait_ns, Then then) {
    {
      const std::scoped_lock lock(mutex_);
      timers_.emplace(clock_.steady_ns() + wait_ns, std::move(then));
    }
    curl_multi_wakeup(multi_.get());
  }

 private:
  void run(const std::stop_token& stop) {
    block_signals();
    while (!stop.stop_requested()) {
      while (auto then = due()) then();
      start_waiting();
      int running = 0;
      CHECK(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
      if (finish_done()) continue;  // what it did may have brought something new
      CHECK(curl_multi_poll(multi_.get(), nullptr, 0, poll_millis(), nullptr) == CURLM_OK);
    }
    for (auto& [easy, download] : in_flight_) curl_multi_remove_handle(multi_.get(), easy);
    in_flight_.clear();
  }

  Then due() {
    const std::scoped_lock lock(mutex_);
    if (timers_.empty() || timers_.begin()->first > clock_.steady_ns()) return nullptr;
    return std::move(timers_.extract(timers_.begin()).mapped());
  }

  // libcurl shortens it to its own next timer.
  int poll_millis() {
    constexpr std::int64_t kMax = 1000;
    const std::scoped_lock lock(mutex_);
    if (timers_.empty()) return kMax;
    const auto wait = timers_.begin()->first - clock_.steady_ns();
    return static_cast<int>(std::clamp<std::int64_t>(wait / kNanosPerMilli + 1, 0, kMax));
  }

  std::unique_ptr<Download> next() {
    const std::scoped_lock lock(mutex_);
    if (waiting_.empty() || in_flight_.size() >= kInFlightMax) return nullptr;
    auto download = std::move(waiting_.front());
    waiting_.pop_front();
    return download;
  }

  void start_waiting() {
    while (auto download = next()) {
      if (!download->prepare(agent_) || curl_multi_add_handle(multi_.get(), download->easy.get()) != CURLM_OK) {
        download->done({.http_status = 0, .error = "io", .body = {}});
        continue;
      }
      auto* easy = download->easy.get();
      in_flight_.emplace(easy, std::move(download));
    }
  }

  bool finish_done() {
    bool any = false;
    int left = 0;
    while (const auto* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto code = message->data.result;  // `message` is gone once the handle is removed
      auto node = in_flight_.extract(message->easy_handle);
      CHECK(!node.empty());
      curl_multi_remove_handle(multi_.get(), node.key());
      auto& download = *node.mapped();
      download.done(download.answer(code));
      any = true;
    }
    return any;
  }

  const std::string agent_;
  Clock& clock_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<Download>> waiting_;                      // under mutex_, like the next
  std::multimap<std::int64_t, Then> timers_;                           // by steady time
  std::unordered_map<CURL*, std::unique_ptr<Download>> in_flight_;     // thread_ only
  std::jthread thread_;                                                // last: joined before the rest goes away
};

CurlGet::CurlGet(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
CurlGet::~CurlGet() = default;

Result<std::unique_ptr<CurlGet>> CurlGet::open(std::string version, Clock& clock) {
  static const auto global = curl_global_init(CURL_GLOBAL_DEFAULT);
  auto* multi = global == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) return fail(Code::kInternal, "libcurl cannot start");
  return std::unique_ptr<CurlGet>(new CurlGet(std::make_unique<Loop>(version, clock, multi)));
}

void CurlGet::get(HttpGetRequest request, Done done) {
  loop_->push(std::make_unique<Download>(Download{.request = std::move(request), .done = std::move(done)}));
}

void CurlGet::after(std::chrono::nanoseconds wait, Then then) { loop_->push(wait.count(), std::move(then)); }

}  // namespace codeq::transport
