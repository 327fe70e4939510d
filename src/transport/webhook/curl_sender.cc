#include "transport/webhook/curl_sender.h"

#include <curl/curl.h>
#include <pthread.h>

#include <csignal>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread_name.h"
#include "transport/webhook/signature.h"
#include "transport/webhook/transfer.h"

namespace codeq::transport {
namespace {

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// Signals are for the program's own threads. SIGPIPE too: OpenSSL writes to a socket without MSG_NOSIGNAL, and a peer
// that has gone must be an error of that transfer only. Threads that libcurl starts for look-ups inherit this.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

class CurlWebhookSender::Loop {
 public:
  Loop(WebhookSenderOptions options, WebhookSigner signer, Clock& clock, CURLM* multi)
      : options_(std::move(options)), signer_(std::move(signer)), clock_(clock), multi_(multi) {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      name_thread("webhooks");
      run(stop);
    });
  }
  ~Loop() {
    thread_.request_stop();
    curl_multi_wakeup(multi_.get());
  }

  void push(std::unique_ptr<Transfer> transfer) {
    {
      const std::scoped_lock lock(mutex_);
      inbox_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_.get());
  }

 private:
  void run(const std::stop_token& stop) {
    block_signals();
    constexpr int kPollMillisMax = 1000;  // libcurl shortens it to its own next timer
    while (!stop.stop_requested()) {
      start_waiting();
      int running = 0;
      CHECK(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
      if (finish_done() && may_start()) continue;
      CHECK(curl_multi_poll(multi_.get(), nullptr, 0, kPollMillisMax, nullptr) == CURLM_OK);
    }
    for (auto& [easy, transfer] : in_flight_) curl_multi_remove_handle(multi_.get(), easy);
    in_flight_.clear();
  }

  bool may_start() {
    const std::scoped_lock lock(mutex_);
    return !inbox_.empty() && in_flight_.size() < options_.in_flight_max;
  }

  std::unique_ptr<Transfer> next() {
    const std::scoped_lock lock(mutex_);
    if (inbox_.empty() || in_flight_.size() >= options_.in_flight_max) return nullptr;
    auto transfer = std::move(inbox_.front());
    inbox_.pop_front();
    return transfer;
  }

  void start_waiting() {
    while (auto transfer = next()) {
      auto error = transfer->prepare(options_, signer_, clock_.wall_ns() / kNanosPerSecond);
      if (error.empty() && curl_multi_add_handle(multi_.get(), transfer->easy()) != CURLM_OK) error = "io";
      if (!error.empty()) {
        transfer->finish({0, error});
        continue;
      }
      auto* easy = transfer->easy();
      in_flight_.emplace(easy, std::move(transfer));
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
      node.mapped()->finish(node.mapped()->outcome(code));
      any = true;
    }
    return any;
  }

  const WebhookSenderOptions options_;
  const WebhookSigner signer_;
  Clock& clock_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<Transfer>> inbox_;                       // under mutex_
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> in_flight_;    // thread_ only
  std::jthread thread_;                                               // last: joined before the rest goes away
};

CurlWebhookSender::CurlWebhookSender(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
CurlWebhookSender::~CurlWebhookSender() = default;

Result<std::unique_ptr<CurlWebhookSender>> CurlWebhookSender::open(WebhookSenderOptions options, Clock& clock) {
  static const auto global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return fail(Code::kInternal, "webhooks: libcurl cannot start");
  if (options.timeout.count() <= 0 || options.timeout > std::chrono::hours(1)) {
    return fail(Code::kInvalidArgument, "webhooks: the timeout must be between one millisecond and one hour");
  }
  if (options.in_flight_max == 0)
    return fail(Code::kInvalidArgument, "webhooks: at least one request must be allowed at a time");
  CODEQ_TRY(auto signer, WebhookSigner::from_secret(options.hmac_secret));
  auto* multi = curl_multi_init();
  if (multi == nullptr) return fail(Code::kInternal, "webhooks: libcurl cannot start");
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options.in_flight_max));  // kept open between jobs
  return std::unique_ptr<CurlWebhookSender>(
      new CurlWebhookSender(std::make_unique<Loop>(std::move(options), std::move(signer), clock, multi)));
}

void CurlWebhookSender::send(services::WebhookJob job,
                             std::move_only_function<void(services::WebhookOutcome)> finished) {
  loop_->push(std::make_unique<Transfer>(std::move(job), std::move(finished)));
}

}  // namespace codeq::transport
