// fuzz-room: codeq_transport_webhook
// Bytes as a network of the configuration, and then as a socket address that is judged by it.
#include <netinet/in.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "transport/webhook/address.h"
#include "transport/webhook/signature.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> one{text};
  const auto networks = codeq::transport::AllowedNetworks::parse(one);
  static_cast<void>(codeq::transport::WebhookSigner::from_secret("whsec_" + text));
  sockaddr_storage storage{};
  std::memcpy(&storage, data, size < sizeof storage ? size : sizeof storage);
  storage.ss_family = size % 2 == 0 ? AF_INET : AF_INET6;
  const auto& address = reinterpret_cast<const sockaddr&>(storage);
  const bool global = codeq::transport::globally_reachable(address);
  if (networks && codeq::transport::may_connect(address, *networks) != (global || networks->contains(address)))
    std::abort();
  return 0;
}
