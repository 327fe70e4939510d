#include "services/auth/claims.h"

#include <array>

#include "services/auth/words.h"

namespace codeq::services::auth {
namespace {

constexpr std::array<std::string_view, 5> kTenantClaims{"tid", "tenantId", "tenant_id", "organizationId",
                                                        "organization_id"};

}  // namespace

TenantClaims read_tenant_claims(const simdjson::dom::object& raw) {
  TenantClaims claims;
  bool good = true;
  for (const std::string_view name : kTenantClaims) {
    for (const auto field : raw) {
      if (field.key != name) continue;
      claims.any = true;
      std::string_view text;
      const bool is_text = !field.value.get(text);
      const std::string_view tenant = is_text ? trimmed(text) : std::string_view();
      good = good && is_text && is_tenant(tenant) && (!claims.tenant || *claims.tenant == tenant);
      if (is_text) claims.tenant = std::string(tenant);
    }
  }
  if (!good) claims.tenant.reset();
  for (const auto field : raw) {
    std::string_view role;
    if (field.key != "role" || field.value.get(role)) continue;
    claims.names_role = !trimmed(role).empty();
    claims.admin_role = same_word(trimmed(role), "ADMIN");
  }
  return claims;
}

void settle_tenant(const TenantClaims& claims, Identity& identity) {
  Principal& who = identity.who;
  who.names_role = claims.names_role;
  who.admin = who.has_scope("codeq:admin") || claims.admin_role;
  if (claims.any) {
    identity.has_tenant = claims.tenant.has_value();
    who.tenant = claims.tenant.value_or("");
  } else if (is_tenant(trimmed(who.subject))) {
    identity.has_tenant = true;
    who.tenant = std::string(trimmed(who.subject));
  }
}

}  // namespace codeq::services::auth
