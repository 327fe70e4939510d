// Who a bearer token is, and what it may do: docs/auth.md.
//
// Errors   kUnauthenticated with the reference's text (http-api.md 3.2 in our words: docs/errors/unauthenticated.md),
//          kForbidden "invalid tenant claims" where the token is good but names no usable tenant,
//          kInternal "producer validator not configured" (or "worker ..."), kOverloaded where too many wait for a key
// Threads  any
// Cost     a hash and a look-up for a token that was seen before; a new JWT costs one signature, 20-100 us
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "services/broker.h"
#include "services/http_get.h"

namespace codeq::services {

struct Principal {
  std::string subject;
  std::string tenant;
  std::vector<std::string> scopes;
  std::vector<std::string> event_types;
  bool admin = false;
  bool names_role = false;  // the token has a role of its own, so that no header may give it one (`devRoleHeader`)
  std::int64_t expires_unix_ns = 0;  // wall time at which the token ends, allowed skew included; 0: never
  [[nodiscard]] bool has_scope(std::string_view scope) const;
  [[nodiscard]] bool may_handle(std::string_view command) const;  // event types, `*` = all; case-insensitive
  [[nodiscard]] bool any_event_type() const;
};

enum class TokenUse : std::uint8_t { kProducer, kWorker, kAny };

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Who the bare token is. Nothing: a key has to be fetched first, ask `check_later`.
  // kWorker also wants event types and scopes; kAny tries the worker's validator, then the producer's.
  [[nodiscard]] virtual std::optional<Result<Principal>> check(TokenUse use, std::string_view token) const = 0;
  // The same once the key has been fetched; `done` is called once, here or on a thread of ours, and must not block.
  virtual void check_later(TokenUse use, std::string token, Done<Principal> done) const = 0;
};

// Whether a request header (`X-Role`) makes an admin of a producer whose token names no role. Only where `devRoleHeader` is
// on does anybody ask.
bool role_header_grants_admin(const Principal& who, std::string_view role);

// The bare token of an Authorization header's value (empty where there is none). A missing validator is told before a
// header that is wrong, as in the reference.
Result<std::string_view> bearer_token(const Authenticator& who, TokenUse use, std::string_view header);

// `producer_config`, `worker_config`: JSON text as docs/auth.md describes for the type; an empty type: no validator
// (that kind then answers 500 "producer validator not configured" / "worker validator not configured", kInternal).
struct AuthOptions {
  std::string producer_type, producer_config;
  std::string worker_type, worker_config;
  bool allow_producer_as_worker = false;
};
// Borrowed; `http` ends before the authenticator does. Without `http` no key is ever fetched (`codeq config check`).
struct AuthDeps {
  Clock* clock = nullptr;  // null: the system's
  HttpGet* http = nullptr;
};
// Key sets are asked for in the background from here on; one that does not answer stops nobody.
// Errors: kInvalidArgument with the reason ("unknown auth provider type: x", "static auth: token is required", ...).
Result<std::unique_ptr<Authenticator>> make_authenticator(const AuthOptions& options, AuthDeps deps = {});

}  // namespace codeq::services
