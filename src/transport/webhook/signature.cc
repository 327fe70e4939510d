#include "transport/webhook/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "base/base64.h"

namespace codeq::transport {
namespace {

constexpr std::string_view kPrefix = "whsec_";

}  // namespace

Result<WebhookSigner> WebhookSigner::from_secret(std::string_view secret) {
  WebhookSigner signer;
  if (std::ranges::all_of(secret, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) return signer;
  if (!secret.starts_with(kPrefix)) {
    signer.key_ = secret;
    return signer;
  }
  auto key = decode_base64(secret.substr(kPrefix.size()));
  if (!key || key->empty()) return fail(Code::kInvalidArgument, "webhook secret: what follows whsec_ is not base64");
  signer.key_ = std::move(*key);
  return signer;
}

std::string WebhookSigner::hmac(std::string_view message) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(), &size) == nullptr) {
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

std::string WebhookSigner::standard_signature(std::string_view id, std::int64_t timestamp,
                                              std::string_view body) const {
  const auto code = hmac(std::string(id).append(".").append(std::to_string(timestamp)).append(".").append(body));
  return code.empty() ? std::string() : "v1," + encode_base64(code);
}

}  // namespace codeq::transport
