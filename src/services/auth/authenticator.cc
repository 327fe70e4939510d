// Which validator a route's token goes to, and what comes of the answer.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "services/auth.h"
#include "services/auth/key_set.h"
#include "services/auth/validator.h"
#include "services/auth/words.h"

namespace codeq::services {
namespace auth {
namespace {

constexpr std::array<std::string_view, 6> kWorkerScopes{"codeq:claim", "codeq:heartbeat", "codeq:abandon",
                                                        "codeq:nack",  "codeq:result",    "codeq:subscribe"};
// One for each provider of a `multi`, twice; a further one is a key set that changes its mind faster than we can ask.
constexpr int kRoundsMax = 8;

using Verdict = std::optional<Result<Principal>>;  // nothing: a key has to be fetched first

Result<Principal> with_tenant(const Identity& identity) {
  if (!identity.has_tenant) return fail(Code::kForbidden, "invalid tenant claims");
  return identity.who;
}

std::unexpected<Error> not_configured(std::string_view kind) {
  return fail(Code::kInternal, fmt::format("{} validator not configured", kind));
}

class TokenAuthenticator final : public Authenticator {
 public:
  TokenAuthenticator(std::unique_ptr<Validator> producer, std::unique_ptr<Validator> worker, bool producer_as_worker)
      : producer_(std::move(producer)), worker_(std::move(worker)), producer_as_worker_(producer_as_worker) {}

  Verdict check(TokenUse use, std::string_view token) const override {
    Needs needs;
    return decide(use, {trimmed(token), sha256(trimmed(token))}, needs);
  }

  void check_later(TokenUse use, std::string token, Done<Principal> done) const override {
    const auto digest = sha256(trimmed(token));
    go_on(std::make_unique<Later>(Later{use, std::move(token), digest, std::move(done)}));
  }

 private:
  struct Later {
    TokenUse use;
    std::string token;
    Digest digest;
    Done<Principal> done;
    int rounds = 0;
  };

  void go_on(std::unique_ptr<Later> later) const {
    Needs needs;
    if (auto verdict = decide(later->use, {trimmed(later->token), later->digest}, needs))
      return later->done(*std::move(verdict));
    if (++later->rounds > kRoundsMax) return later->done(fail(Code::kUnavailable, "the token's key cannot be fetched"));
    // Held here too, so that a refusal can still be answered.
    auto held = std::make_shared<std::unique_ptr<Later>>(std::move(later));
    if (!needs.keys->wait_for(needs.kid, [this, held] { go_on(std::move(*held)); }))
      (*held)->done(fail(Code::kOverloaded, "overloaded, try again"));
  }

  Verdict decide(TokenUse use, const Presented& presented, Needs& needs) const {
    switch (use) {
      case TokenUse::kProducer: return producer(presented, needs);
      case TokenUse::kWorker: return worker(presented, needs);
      case TokenUse::kAny: return any(presented, needs);
    }
    std::unreachable();
  }

  Verdict producer(const Presented& presented, Needs& needs) const {
    if (producer_ == nullptr) return not_configured("producer");
    const auto identity = producer_->validate(presented, needs);
    if (!identity) return std::nullopt;
    if (!*identity) return std::unexpected(identity->error());
    return with_tenant(***identity);
  }

  Verdict worker(const Presented& presented, Needs& needs) const {
    if (worker_ == nullptr) return not_configured("worker");
    auto worker = worker_->validate(presented, needs);
    if (!worker) return std::nullopt;
    if (*worker && (**worker)->who.event_types.empty())
      *worker = fail(Code::kUnauthenticated, "missing eventTypes");
    else if (*worker && (**worker)->who.scopes.empty())
      *worker = fail(Code::kUnauthenticated, "missing scope");
    if (*worker) return never_admin(with_tenant(***worker));
    if (!producer_as_worker_ || producer_ == nullptr) return std::unexpected(worker->error());
    const auto stand_in = producer_->validate(presented, needs);
    if (!stand_in) return std::nullopt;
    if (!*stand_in) return std::unexpected(worker->error());
    auto who = never_admin(with_tenant(***stand_in));
    if (!who) return who;
    who->scopes.assign(kWorkerScopes.begin(), kWorkerScopes.end());
    who->event_types = {"*"};
    return who;
  }

  Verdict any(const Presented& presented, Needs& needs) const {
    if (worker_ != nullptr) {
      const auto worker = worker_->validate(presented, needs);
      if (!worker) return std::nullopt;
      if (*worker && !(**worker)->who.event_types.empty()) return never_admin(with_tenant(***worker));
    }
    if (producer_ != nullptr) {
      const auto producer = producer_->validate(presented, needs);
      if (!producer) return std::nullopt;
      if (*producer) return with_tenant(***producer);
    }
    return fail(Code::kUnauthenticated, "invalid token");
  }

  static Result<Principal> never_admin(Result<Principal> who) {  // admin is a producer's
    if (who) who->admin = false;
    return who;
  }

  std::unique_ptr<Validator> producer_, worker_;  // null: not configured
  bool producer_as_worker_;
};

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

// The bearer token of the header's value.
Result<std::string_view> read_header(std::string_view header) {
  header = trimmed(header);
  if (header.empty()) return fail(Code::kUnauthenticated, "missing Authorization header");
  const std::size_t space = header.find(' ');
  if (space == std::string_view::npos || !same_word(header.substr(0, space), "Bearer"))
    return fail(Code::kUnauthenticated, "invalid Authorization format");
  return trimmed(header.substr(space + 1));
}

}  // namespace
}  // namespace auth

bool Principal::has_scope(std::string_view scope) const { return std::ranges::find(scopes, scope) != scopes.end(); }

bool Principal::may_handle(std::string_view command) const {
  return std::ranges::any_of(event_types,
                             [&](const std::string& type) { return type == "*" || auth::same_word(type, command); });
}

bool Principal::any_event_type() const { return std::ranges::find(event_types, "*") != event_types.end(); }

bool role_header_grants_admin(const Principal& who, std::string_view role) {
  return !who.names_role && auth::same_word(auth::trimmed(role), "ADMIN");
}

Result<std::string_view> bearer_token(const Authenticator& who, TokenUse use, std::string_view header) {
  auto token = auth::read_header(header);
  if (token) return token;
  if (use == TokenUse::kAny) return fail(Code::kUnauthenticated, "invalid token");
  // No token is ever empty, so all that this can tell is that there is nobody to ask.
  const auto nobody = who.check(use, "");
  if (nobody && !*nobody && nobody->error().code == Code::kInternal) return std::unexpected(nobody->error());
  return token;
}

Result<std::unique_ptr<Authenticator>> make_authenticator(const AuthOptions& options, AuthDeps deps) {
  auth::Shared shared{
      .clock = deps.clock != nullptr ? *deps.clock : auth::system_clock(), .http = deps.http, .key_sets = {}};
  CODEQ_TRY(auto producer,
            auth::make_validator(options.producer_type, std::string_view(options.producer_config), shared));
  CODEQ_TRY(auto worker, auth::make_validator(options.worker_type, std::string_view(options.worker_config), shared));
  for (const auto& set : shared.key_sets) set->start();
  return std::make_unique<auth::TokenAuthenticator>(std::move(producer), std::move(worker),
                                                    options.allow_producer_as_worker);
}

}  // namespace codeq::services
