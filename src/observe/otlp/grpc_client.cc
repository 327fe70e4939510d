#include "observe/otlp/grpc_client.h"

#include <curl/curl.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>

namespace codeq::observe {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 << 10;  // an answer is a few bytes; what is longer is not one
constexpr std::size_t kFramePrefix = 5;            // compressed flag, length as 4 bytes big-endian
constexpr std::int64_t kNever = INT64_MAX;

std::int64_t ticks(GrpcClient::Time time) { return time.time_since_epoch().count(); }

struct EasyFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiFree {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListFree {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  try {
    read_answer_header({data, size * count}, *static_cast<RawAnswer*>(user));
  } catch (...) {
    return 0;  // curl ends the call
  }
  return size * count;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& body = static_cast<RawAnswer*>(user)->body;
  const std::size_t length = size * count;
  if (body.size() + length > kAnswerBytesMax) return 0;
  try {
    body.append(data, length);
  } catch (...) { return 0; }
  return length;
}

// One deflate state for all calls; gzip framing as gRPC's "gzip" asks.
class Gzip {
 public:
  Gzip() = default;
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() {
    if (ready_) deflateEnd(&stream_);
  }
  // Appends the compressed bytes to `out`; false: zlib could not.
  bool append(std::string_view in, std::string& out) {
    constexpr int kGzipWindow = 15 + 16, kMemoryLevel = 8;
    if (!ready_) {
      ready_ = deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK;
      if (!ready_) return false;
    }
    if (deflateReset(&stream_) != Z_OK) return false;
    const std::size_t before = out.size();
    const std::size_t room = deflateBound(&stream_, static_cast<uLong>(in.size()));
    out.resize(before + room);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream_.avail_out = static_cast<uInt>(room);
    const bool done = deflate(&stream_, Z_FINISH) == Z_STREAM_END;
    out.resize(before + room - stream_.avail_out);
    return done;
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

void frame(std::string_view request, bool compress, Gzip& gzip, std::string& out) {
  out.assign(kFramePrefix, '\0');
  if (compress && gzip.append(request, out)) {
    out[0] = 1;
  } else {
    out.resize(kFramePrefix);
    out += request;
  }
  auto length = static_cast<std::uint32_t>(out.size() - kFramePrefix);
  for (std::size_t i = 4; i >= 1; --i, length >>= 8) out[i] = static_cast<char>(length);
}

}  // namespace

struct GrpcClient::Impl {
  std::unique_ptr<CURL, EasyFree> easy;  // before multi: an easy handle outlives its multi, which it has left by then
  std::unique_ptr<CURLM, MultiFree> multi;
  std::unique_ptr<curl_slist, ListFree> headers;
  std::array<char, CURL_ERROR_SIZE> error{};
  RawAnswer answer;
  std::string framed;
  Gzip gzip;
  bool compress = false;
  bool failed = false;  // the last call, in its transport
  std::atomic<std::int64_t> cancel_at{kNever};

  bool add_header(const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers.get(), line.c_str());
    if (longer == nullptr) return false;
    if (headers == nullptr) headers.reset(longer);
    return true;
  }
  template <class T>
  bool set(CURLoption option, T value) {
    return curl_easy_setopt(easy.get(), option, value) == CURLE_OK;
  }

  bool set_up(const TracingOptions& options);
  ExportAnswer finished(CURLcode code);
  curl_off_t bytes_moved() const;
};

bool GrpcClient::Impl::set_up(const TracingOptions& options) {
  compress = options.gzip;
  const std::string url = (options.insecure ? "http://" : "https://") + options.endpoint +
                          "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
  bool ok = add_header("content-type: application/grpc") && add_header("te: trailers") && add_header("Expect:") &&
            add_header("Accept:") && add_header("grpc-timeout: " + std::to_string(options.timeout.count()) + "m");
  if (compress) ok = ok && add_header("grpc-encoding: gzip");
  for (const auto& [name, value] : options.headers) {
    // curl's spelling of "this header, with no value" is a semicolon.
    ok = ok && add_header(value.empty() ? name + ";" : name + ": " + value);
  }
  ok = ok && set(CURLOPT_URL, url.c_str()) && set(CURLOPT_HTTPHEADER, headers.get()) && set(CURLOPT_POST, 1L) &&
       set(CURLOPT_USERAGENT, "codeq-otlp") && set(CURLOPT_NOSIGNAL, 1L) && set(CURLOPT_FOLLOWLOCATION, 0L) &&
       set(CURLOPT_PROXY, "") && set(CURLOPT_NOPROXY, "*") && set(CURLOPT_PROTOCOLS_STR, "http,https") &&
       set(CURLOPT_HTTP_VERSION,
           options.insecure ? long{CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE} : long{CURL_HTTP_VERSION_2TLS}) &&
       set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count())) &&
       set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count())) && set(CURLOPT_ERRORBUFFER, error.data()) &&
       set(CURLOPT_HEADERFUNCTION, &on_header) && set(CURLOPT_HEADERDATA, &answer) &&
       set(CURLOPT_WRITEFUNCTION, &on_body) && set(CURLOPT_WRITEDATA, &answer) &&
       // A collector whose host vanished without a word is noticed by keep-alive probes, not only by the timeout.
       set(CURLOPT_TCP_KEEPALIVE, 1L) && set(CURLOPT_TCP_KEEPIDLE, 2L) && set(CURLOPT_TCP_KEEPINTVL, 2L) &&
       // A name server that hangs must not hold up the end of the process: its look-up thread is left behind.
       set(CURLOPT_QUICK_EXIT, 1L);
  // libcurl before 8.0 breaks every call but the first of a prior-knowledge connection (curl issue 10634).
  constexpr unsigned kFirstFixed = 0x080000;
  const bool one_call_per_connection =
      options.insecure && curl_version_info(CURLVERSION_NOW)->version_num < kFirstFixed;
  ok = ok && set(CURLOPT_FORBID_REUSE, one_call_per_connection ? 1L : 0L) &&
       curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, 1L) == CURLM_OK;
  if (!options.certificate.empty()) ok = ok && set(CURLOPT_CAINFO, options.certificate.c_str());
  if (!options.client_certificate.empty()) ok = ok && set(CURLOPT_SSLCERT, options.client_certificate.c_str());
  if (!options.client_key.empty()) ok = ok && set(CURLOPT_SSLKEY, options.client_key.c_str());
  return ok;
}

