// What a token's claims say about tenant and role: the same for the `raw` of a static token and the body of a JWT.
// Internal to services/auth.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "services/auth/validator.h"

namespace codeq::services::auth {

struct TenantClaims {
  std::optional<std::string> tenant;  // nothing: no usable one
  bool any = false;                   // there is a tenant claim, good or not
  bool names_role = false;
  bool admin_role = false;
};

// Every tenant claim that is present must be good, and all must agree; otherwise there is none, and no falling back.
TenantClaims read_tenant_claims(const simdjson::dom::object& raw);

// Fills tenant and admin of `identity`, whose subject and scopes are there: the claims', else the subject as the tenant.
void settle_tenant(const TenantClaims& claims, Identity& identity);

}  // namespace codeq::services::auth
