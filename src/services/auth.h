// Who a bearer token is, and what it may do.
//
// Errors   kUnauthenticated with the reference's text (http-api.md 3.2 in our words: docs/errors/unauthenticated.md),
//          kForbidden "invalid tenant claims" where the token is good but names no usable tenant
// Threads  any
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "services/broker.h"

namespace codeq::services {

struct Principal {
  std::string subject;
  std::string tenant;
  std::vector<std::string> scopes;
  std::vector<std::string> event_types;
  bool admin = false;
  std::int64_t expires_unix_ns = 0;  // wall time at which the token ends; 0: never
  [[nodiscard]] bool has_scope(std::string_view scope) const;
  [[nodiscard]] bool may_handle(std::string_view command) const;  // event types, `*` = all; case-insensitive
  [[nodiscard]] bool any_event_type() const;
};

enum class TokenUse : std::uint8_t { kProducer, kWorker, kAny };

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Who the bare token is. Nothing: a key has to be fetched first, ask `check_later`.
  [[nodiscard]] virtual std::optional<Result<Principal>> check(TokenUse use, std::string_view token) const = 0;
  // The same once the key has been fetched; `done` is called once, here or on a thread of ours, and must not block.
  virtual void check_later(TokenUse use, std::string token, Done<Principal> done) const = 0;
  // `header`: the Authorization header's value, empty if absent.
  [[nodiscard]] virtual Result<Principal> producer(std::string_view header) const = 0;
  [[nodiscard]] virtual Result<Principal> worker(
      std::string_view header) const = 0;  // also checks event types and scopes present
  [[nodiscard]] virtual Result<Principal> any(std::string_view header) const = 0;
};

// `producer_config`, `worker_config`: JSON text as http-api.md 3.3 describes for the type; an empty type: no validator
// (that kind then answers 500 "producer validator not configured" / "worker validator not configured", kInternal).
struct AuthOptions {
  std::string producer_type, producer_config;
  std::string worker_type, worker_config;
  bool allow_producer_as_worker = false;
};
// Errors: kInvalidArgument with the reason ("unknown auth provider type: x", "static auth: token is required", ...).
Result<std::unique_ptr<Authenticator>> make_authenticator(const AuthOptions& options);

}  // namespace codeq::services
