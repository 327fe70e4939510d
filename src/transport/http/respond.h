// How a response is put into an exchange. Internal to api*.cc.
#pragma once

#include <string>
#include <utility>

#include "transport/http/exchange.h"

namespace codeq::transport::http {

inline void respond_text(Exchange& exchange, int status, std::string body, ContentKind content = ContentKind::kText) {
  exchange.response.status = status;
  exchange.response.content = content;
  exchange.response.body = std::move(body);
  exchange.ready = true;
}
inline void respond_json(Exchange& exchange, int status, std::string body) {
  respond_text(exchange, status, std::move(body), ContentKind::kJson);
}
inline void respond_nothing(Exchange& exchange, int status) {
  exchange.response.status = status;
  exchange.ready = true;
}

}  // namespace codeq::transport::http
