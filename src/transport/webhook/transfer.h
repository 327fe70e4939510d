// One attempt: the libcurl handle with everything it borrows, and what came of it. Private to the sender.
#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "services/webhook_sender.h"
#include "transport/webhook/curl_sender.h"
#include "transport/webhook/signature.h"

namespace codeq::transport {

class Transfer {
 public:
  using Finished = std::move_only_function<void(services::WebhookOutcome)>;

  Transfer(services::WebhookJob job, Finished finished) : job_(std::move(job)), finished_(std::move(finished)) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Makes the handle ready; "" or the outcome's error. `options` must outlive the transfer.
  [[nodiscard]] std::string_view prepare(const WebhookSenderOptions& options, const WebhookSigner& signer,
                                         std::int64_t now_seconds);
  [[nodiscard]] CURL* easy() const { return easy_.get(); }

  [[nodiscard]] services::WebhookOutcome outcome(CURLcode code) const;
  void finish(services::WebhookOutcome outcome) { finished_(outcome); }

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static std::size_t on_head(char* line, std::size_t one, std::size_t size, void* self);
  static std::size_t on_body(char* bytes, std::size_t one, std::size_t size, void* self);

  [[nodiscard]] bool parse_url();
  [[nodiscard]] bool add_headers(const WebhookSigner& signer, std::int64_t now_seconds);
  [[nodiscard]] bool add_header(std::string_view name, std::string_view value);
  [[nodiscard]] bool set_options(const WebhookSenderOptions& options);

  services::WebhookJob job_;
  Finished finished_;
  const WebhookSenderOptions* options_ = nullptr;
  std::unique_ptr<CURLU, FreeUrl> url_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  std::size_t head_bytes_ = 0;
  std::size_t body_bytes_ = 0;
  int status_ = 0;                         // of the final answer, once its head is complete
  bool address_refused_ = false;
  bool address_tried_ = false;
  std::unique_ptr<CURL, FreeEasy> easy_;   // last: it borrows from all of the above
};

}  // namespace codeq::transport