ExportAnswer GrpcClient::Impl::finished(CURLcode code) {
  failed = code != CURLE_OK;
  if (failed) {
    ExportAnswer answer_less;
    answer_less.what = error[0] != '\0' ? error.data() : curl_easy_strerror(code);
    return answer_less;  // every failure of the transport is worth another try: names, routes and certificates get repaired
  }
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.http_status);
  return judge(answer);
}

curl_off_t GrpcClient::Impl::bytes_moved() const {
  curl_off_t sent = 0, received = 0;
  long headers_received = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_SIZE_UPLOAD_T, &sent);
  curl_easy_getinfo(easy.get(), CURLINFO_SIZE_DOWNLOAD_T, &received);
  curl_easy_getinfo(easy.get(), CURLINFO_HEADER_SIZE, &headers_received);
  return sent + received + headers_received;
}

GrpcClient::GrpcClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcClient::~GrpcClient() = default;

Result<std::unique_ptr<GrpcClient>> GrpcClient::open(const TracingOptions& options) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  const auto* version = curl_version_info(CURLVERSION_NOW);
  if (global != CURLE_OK || (version->features & CURL_VERSION_HTTP2) == 0) {
    return fail(Code::kInternal, "libcurl is not usable or has no HTTP/2");
  }
  auto impl = std::make_unique<Impl>();
  impl->easy.reset(curl_easy_init());
  impl->multi.reset(curl_multi_init());
  if (!impl->easy || !impl->multi || !impl->set_up(options)) return fail(Code::kInternal, "libcurl refuses the set-up");
  return std::unique_ptr<GrpcClient>(new GrpcClient(std::move(impl)));
}

ExportAnswer GrpcClient::call(std::string_view request) {
  Impl& impl = *impl_;
  impl.answer = {};
  impl.error[0] = '\0';
  frame(request, impl.compress, impl.gzip, impl.framed);
  impl.set(CURLOPT_FRESH_CONNECT, impl.failed ? 1L : 0L);  // whatever is wrong with the old one
  impl.set(CURLOPT_POSTFIELDS, impl.framed.data());
  impl.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(impl.framed.size()));
  if (curl_multi_add_handle(impl.multi.get(), impl.easy.get()) != CURLM_OK) return {.what = "libcurl refuses the call"};

  ExportAnswer answer{.what = "libcurl gave up"};
  curl_off_t moved = 0;
  std::int64_t stall_ns = 0;
  // The multi interface and not curl_easy_perform, whose progress callback can be a second late.
  for (int running = 1, ready = 0;;) {
    if (curl_multi_perform(impl.multi.get(), &running) != CURLM_OK) break;
    if (running == 0) {
      int left = 0;
      if (const CURLMsg* message = curl_multi_info_read(impl.multi.get(), &left))
        answer = impl.finished(message->data.result);
      break;
    }
    const std::int64_t now = ticks(std::chrono::steady_clock::now());
    const std::int64_t left_ns = impl.cancel_at.load() - now;
    if (left_ns <= 0) {
      answer = {.outcome = ExportAnswer::Outcome::kCancelled, .what = "the deadline of the shutdown came first"};
      break;
    }
    // A collector that opens no HTTP/2 window leaves its socket writable and libcurl (7.88 at least) asking for just
    // that: poll would return at once, forever. Being called for nothing therefore costs a growing pause.
    constexpr std::int64_t kFirstStallNs = 100'000, kStallNsMax = 10'000'000;
    const curl_off_t moved_before = std::exchange(moved, impl.bytes_moved());
    stall_ns = ready > 0 && moved == moved_before ? std::clamp(2 * stall_ns, kFirstStallNs, kStallNsMax) : 0;
    if (stall_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(stall_ns, left_ns)));

    constexpr std::int64_t kNanosPerMilli = 1'000'000, kPollNsMax = 1'000'000'000;
    const auto wait_ms = static_cast<int>((std::min(kPollNsMax, left_ns) + kNanosPerMilli - 1) / kNanosPerMilli);
    if (curl_multi_poll(impl.multi.get(), nullptr, 0, wait_ms, &ready) != CURLM_OK) break;
  }
  curl_multi_remove_handle(impl.multi.get(), impl.easy.get());
  return answer;
}

void GrpcClient::cancel_at(Time deadline) {
  impl_->cancel_at = ticks(deadline);
  curl_multi_wakeup(impl_->multi.get());
}

}  // namespace codeq::observe
