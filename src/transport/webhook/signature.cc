#include "transport/webhook/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <optional>

namespace codeq::transport {
namespace {

constexpr std::string_view kPrefix = "whsec_";

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock also writes a final zero
  const auto written = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(written));
  return out;
}

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// RFC 4648 section 4. Ours, because EVP_DecodeBlock forgives spaces and turns padding into zero bytes.
std::optional<std::string> unbase64(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  if (text.empty() || text.size() % 4 == 1 || (padding != 0 && (text.size() + padding) % 4 != 0)) return std::nullopt;
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = sextet(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    if ((count += 6) >= 8) out.push_back(static_cast<char>((bits >> (count -= 8)) & 0xff));
  }
  return out;
}

}  // namespace

Result<WebhookSigner> WebhookSigner::from_secret(std::string_view secret) {
  WebhookSigner signer;
  if (std::ranges::all_of(secret, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) return signer;
  if (!secret.starts_with(kPrefix)) {
    signer.key_ = secret;
    return signer;
  }
  auto key = unbase64(secret.substr(kPrefix.size()));
  if (!key) return fail(Code::kInvalidArgument, "webhook secret: what follows whsec_ is not base64");
  signer.key_ = std::move(*key);
  return signer;
}

std::string WebhookSigner::hmac(std::string_view message) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), reinterpret_cast<const unsigned char*>(message.data()), message.size(),
           out.data(), &size) == nullptr) {
    return {};
  }
  return {out.begin(), out.begin() + size};
}

std::string WebhookSigner::codeq_signature(std::int64_t timestamp, std::string_view body) const {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string hex;
  for (const char c : hmac(std::to_string(timestamp).append(".").append(body))) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kHex[byte >> 4]);
    hex.push_back(kHex[byte & 15]);
  }
  return hex;
}

std::string WebhookSigner::standard_signature(std::string_view id, std::int64_t timestamp, std::string_view body) const {
  const auto code = hmac(std::string(id).append(".").append(std::to_string(timestamp)).append(".").append(body));
  return code.empty() ? std::string() : "v1," + base64(code);
}

}  // namespace codeq::transport
