#include "core/webhook_url.h"

#include <algorithm>
#include <cctype>

namespace codeq::core {
namespace {

bool digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool port_ok(std::string_view port) {
  if (port.empty()) return true;  // "http://host:/": the default port (RFC 3986 3.2.3)
  return port.size() <= 5 && digits(port) && std::stoi(std::string(port)) <= 65535;
}

bool host_ok(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

bool bracketed_ok(std::string_view host) {
  return host.size() >= 2 && std::all_of(host.begin(), host.end(),
                                         [](unsigned char c) { return std::isxdigit(c) != 0 || c == ':' || c == '.'; });
}

}  // namespace

std::optional<std::string> webhook_host(std::string_view url) {
  if (url.size() > kWebhookUrlBytesMax) return std::nullopt;
  if (!std::all_of(url.begin(), url.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; })) return std::nullopt;
  const auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return std::nullopt;
  std::string scheme(url.substr(0, scheme_end));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (scheme != "http" && scheme != "https") return std::nullopt;
  const auto rest = url.substr(scheme_end + 3);
  const auto authority = rest.substr(0, rest.find_first_of("/?#\\"));
  if (authority.empty() || authority.find('@') != std::string_view::npos) return std::nullopt;
  std::string_view host = authority;
  std::string_view port;
  if (authority.front() == '[') {
    const auto close = authority.find(']');
    if (close == std::string_view::npos || !bracketed_ok(authority.substr(1, close - 1))) return std::nullopt;
    host = authority.substr(0, close + 1);
    port = authority.substr(close + 1);
    if (!port.empty() && port.front() != ':') return std::nullopt;
    if (!port.empty()) port.remove_prefix(1);
  } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    if (!host_ok(host)) return std::nullopt;
  } else if (!host_ok(host)) {
    return std::nullopt;
  }
  if (!port_ok(port)) return std::nullopt;
  std::string out(host);
  if (!port.empty()) out.append(":").append(port);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace codeq::core
